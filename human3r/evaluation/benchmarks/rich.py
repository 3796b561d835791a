"""RICH, test split: motion of one person in the world, seen by static cameras.

Layout: ``test/<scene>_<...>/cam_XX/*.{jpg,jpeg,png}`` as downloaded, and GVHMR's support files ``rich_test_labels.pt``
and ``cam2params.pt``, in the same folder or in ``hmr4d_support``.
Source: Huang et al., "Capturing and inferring dense full-body human-scene contact" (CVPR 2022); support files of GVHMR
(arXiv 2409.06662).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from human3r.assets.conversion.foreign_arrays import read_foreign_tensors
from human3r.errors import FormatError
from human3r.evaluation.benchmarks.annotations import field
from human3r.evaluation.benchmarks.folders import list_files
from human3r.evaluation.benchmarks.kinds import WORLD_METRICS, people_benchmark
from human3r.evaluation.bodies.body_kit import BodyKit, Gender
from human3r.evaluation.bodies.smpl_people import people_from_smpl
from human3r.evaluation.protocol import Benchmark, PosedPeople, Protocol, Recording
from human3r.geometry.rigid import inverse_transform_points

LABELS, CAMERAS = "rich_test_labels.pt", "cam2params.pt"
_GENDERS: tuple[Gender, ...] = ("neutral", "male", "female")
_REMEDY = "Take it from GVHMR's support files again."


@dataclass(frozen=True)
class Annotation:
    """One person over T images of one camera."""

    axis_angle: np.ndarray
    """``T 22 3`` radians: root in the world, and body."""
    betas: np.ndarray
    """``T 10``"""
    transl: np.ndarray
    """``T 3`` meters, world."""
    gender: Gender
    frame_id: np.ndarray
    """``T`` int64: numbers in the images' names."""
    T_world_camera: np.ndarray
    """``4 4``"""
    K: np.ndarray
    """``3 3`` pixels"""


def support_file(root: Path, name: str) -> Path:
    """Return where a support file is."""
    nested = root / "hmr4d_support" / name
    return nested if nested.is_file() else root / name


def read_annotations(root: Path) -> dict[str, Annotation]:
    """Read the labels of every video (``test/<sequence>/cam_XX``) with its camera.

    Raises:
        FormatError: A support file is missing or damaged.
    """
    labels_path, cameras_path = support_file(root, LABELS), support_file(root, CAMERAS)
    labels, cameras = read_foreign_tensors(labels_path), read_foreign_tensors(cameras_path)
    if not isinstance(labels, dict) or not isinstance(cameras, dict):
        raise FormatError(f"{labels_path.name} or {cameras_path.name} is not a table of videos.", _REMEDY)
    return {name: _annotation(labels_path, name, label, cameras_path, cameras) for name, label in labels.items()}


def _annotation(path: Path, name: str, label: object, cameras_path: Path, cameras: dict[str, object]) -> Annotation:
    mapping = label if isinstance(label, dict) else {}
    body = mapping.get("gt_smplx_params", mapping.get("smplx_params"))
    gender = mapping.get("gender")
    if not isinstance(body, dict) or gender not in _GENDERS:
        raise FormatError(f"{path.name} has no body or gender for {name}.", _REMEDY)
    frame_id = field(path, {"frame_id": np.ravel(np.asarray(mapping.get("frame_id")))}, "frame_id", (None,)).astype(
        np.int64
    )
    count = len(frame_id)
    betas = np.atleast_2d(np.asarray(body.get("betas")))
    if len(betas) not in (1, count):
        raise FormatError(f"{path.name} has {len(betas)} shapes for {count} frames of {name}.", _REMEDY)
    parts = [field(path, body, part, (count, size)) for part, size in (("global_orient", 3), ("body_pose", 63))]
    K, T_world_camera = _camera(cameras_path, name, cameras)
    return Annotation(
        axis_angle=np.concatenate(parts, 1).reshape(count, 22, 3),
        betas=field(path, {"betas": np.broadcast_to(betas, (count, betas.shape[1]))}, "betas", (count, None)),
        transl=field(path, body, "transl", (count, 3)),
        gender=gender,
        frame_id=frame_id,
        T_world_camera=T_world_camera,
        K=K,
    )


def _camera(path: Path, name: str, cameras: dict[str, object]) -> tuple[np.ndarray, np.ndarray]:
    """Find a video's camera, which is named after the scene and the camera's number: intrinsics, ``T_world_camera``."""
    sequence, camera = name.split("/")[-2:]
    scene, number = sequence.split("_")[0], camera.removeprefix("cam_")
    keys = [f"{place}_{end}" for place in (scene, sequence) for end in (number.lstrip("0") or "0", number, camera)]
    entry = next((cameras[key] for key in keys if key in cameras), None)
    if not isinstance(entry, (list, tuple)) or len(entry) < 2:
        raise FormatError(f"{path.name} has no camera {keys[0]!r} for {name}.", _REMEDY)
    T_camera_world = field(path, {"camera": np.asarray(entry[0])}, "camera", (4, 4))
    return field(path, {"intrinsics": np.asarray(entry[1])}, "intrinsics", (3, 3)), np.linalg.inv(T_camera_world)


def true_people(kit: BodyKit, annotation: Annotation, rows: np.ndarray, index: int) -> PosedPeople:
    """Pose the person of scored frame ``index``; hands are the mean hands, face and eyes at rest."""
    row = rows[index]
    axis_angle = np.concatenate([annotation.axis_angle[row], np.zeros((3, 3)), kit.hand_means(annotation.gender)])
    betas, transl = annotation.betas[row][None], annotation.transl[row][None]
    vertices = kit.pose_smplx(annotation.gender, axis_angle[None], betas[:, :10], transl)
    T_world_camera = annotation.T_world_camera
    vertices_camera = inverse_transform_points(T_world_camera, vertices)
    return people_from_smpl(kit, "smpl24", vertices_camera, T_world_camera, annotation.K, np.zeros(1, np.int64))


def find(kit: BodyKit, root: Path, protocol: Protocol) -> list[Recording]:
    """List the labeled videos whose images are there.

    Raises:
        AssetMissingError: A body file is missing.
        FormatError: A support file is missing or damaged.
    """
    kit.require("smplx_neutral", "smplx_male", "smplx_female", "smpl_neutral", "transfer")
    if not (root / "test").is_dir():
        return []
    found = []
    for name, annotation in sorted(read_annotations(root).items()):
        folder = root / name if name.startswith("test/") else root / "test" / name
        by_number = {_number(path): path for path in list_files(folder)}
        rows = np.array([row for row, frame in enumerate(annotation.frame_id) if int(frame) in by_number], np.int64)
        rows = rows[: protocol.num_frames]
        if len(rows):
            images = tuple(by_number[int(annotation.frame_id[row])] for row in rows)
            reader = partial(true_people, kit, annotation, rows)
            found.append(Recording(name.removeprefix("test/"), folder, images, read_people=reader))
    return found


def _number(path: Path) -> int:
    """Return the frame number in front of an image's name (``00012_04.jpeg``), -1 where there is none."""
    number = re.match(r"\d+", path.stem)
    return int(number[0]) if number else -1


def rich_benchmark(kit: BodyKit) -> Benchmark:
    """Build the benchmark."""
    return people_benchmark(
        kit,
        Protocol(
            name="rich",
            title="RICH (test), motion in the world",
            loader="crop",
            joint_set="smpl24",
            world_metrics=WORLD_METRICS,
        ),
        layout=f"test/<sequence>/cam_XX/*.jpeg, {LABELS} and {CAMERAS}",
        find=partial(find, kit),
    )
