"""The per-frame layout that training reads, one folder per sequence.

``rgb/FRAME.png``; ``depth/FRAME.npy``, meters; ``cam/FRAME.npz`` with ``intrinsics`` and ``pose`` (camera to world);
``mask/FRAME.png``, 255 where a person is; ``smpl/FRAME.pkl``, a pickled list with one dictionary per person.
Source: preprocessing of Human3R (arXiv 2510.06219) for BEDLAM (arXiv 2306.16940).
"""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from human3r.assets.conversion.array_pickle import load_pickled_arrays
from human3r.errors import FormatError

SPLITS = ("Training", "Test")
NUM_TRUE_BETAS = 11
_POSES: dict[str, tuple[str, int]] = {
    "root": ("smplx_root_pose", 1),
    "body": ("smplx_body_pose", 21),
    "jaw": ("smplx_jaw_pose", 1),
    "left_eye": ("smplx_leye_pose", 1),
    "right_eye": ("smplx_reye_pose", 1),
    "left_hand": ("smplx_left_hand_pose", 15),
    "right_hand": ("smplx_right_hand_pose", 15),
}
"""Our field: (key in the file, number of joints)."""


@dataclass(frozen=True)
class LabelledPeople:
    """``P`` people of one frame as SMPL-X parameters in the camera frame: axis-angle, radians, flat hand mean."""

    root: np.ndarray
    """``P 1 3``"""
    body: np.ndarray
    """``P 21 3``"""
    jaw: np.ndarray
    """``P 1 3``"""
    left_eye: np.ndarray
    """``P 1 3``"""
    right_eye: np.ndarray
    """``P 1 3``"""
    left_hand: np.ndarray
    """``P 15 3``"""
    right_hand: np.ndarray
    """``P 15 3``"""
    betas: np.ndarray
    """``P 11``; files with 10 are padded with a zero."""
    transl: np.ndarray
    """``P 3`` meters, SMPL-X translation."""

    def __len__(self) -> int:
        return self.transl.shape[0]


@dataclass(frozen=True)
class LabelledFrame:
    """One frame with its truth. OpenCV axes, meters, pixel (0, 0) is the center of the top-left pixel."""

    image: np.ndarray
    """``H W 3`` uint8."""
    depth: np.ndarray
    """``H W`` float32 camera z, meters; 0 or not finite where unknown."""
    person_mask: np.ndarray
    """``H W`` bool, hair and clothes included."""
    K: np.ndarray
    """``3 3`` float64."""
    T_world_camera: np.ndarray
    """``4 4`` float64."""
    people: LabelledPeople


def list_sequences(root: Path, split: str) -> dict[str, list[str]]:
    """Return the frame names, in order, of every sequence of a split; hidden folders are incomplete."""
    folder = root / split
    if not folder.is_dir():
        return {}
    return {
        sequence.name: sorted(path.stem for path in (sequence / "rgb").glob("*.png"))
        for sequence in sorted(folder.iterdir())
        if sequence.is_dir() and not sequence.name.startswith(".")
    }


def read_frame(sequence: Path, name: str) -> LabelledFrame:
    """Read one frame; labels are read as data and never executed.

    Raises:
        FormatError: A file is missing or damaged, or its contents do not fit together.
    """
    try:
        with Image.open(sequence / "rgb" / f"{name}.png") as file:
            image = np.array(file.convert("RGB"))
        with Image.open(sequence / "mask" / f"{name}.png") as file:
            mask = np.array(file.convert("L"))
        depth = np.load(sequence / "depth" / f"{name}.npy", allow_pickle=False)
        with np.load(sequence / "cam" / f"{name}.npz", allow_pickle=False) as camera:
            K, T_world_camera = camera["intrinsics"].astype(np.float64), camera["pose"].astype(np.float64)
        people = _people(load_pickled_arrays(sequence / "smpl" / f"{name}.pkl"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"Frame {name} of {sequence.name} cannot be read ({error}).") from error
    size = image.shape[:2]
    if depth.shape != size or mask.shape != size or K.shape != (3, 3) or T_world_camera.shape != (4, 4):
        raise FormatError(f"Frame {name} of {sequence.name} holds arrays of sizes that do not fit its image.")
    return LabelledFrame(image, depth.astype(np.float32), mask > 127, K, T_world_camera, people)


def write_frame(sequence: Path, name: str, frame: LabelledFrame) -> None:
    """Write one frame; the caller makes the whole sequence appear at once."""
    for folder in ("rgb", "mask", "depth", "cam", "smpl"):
        (sequence / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame.image).save(sequence / "rgb" / f"{name}.png")
    Image.fromarray(frame.person_mask.astype(np.uint8) * 255).save(sequence / "mask" / f"{name}.png")
    np.save(sequence / "depth" / f"{name}.npy", frame.depth.astype(np.float32))
    np.savez(sequence / "cam" / f"{name}.npz", intrinsics=frame.K, pose=frame.T_world_camera)
    content = pickle.dumps([_dictionary(frame.people, row) for row in range(len(frame.people))], protocol=4)
    (sequence / "smpl" / f"{name}.pkl").write_bytes(content)


def people_from_rows(pose: np.ndarray, betas: np.ndarray, transl: np.ndarray) -> LabelledPeople:
    """Split BEDLAM's ``P 165`` axis-angle vectors: root, 21 body, jaw, left eye, right eye, left hand, right hand."""
    joints = pose.reshape(len(pose), 55, 3)
    return LabelledPeople(
        root=joints[:, :1],
        body=joints[:, 1:22],
        jaw=joints[:, 22:23],
        left_eye=joints[:, 23:24],
        right_eye=joints[:, 24:25],
        left_hand=joints[:, 25:40],
        right_hand=joints[:, 40:55],
        betas=betas,
        transl=transl,
    )


def _people(rows: list[dict[str, np.ndarray]]) -> LabelledPeople:
    def stacked(key: str, *shape: int) -> np.ndarray:
        arrays = [np.asarray(row[key], dtype=np.float32).reshape(shape) for row in rows]
        return np.stack(arrays) if arrays else np.zeros((0, *shape), np.float32)

    betas = [np.asarray(row["smplx_shape"], dtype=np.float32).ravel() for row in rows]
    padded = [np.pad(values[:NUM_TRUE_BETAS], (0, max(0, NUM_TRUE_BETAS - len(values)))) for values in betas]
    poses = {name: stacked(key, joints, 3) for name, (key, joints) in _POSES.items()}
    return LabelledPeople(
        **poses,
        betas=np.stack(padded) if padded else np.zeros((0, NUM_TRUE_BETAS), np.float32),
        transl=stacked("smplx_transl", 3),
    )


def _dictionary(people: LabelledPeople, row: int) -> dict[str, object]:
    poses = {key: getattr(people, name)[row].astype(np.float32) for name, (key, _) in _POSES.items()}
    return {
        **poses,
        "smplx_shape": people.betas[row].astype(np.float32),
        "smplx_transl": people.transl[row].astype(np.float32),
        "smplx_gender": "neutral",
    }
