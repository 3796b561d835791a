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

from human3r.assets.conversion.foreign_arrays import read_foreign_pickle
from human3r.errors import FormatError
from human3r.evaluation.benchmarks.annotations import field
from human3r.evaluation.benchmarks.folders import list_files, sequence_folders
from human3r.evaluation.benchmarks.kinds import LOCAL_HEADLINE, people_benchmark
from human3r.evaluation.bodies.body_kit import NUM_SMPL_VERTICES, BodyKit
from human3r.evaluation.bodies.smpl_people import people_from_smpl
from human3r.evaluation.protocol import Benchmark, PosedPeople, Protocol, Recording

TEST_SCENES = (
    "20221018_1_250_batch01hand_zoom_suburb_b",
    "20221018_3_250_batch01hand_orbit_archVizUI3_time15",
    "20221019_3-8_250_highbmihand_orbit_stadium",
)
STRIDE = 25
PART_JOINTS = {
    "smplx_root_pose": 1,
    "smplx_body_pose": 21,
    "smplx_jaw_pose": 1,
    "smplx_leye_pose": 1,
    "smplx_reye_pose": 1,
    "smplx_left_hand_pose": 15,
    "smplx_right_hand_pose": 15,
}
"""Number of rotations by field of a label, in SMPL-X order; hands relative to flat."""


def read_camera(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read ``3 3`` intrinsics and ``4 4`` ``T_world_camera``.

    Raises:
        FormatError: It is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in ("intrinsics", "pose")}
    except (OSError, KeyError, ValueError) as error:
        raise FormatError(f"{path.name} of {path.parent.parent.name} is not a camera.", "Prepare it again.") from error
    return field(path, content, "intrinsics", (3, 3)), field(path, content, "pose", (4, 4))


def true_people(kit: BodyKit, folder: Path, images: tuple[Path, ...], index: int) -> PosedPeople:
    """Pose all labeled people of scored image ``index``."""
    stem = images[index].stem
    path = folder / "smpl" / f"{stem}.pkl"
    K, T_world_camera = read_camera(folder / "cam" / f"{stem}.npz")
    labels = read_foreign_pickle(path)
    if not isinstance(labels, list):
        raise FormatError(f"{path.name} of {folder.name} is not a list of people.", "Prepare it again.")
    vertices = [np.zeros((0, NUM_SMPL_VERTICES, 3))]
    for label in labels:
        axis_angle = np.concatenate([field(path, label, name, (count, 3)) for name, count in PART_JOINTS.items()])
        betas, transl = field(path, label, "smplx_shape", (None,)), field(path, label, "smplx_transl", (3,))
        vertices.append(kit.pose_smplx("neutral", axis_angle[None], betas[None], transl[None]))
    identity = np.arange(len(labels))
    return people_from_smpl(kit, "smpl24", np.concatenate(vertices), T_world_camera, K, identity)


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
