"""BEDLAM, three test scenes: people in the camera frame on every 25th frame.

Layout: ``Test/<scene>_<sequence>/{rgb/<frame>.png,cam/<frame>.npz,smpl/<frame>.pkl}``, as the training preparation
writes it. Everyone with a label counts, behind the camera too, as in the public evaluation.
Source: Black et al., "BEDLAM" (CVPR 2023); preparation of Human3R (arXiv 2510.06219).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from human3r.assets.conversion.foreign_arrays import read_foreign_pickle
from human3r.errors import FormatError
from human3r.evaluation.benchmarks.annotations import field
from human3r.evaluation.benchmarks.folders import list_files, sequence_folders
from human3r.evaluation.benchmarks.published_rows import HUMAN3R, LOCAL_HEADLINE, PublishedRow
from human3r.evaluation.bodies.body_kit import NUM_SMPL_VERTICES, BodyKit
from human3r.evaluation.bodies.smpl_people import people_from_smpl, score_smpl_people
from human3r.evaluation.protocol import Benchmark, PosedPeople, Protocol, Recording
from human3r.evaluation.reference import PEOPLE_DEFECTS

TEST_SCENES = (
    "20221018_1_250_batch01hand_zoom_suburb_b",
    "20221018_3_250_batch01hand_orbit_archVizUI3_time15",
    "20221019_3-8_250_highbmihand_orbit_stadium",
)
STRIDE = 25
_PARTS = (
    ("smplx_root_pose", 1),
    ("smplx_body_pose", 21),
    ("smplx_jaw_pose", 1),
    ("smplx_leye_pose", 1),
    ("smplx_reye_pose", 1),
    ("smplx_left_hand_pose", 15),
    ("smplx_right_hand_pose", 15),
)
"""Rotations of a label in SMPL-X order; hands from flat."""


def read_camera(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read ``3 3`` intrinsics and ``4 4`` ``T_world_camera``.

    Raises:
        FormatError: Not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in ("intrinsics", "pose")}
    except (OSError, KeyError, ValueError) as error:
        raise FormatError(f"{path.name} of {path.parent.parent.name} is not a camera.", "Prepare it again.") from error
    return field(path, content, "intrinsics", (3, 3)), field(path, content, "pose", (4, 4))


def true_people(kit: BodyKit, folder: Path, images: tuple[Path, ...], index: int) -> PosedPeople:
    """Pose everyone who is labelled in scored image ``index``."""
    stem = images[index].stem
    path = folder / "smpl" / f"{stem}.pkl"
    K, T_world_camera = read_camera(folder / "cam" / f"{stem}.npz")
    labels = read_foreign_pickle(path)
    if not isinstance(labels, list):
        raise FormatError(f"{path.name} of {folder.name} is not a list of people.", "Prepare it again.")
    vertices = [np.zeros((0, NUM_SMPL_VERTICES, 3))]
    for label in labels:
        axis_angle = np.concatenate([field(path, label, name, (count, 3)) for name, count in _PARTS])
        betas, transl = field(path, label, "smplx_shape", (None,)), field(path, label, "smplx_transl", (3,))
        vertices.append(kit.pose_smplx("neutral", axis_angle[None], betas[None], transl[None]))
    identity = np.arange(len(labels))
    return people_from_smpl(kit, "smpl24", np.concatenate(vertices), T_world_camera, K, identity)


def find(kit: BodyKit, root: Path, protocol: Protocol) -> list[Recording]:
    """List the sequences of the test scenes; each gives every 25th of its frames.

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


def _rows(table: dict[str, tuple[float, float, float, float]]) -> tuple[PublishedRow, ...]:
    columns = ("people.pve_mm", "people.pa_mpjpe_mm", "people.mpjpe_mm", "people.root_error_mm")
    source = f"{HUMAN3R}, supplement; data set and scenes read from its scale"
    return tuple(PublishedRow(name, dict(zip(columns, values, strict=True)), source) for name, values in table.items())


def bedlam_benchmark(kit: BodyKit) -> Benchmark:
    """Build the benchmark."""
    return Benchmark(
        protocol=Protocol(
            name="bedlam",
            title="BEDLAM (test scenes), people in the camera frame",
            loader="crop",
            joint_set="smpl24",
        ),
        layout="Test/<scene>_<sequence>/{rgb/*.png,cam/*.npz,smpl/*.pkl}",
        find=partial(find, kit),
        score=partial(score_smpl_people, kit),
        headline=(*LOCAL_HEADLINE[:3], "people.root_error_mm", *LOCAL_HEADLINE[3:]),
        published=_rows(
            {
                "Multi-HMR without K, known aspect ratios": (77.0, 43.9, 65.3, 1347.5),
                "Multi-HMR with K, known aspect ratios": (64.1, 39.0, 54.8, 559.9),
                "Human3R, known aspect ratios": (62.2, 37.2, 54.1, 212.1),
                "Multi-HMR without K, new aspect ratios": (140.1, 69.8, 116.0, 2475.7),
                "Multi-HMR with K, new aspect ratios": (75.7, 44.6, 66.1, 1762.3),
                "Human3R, new aspect ratios": (66.5, 40.9, 58.6, 198.2),
            }
        ),
        references=PEOPLE_DEFECTS,
        worst_by=("people", "mpjpe_mm"),
    )
