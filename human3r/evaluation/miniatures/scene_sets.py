"""Miniatures of the depth and camera benchmarks: a few tiny images with truth, in the layout of each data set."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

SIZE = (24, 32)
"""(height, width) of every picture."""


def picture(index: int) -> np.ndarray:
    """A moving pattern, ``H W 3`` uint8."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    waves = [np.sin(0.3 * columns + 0.4 * index + phase) * np.cos(0.2 * rows) for phase in (0.0, 1.0, 2.0)]
    return (127 + 120 * np.stack(waves, -1)).astype(np.uint8)


def depth(index: int) -> np.ndarray:
    """``H W`` float32 meters with a hole."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    meters = (2 + 0.05 * rows + 0.02 * columns + 0.1 * index).astype(np.float32)
    meters[:3, :5] = 0
    return meters


def cameras(count: int) -> np.ndarray:
    """``T 4 4`` camera to world on a curve."""
    T_world_camera = np.tile(np.eye(4), (count, 1, 1))
    for index in range(count):
        T_world_camera[index, :3, :3] = Rotation.from_euler("yx", (0.05 * index, 0.02 * index)).as_matrix()
        T_world_camera[index, :3, 3] = (0.1 * index, 0.02 * index**2, 0.03 * index)
    return T_world_camera


def save_picture(path: Path, index: int) -> None:
    """Write one picture as PNG or JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(index)).save(path)


def save_depth_png(path: Path, index: int, units_per_meter: float) -> None:
    """Write one depth map as a 16-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(depth(index) * units_per_meter).astype(np.uint16)).save(path)


def save_dpt(path: Path, meters: np.ndarray) -> None:
    """Write a Sintel depth file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = meters.shape
    path.write_bytes(struct.pack("<fii", 202021.25, width, height) + meters.astype("<f4").tobytes())


def save_cam(path: Path, K: np.ndarray, T_world_camera: np.ndarray) -> None:
    """Write a Sintel camera file: intrinsics and the transform from world to camera."""
    path.parent.mkdir(parents=True, exist_ok=True)
    outward = np.linalg.inv(T_world_camera)[:3]
    path.write_bytes(struct.pack("<f", 202021.25) + K.astype("<f8").tobytes() + outward.astype("<f8").tobytes())


def tum_lines(T_world_camera: np.ndarray, time_s: np.ndarray) -> str:
    """Format cameras as a TUM trajectory."""
    quaternions = Rotation.from_matrix(T_world_camera[:, :3, :3]).as_quat()
    rows = np.column_stack([time_s, T_world_camera[:, :3, 3], quaternions])
    return "# time tx ty tz qx qy qz qw\n" + "\n".join(" ".join(f"{value:.9f}" for value in row) for row in rows)


def write_sintel(root: Path, num_frames: int = 4) -> None:
    """Images, depth and cameras of two sequences."""
    for name in ("alley_2", "temple_3"):
        for index in range(num_frames):
            stem = f"frame_{index + 1:04d}"
            save_picture(root / "training/final" / name / f"{stem}.png", index)
            save_dpt(root / "training/depth" / name / f"{stem}.dpt", depth(index))
            save_cam(root / "training/camdata_left" / name / f"{stem}.cam", np.eye(3), cameras(num_frames)[index])


def write_bonn(root: Path, num_frames: int = 4) -> None:
    """One prepared sequence."""
    folder = root / "rgbd_bonn_crowd2"
    for index in range(num_frames):
        save_picture(folder / "rgb_110" / f"{index:05d}.png", index)
        save_depth_png(folder / "depth_110" / f"{index:05d}.png", index, 5000)


def write_kitti(root: Path, num_frames: int = 4) -> None:
    """One drive."""
    base = root / "depth_selection/val_selection_cropped"
    for index in range(num_frames):
        save_picture(base / "image_gathered/2011_09_26_drive_0002" / f"{index:010d}.png", index)
        save_depth_png(base / "groundtruth_depth_gathered/2011_09_26_drive_0002" / f"{index:010d}.png", index, 256)


def write_tum_prepared(root: Path, num_frames: int = 4) -> None:
    """One prepared sequence."""
    folder = root / "rgbd_dataset_freiburg3_sitting_xyz"
    for index in range(num_frames):
        save_picture(folder / "rgb_90" / f"{index / 10:.6f}.png", index)
        save_depth_png(folder / "depth_90" / f"{index / 10:.6f}.png", index, 5000)
    (folder / "groundtruth_90.txt").write_text(tum_lines(cameras(num_frames), np.arange(num_frames) / 10))


def write_tum_original(root: Path, num_frames: int = 10) -> None:
    """One original download: depth lags by 5 ms, cameras come at three times the rate."""
    folder = root / "rgbd_dataset_freiburg3_walking_static"
    for index in range(num_frames):
        save_picture(folder / "rgb" / f"{100 + index / 30:.6f}.png", index)
        save_depth_png(folder / "depth" / f"{100.005 + index / 30:.6f}.png", index, 5000)
    time_s = 100.002 + np.arange(3 * num_frames) / 90
    (folder / "groundtruth.txt").write_text(tum_lines(cameras(3 * num_frames), time_s))


def write_scannet(root: Path, num_frames: int = 5) -> None:
    """One scene whose second camera was lost."""
    folder = root / "scene0707_00"
    T_world_camera = cameras(num_frames)
    T_world_camera[1] = -np.inf
    for index in range(num_frames):
        save_picture(folder / "color_90" / f"frame_{index:04d}.jpg", index)
    np.savetxt(folder / "pose_90.txt", T_world_camera.reshape(num_frames, 16))
