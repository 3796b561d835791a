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

from human3r.assets.conversion.foreign_arrays import read_foreign_pickle
from human3r.errors import FormatError

SPLITS = ("Training", "Test")
TEST_SCENES = (
    "20221018_1_250_batch01hand_zoom_suburb_b",
    "20221018_3_250_batch01hand_orbit_archVizUI3_time15",
    "20221019_3-8_250_highbmihand_orbit_stadium",
)
NUM_TRUE_BETAS = 11
_POSES = {
    "smplx_root_pose": slice(0, 1),
    "smplx_body_pose": slice(1, 22),
    "smplx_jaw_pose": slice(22, 23),
    "smplx_leye_pose": slice(23, 24),
    "smplx_reye_pose": slice(24, 25),
    "smplx_left_hand_pose": slice(25, 40),
    "smplx_right_hand_pose": slice(40, 55),
}
"""Key in the file -> its joints, SMPL-X order."""


@dataclass(frozen=True)
class LabeledPeople:
    """``P`` people of one frame as SMPL-X parameters in the camera frame: axis-angle, radians, flat hand mean."""

    pose: np.ndarray
    """``P 55 3``: root, 21 body, jaw, left eye, right eye, 15 left hand, 15 right hand."""
    betas: np.ndarray
    """``P 11``; files with 10 are padded with a zero."""
    transl: np.ndarray
    """``P 3`` meters, SMPL-X translation."""

    def __len__(self) -> int:
        return self.transl.shape[0]


@dataclass(frozen=True)
class LabeledFrame:
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
    people: LabeledPeople


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


def read_frame(sequence: Path, name: str) -> LabeledFrame:
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
    except (OSError, ValueError, EOFError) as error:
        raise FormatError(f"Frame {name} of {sequence.name} cannot be read ({error}).") from error
    if depth.shape != image.shape[:2] or mask.shape != image.shape[:2]:
        raise FormatError(f"Frame {name} of {sequence.name} holds arrays of sizes that do not fit its image.")
    K, T_world_camera, people = read_labels(sequence, name)
    return LabeledFrame(image, depth.astype(np.float32), mask > 127, K, T_world_camera, people)


def read_labels(sequence: Path, name: str) -> tuple[np.ndarray, np.ndarray, LabeledPeople]:
    """Read ``K``, ``T_world_camera`` and the people of one frame.

    Raises:
        FormatError: A file is missing or damaged.
    """
    try:
        with np.load(sequence / "cam" / f"{name}.npz", allow_pickle=False) as camera:
            K, T_world_camera = camera["intrinsics"].astype(np.float64), camera["pose"].astype(np.float64)
        if K.shape != (3, 3) or T_world_camera.shape != (4, 4):
            raise ValueError(f"its camera has the shapes {K.shape} and {T_world_camera.shape}")
        return K, T_world_camera, _people(read_foreign_pickle(sequence / "smpl" / f"{name}.pkl"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"The labels of {name} of {sequence.name} cannot be read ({error}).") from error


def write_frame(sequence: Path, name: str, frame: LabeledFrame) -> None:
    """Write one frame; the caller makes the whole sequence appear at once."""
    for folder in ("rgb", "mask", "depth", "cam", "smpl"):
        (sequence / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame.image).save(sequence / "rgb" / f"{name}.png")
    Image.fromarray(frame.person_mask.astype(np.uint8) * 255).save(sequence / "mask" / f"{name}.png")
    np.save(sequence / "depth" / f"{name}.npy", frame.depth.astype(np.float32))
    np.savez(sequence / "cam" / f"{name}.npz", intrinsics=frame.K, pose=frame.T_world_camera)
    content = pickle.dumps([_dictionary(frame.people, row) for row in range(len(frame.people))], protocol=4)
    (sequence / "smpl" / f"{name}.pkl").write_bytes(content)


def _people(rows: list[dict[str, np.ndarray]]) -> LabeledPeople:
    pose = np.zeros((len(rows), 55, 3), np.float32)
    betas, transl = np.zeros((len(rows), NUM_TRUE_BETAS), np.float32), np.zeros((len(rows), 3), np.float32)
    for person, row in enumerate(rows):
        for key, joints in _POSES.items():
            pose[person, joints] = np.asarray(row[key]).reshape(-1, 3)
        shape = np.asarray(row["smplx_shape"]).ravel()[:NUM_TRUE_BETAS]
        betas[person, : len(shape)] = shape
        transl[person] = np.asarray(row["smplx_transl"]).reshape(3)
    return LabeledPeople(pose, betas, transl)


def _dictionary(people: LabeledPeople, row: int) -> dict[str, object]:
    poses = {key: people.pose[row, joints].astype(np.float32) for key, joints in _POSES.items()}
    return {
        **poses,
        "smplx_shape": people.betas[row].astype(np.float32),
        "smplx_transl": people.transl[row].astype(np.float32),
        "smplx_gender": "neutral",
    }
