"""Readers of the benchmarks' files: depth maps, camera files and trajectories.

Sources: MPI Sintel depth and camera SDK (float tag 202021.25, little endian); TUM RGB-D file formats; KITTI depth
devkit. Every damaged file is a ``FormatError`` that names it.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from human3r.errors import FormatError
from human3r.evaluation.protocol import Trajectory

SINTEL_TAG = 202021.25
_MAX_SIDE = 20_000


def read_sintel_depth(path: Path) -> np.ndarray:
    """Read a ``.dpt`` file: ``H W`` float32 meters.

    Raises:
        FormatError: Not such a file.
    """
    content = _read(path)
    tag, width, height = struct.unpack("<fii", content[:12]) if len(content) >= 12 else (0.0, 0, 0)
    is_size_ok = 0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE
    if tag != SINTEL_TAG or not is_size_ok or len(content) != 12 + 4 * width * height:
        raise FormatError(f"{path.name} is not a Sintel depth file.", "Download the depth archive again.")
    return np.frombuffer(content, "<f4", offset=12).reshape(height, width).copy()


def read_sintel_camera(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a ``.cam`` file: ``3 3`` intrinsics in pixels and ``4 4`` ``T_world_camera``, float64.

    The file holds the transform from world to camera; it is inverted here.

    Raises:
        FormatError: Not such a file.
    """
    content = _read(path)
    if len(content) != 4 + 8 * 21 or struct.unpack("<f", content[:4])[0] != SINTEL_TAG:
        raise FormatError(f"{path.name} is not a Sintel camera file.", "Download the camera archive again.")
    numbers = np.frombuffer(content, "<f8", offset=4)
    T_camera_world = np.eye(4)
    T_camera_world[:3] = numbers[9:].reshape(3, 4)
    return numbers[:9].reshape(3, 3).copy(), np.linalg.inv(T_camera_world)


def read_png_depth(path: Path, units_per_meter: float) -> np.ndarray:
    """Read a 16-bit depth image: ``H W`` float32 meters, 0 where there is no measurement.

    Args:
        units_per_meter: 5000 for TUM RGB-D and Bonn, 256 for KITTI.

    Raises:
        FormatError: Not a gray PNG image.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            codes = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(f"The depth image {path.name} cannot be decoded.", "Download it again.") from error
    if codes.ndim != 2 or codes.dtype == np.uint8:
        raise FormatError(f"The depth image {path.name} is not a 16-bit gray PNG.", "Give the original depth images.")
    return codes.astype(np.float32) / np.float32(units_per_meter)


def read_trajectory(path: Path) -> Trajectory:
    """Read a text file of cameras, one per line.

    Eight numbers are the TUM form (time, position, quaternion x y z w), 12 or 16 the rows of ``T_world_camera``.
    Lines that begin with ``#`` are comments; time is absent in the matrix forms.

    Raises:
        FormatError: Another number of columns, or not numeric.
    """
    lines = [line.replace(",", " ").split() for line in _read(path).decode("utf-8", "replace").splitlines()]
    try:
        table = np.array([[float(word) for word in words] for words in lines if words and words[0][0] != "#"])
    except ValueError as error:
        raise FormatError(
            f"{path.name} is not a table of cameras.", "Expected 8, 12 or 16 numbers per line."
        ) from error
    if table.ndim != 2 or table.shape[1] not in (8, 12, 16):
        raise FormatError(f"{path.name} has no 8, 12 or 16 numbers per line.", "Expected a trajectory file.")
    if table.shape[1] == 8:
        return Trajectory(table[:, 0], _from_quaternions(table[:, 1:4], table[:, 4:], path))
    T_world_camera = np.broadcast_to(np.eye(4), (len(table), 4, 4)).copy()
    T_world_camera[:, :3] = table[:, :12].reshape(-1, 3, 4)
    return Trajectory(None, T_world_camera)


def _from_quaternions(position: np.ndarray, quat_xyzw: np.ndarray, path: Path) -> np.ndarray:
    T_world_camera = np.broadcast_to(np.eye(4), (len(position), 4, 4)).copy()
    T_world_camera[:, :3, 3] = position
    try:
        T_world_camera[:, :3, :3] = Rotation.from_quat(quat_xyzw).as_matrix()
    except ValueError as error:
        raise FormatError(f"{path.name} has a quaternion of length 0.", "Expected a TUM trajectory.") from error
    return T_world_camera


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read: {error.strerror}.", "Check the data folder.") from error
