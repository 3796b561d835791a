"""Convert the BEDLAM download to the per-frame layout of training.

Source: BEDLAM (arXiv 2306.16940) and its public file formats; the selection of frames and scenes is that of Human3R
(arXiv 2510.06219). Every formula is for Unreal's axes (x forward, y right, z up; centimeters, degrees).
"""

from __future__ import annotations

import csv
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp

import numpy as np
from PIL import Image

from human3r.assets.conversion.foreign_arrays import read_foreign_pickle
from human3r.bodies.loading import read_array_header
from human3r.errors import FormatError, InputError
from human3r.training.paper.data.layout import SPLITS, TEST_SCENES, LabeledFrame, LabeledPeople, write_frame

IMAGE_SIZE = (720, 1280)
"""(height, width)"""
SENSOR_MM = (20.25, 36.0)
"""(height, width)"""
FRAME_STEP = 5
"""Every fifth of 30 frames per second."""
SCENES_WITHOUT_DEPTH = (
    "20221010_3_1000_batch01hand",
    "20221017_3_1000_batch01hand",
    "20221018_3-8_250_batch01hand",
    "20221019_3_250_highbmihand",
)
_UNREAL_TO_OPENCV = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
_LABELS = ("imgname", "pose_cam", "shape", "trans_cam", "cam_ext")


@dataclass(frozen=True)
class SceneLabels:
    """The processed labels of one scene: one row per person and image."""

    imgname: np.ndarray
    """``R`` text, ``SEQUENCE/FILE.png``."""
    pose_cam: np.ndarray
    """``R 165`` axis-angle, radians, camera frame."""
    shape: np.ndarray
    """``R 11``"""
    trans_cam: np.ndarray
    """``R 3`` meters."""
    cam_ext: np.ndarray
    """``R 4 4``; its translation is added to ``trans_cam``."""

    def people(self, image_name: str) -> LabeledPeople | None:
        """Return the people of one image, or None for an image without labels."""
        rows = np.flatnonzero(self.imgname == image_name)
        if not len(rows):
            return None
        transl = self.trans_cam[rows] + self.cam_ext[rows, :3, 3]
        return LabeledPeople(self.pose_cam[rows].reshape(-1, 55, 3), self.shape[rows], transl)


def is_scene_used(scene: str) -> bool:
    """Return whether a scene is used: no close-ups (portrait format) and none without valid depth."""
    return "closeup" not in scene and scene not in SCENES_WITHOUT_DEPTH


def intrinsics_of(focal_mm: float) -> np.ndarray:
    """Return ``3 3`` intrinsics in pixels of a focal length in millimeters."""
    height, width = IMAGE_SIZE
    focal_y, focal_x = focal_mm / SENSOR_MM[0] * height, focal_mm / SENSOR_MM[1] * width
    return np.array([[focal_x, 0.0, width / 2], [0.0, focal_y, height / 2], [0.0, 0.0, 1.0]])


def camera_from_unreal(center_cm: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return ``T_world_camera``, ``4 4`` float64, OpenCV axes, meters.

    Args:
        center_cm: ``3`` (x, y, z) of the camera, Unreal axes, centimeters.
        yaw: Degrees, as the other two.
        pitch: Degrees.
        roll: Degrees.
    """
    yaw, pitch, roll = (np.deg2rad(angle) for angle in (yaw, pitch, roll))
    R_yaw = np.array([[np.cos(-yaw), -np.sin(-yaw), 0], [np.sin(-yaw), np.cos(-yaw), 0], [0, 0, 1]])
    R_pitch = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    R_roll = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    R_camera_world = _UNREAL_TO_OPENCV @ (R_roll @ R_pitch @ R_yaw) @ _UNREAL_TO_OPENCV.T
    T_world_camera = np.eye(4)
    T_world_camera[:3, :3] = R_camera_world.T
    T_world_camera[:3, 3] = _UNREAL_TO_OPENCV @ np.asarray(center_cm, np.float64) / 100
    return T_world_camera


def list_scenes(source: Path) -> list[Path]:
    """Return the scene folders of a download that take part.

    Raises:
        InputError: There is none.
    """
    folders = [path for path in sorted(source.iterdir()) if path.is_dir()] if source.is_dir() else []
    scenes = [path for path in folders if (path / "be_seq.csv").is_file() and is_scene_used(path.name)]
    if not scenes:
        raise InputError(f"There are no scenes of BEDLAM in {source.name!r}.", "Each has a be_seq.csv.")
    return scenes


def list_scene_sequences(scene: Path) -> list[str]:
    """Return the names of a scene's sequences, from the comments of its ``be_seq.csv``."""
    with (scene / "be_seq.csv").open(newline="", encoding="utf-8") as file:
        comments = [row.get("Comment") or "" for row in csv.DictReader(file)]
    found = (re.search(r"sequence_name=([^;]+)", comment) for comment in comments)
    return [match[1] for match in found if match]


def read_labels(labels: Path, scene: str) -> SceneLabels | None:
    """Read the labels of a scene at 6 frames per second, or else at 30; None where there are none.

    Raises:
        FormatError: A file is damaged or lacks an array.
    """
    for rate in ("6fps", "30fps"):
        path = labels / f"{scene}_{rate}.npz"
        if path.is_file():
            try:
                with zipfile.ZipFile(path) as archive:
                    return SceneLabels(**{name: _read_array(archive, name) for name in _LABELS})
            except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
                raise FormatError(f"The labels {path.name} cannot be read ({error}).") from error
    return None


def convert_scene(scene: Path, labels: Path, output: Path) -> Iterator[tuple[str, int]]:
    """Convert a scene and yield (sequence, number of frames); existing sequences are kept.

    A sequence appears whole or not at all. Sequences without any label are left out.

    Raises:
        FormatError: A file is missing or damaged.
    """
    scene_labels = read_labels(labels, scene.name)
    if scene_labels is None:
        return
    split = SPLITS[1] if scene.name in TEST_SCENES else SPLITS[0]
    for sequence in list_scene_sequences(scene):
        target = output / split / f"{scene.name}_{sequence}"
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=".partial_", dir=target.parent))
        try:
            count = _convert_sequence(scene, sequence, scene_labels, partial)
            if count:
                partial.chmod(0o755)
                partial.replace(target)
                yield target.name, count
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _convert_sequence(scene: Path, sequence: str, labels: SceneLabels, target: Path) -> int:
    images = sorted((scene / "png" / sequence).glob("*.png"))
    cameras = _read_cameras(scene / "ground_truth" / "camera" / f"{sequence}_camera.csv", len(images))
    count = 0
    for index in range(0, len(images), FRAME_STEP):
        image = images[index]
        people = labels.people(f"{sequence}/{image.name}")
        if people is None:
            continue
        K, T_world_camera = cameras[index]
        depth_cm = read_exr_channel(scene / "depth" / sequence / f"{image.stem}_depth.exr", "Depth")
        mask = _read_mask(scene / "masks" / sequence / f"{image.stem}_env.png")
        try:
            with Image.open(image) as file:
                pixels = np.array(file.convert("RGB"))
        except OSError as error:
            raise FormatError(f"{image.name} of {sequence} cannot be read ({error}).") from error
        if pixels.shape[:2] != IMAGE_SIZE or depth_cm.shape != IMAGE_SIZE:
            raise FormatError(f"{image.name} of {sequence} is not {IMAGE_SIZE[1]}x{IMAGE_SIZE[0]}.")
        frame = LabeledFrame(pixels, depth_cm / np.float32(100), mask, K, T_world_camera, people)
        write_frame(target, image.stem, frame)
        count += 1
    return count


def read_exr_channel(path: Path, channel: str) -> np.ndarray:
    """Return one channel ``H W`` as float32.

    Raises:
        FormatError: No EXR file, no such channel, damaged, or the package OpenEXR is not installed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise FormatError(
            f"Reading {path.name} needs the package OpenEXR.",
            "Run: pip install -r human3r/training/paper/requirements.txt",
        ) from error
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            if channel in channels:
                return np.array(channels[channel].pixels, dtype=np.float32)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise FormatError(f"{path.name} is not a readable EXR file ({error}).") from error
    raise FormatError(f"{path.name} has no channel {channel!r}, only {sorted(channels)}.")


def _read_mask(path: Path) -> np.ndarray:
    """Return people as True; the file marks the background; without a file the mask is empty."""
    if not path.is_file():
        return np.zeros(IMAGE_SIZE, bool)
    with Image.open(path) as file:
        return 255 - np.array(file.convert("L")) > 127


def _read_cameras(path: Path, num_images: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return intrinsics and ``T_world_camera`` per image; a single row holds for all."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name.strip(): value for name, value in row.items()} for row in csv.DictReader(file)]
        cameras = [
            (
                intrinsics_of(float(row["focal_length"])),
                camera_from_unreal(
                    np.array([float(row[axis]) for axis in "xyz"]), *(float(row[name]) for name in _ANGLES)
                ),
            )
            for row in rows
        ]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise FormatError(f"The cameras {path.name} cannot be read ({error}).") from error
    if len(cameras) == 1:
        return cameras * num_images
    if len(cameras) < num_images:
        raise FormatError(f"{path.name} has {len(cameras)} cameras for {num_images} images.")
    return cameras


_ANGLES = ("yaw", "pitch", "roll")


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read one member; texts may be stored as Python objects, which are read as data."""
    with archive.open(f"{name}.npy") as stream:
        shape, dtype = read_array_header(stream)
        content = stream.read()
    if not dtype.hasobject:
        with archive.open(f"{name}.npy") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    with NamedTemporaryFile(suffix=".pkl") as file:
        file.write(content)
        file.flush()
        texts = read_foreign_pickle(Path(file.name))
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FormatError(f"The array {name} of objects holds values that are not text.", "Download it again.")
    return np.array(texts, dtype=str).reshape(shape)
