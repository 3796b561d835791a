"""BEDLAM, three test scenes: people in the camera frame on every 25th frame.

Layout: ``Test/<scene>_<sequence>/{rgb/<frame>.png,cam/<frame>.npz,smpl/<frame>.pkl}``, as the training preparation
writes it. All labeled people count, also those behind the camera, as in the public evaluation.
Source: Black et al., "BEDLAM" (CVPR 2023); preparation of Human3R (arXiv 2510.06219).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from human3r.evaluation.benchmarks.folders import list_files, sequence_folders
from human3r.evaluation.benchmarks.kinds import LOCAL_HEADLINE, people_benchmark
from human3r.evaluation.bodies.body_kit import BodyKit
from human3r.evaluation.bodies.smpl_people import people_from_smpl
from human3r.evaluation.protocol import Benchmark, PosedPeople, Protocol, Recording
from human3r.training.paper.data.layout import TEST_SCENES, read_labels

STRIDE = 25


def true_people(kit: BodyKit, folder: Path, images: tuple[Path, ...], index: int) -> PosedPeople:
    """Pose all labeled people of scored image ``index``."""
    K, T_world_camera, people = read_labels(folder, images[index].stem)
    vertices = kit.pose_smplx("neutral", people.pose, people.betas, people.transl)
    return people_from_smpl(kit, "smpl24", vertices, T_world_camera, K, np.arange(len(people)))


def find(kit: BodyKit, root: Path, protocol: Protocol) -> list[Recording]:
    """List the sequences of the test scenes, with every 25th frame.

    Raises:
        AssetMissingError: A body file is missing.
    """
    kit.require("smplx_neutral", "smpl_neutral", "transfer")
    found = []
    for name, folder in sequence_folders(root / "Test", ()):
        images = list_files(folder / "rgb", (".png",))[::STRIDE][: protocol.num_frames]
        if images and name.startswith(TEST_SCENES):
            found.append(Recording(name, folder, images, read_people=partial(true_people, kit, folder, images)))
    return found


def bedlam_benchmark(kit: BodyKit) -> Benchmark:
    """Build the benchmark."""
    protocol = Protocol(
        name="bedlam", title="BEDLAM (test scenes), people in the camera frame", loader="crop", joint_set="smpl24"
    )
    layout = "Test/<scene>_<sequence>/{rgb/*.png,cam/*.npz,smpl/*.pkl}"
    benchmark = people_benchmark(kit, protocol, layout, partial(find, kit))
    return replace(benchmark, headline=(*LOCAL_HEADLINE[:3], "people.root_error_mm", *LOCAL_HEADLINE[3:]))
