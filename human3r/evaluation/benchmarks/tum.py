"""TUM RGB-D, dynamic objects (freiburg3 sitting and walking): camera path and video depth.

Layouts: prepared, ``<sequence>/{rgb_90,depth_90}/*.png`` and ``groundtruth_90.txt``; or the original download,
``<sequence>/{rgb,depth}/<time>.png`` and ``groundtruth.txt``, which is sampled here in the same way.
Source: Sturm et al., "A benchmark for the evaluation of RGB-D SLAM systems" (IROS 2012).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from human3r.errors import FormatError
from human3r.evaluation.benchmarks.folders import list_files, paired, sequence_folders
from human3r.evaluation.benchmarks.kinds import camera_benchmark, depth_benchmark
from human3r.evaluation.decoders import read_png_depth, read_trajectory
from human3r.evaluation.protocol import Protocol, Recording, Trajectory
from human3r.evaluation.scoring.camera_pose import associate

SEQUENCES = tuple(
    f"rgbd_dataset_freiburg3_{posture}_{motion}"
    for posture in ("sitting", "walking")
    for motion in ("static", "xyz", "halfsphere", "rpy")
)
SAMPLING_S = 0.02
"""Largest difference between the times of an image and of its truth when an original download is sampled."""
_STANDARD_FRAMES = 90
_STANDARD_STRIDE = 3
"""90 frames are every third of the first 270; other numbers are consecutive frames."""


def _opened(name: str, folder: Path, protocol: Protocol) -> Recording:
    """Open a sequence in either layout; without images if it has neither."""
    images = list_files(folder / f"rgb_{protocol.num_frames}")
    if images:
        depths = list_files(folder / f"depth_{protocol.num_frames}", (".png",))
        cameras = partial(read_trajectory, folder / f"groundtruth_{protocol.num_frames}.txt")
        return Recording(name, folder, images, depths, partial(read_png_depth, units_per_meter=5000.0), cameras)
    if (folder / "groundtruth.txt").is_file() and (folder / "rgb").is_dir():
        return _sampled(name, folder, protocol)
    return Recording(name, folder, ())


def _sampled(name: str, folder: Path, protocol: Protocol) -> Recording:
    """Choose images of an original download with a true camera, and the nearest depth."""
    images, truth = list_files(folder / "rgb", (".png",)), read_trajectory(folder / "groundtruth.txt")
    if truth.time_s is None:
        raise FormatError(f"groundtruth.txt of {folder.name} has no times.", "Give the original download.")
    rows, true_rows = associate(_times(images), truth.time_s, SAMPLING_S)
    num_frames = protocol.num_frames or len(rows)
    stride = _STANDARD_STRIDE if num_frames == _STANDARD_FRAMES else 1
    chosen = slice(0, num_frames * stride, stride)
    rows, true_rows = rows[chosen], true_rows[chosen]
    cameras = Trajectory(truth.time_s[true_rows], truth.T_world_camera[true_rows])
    depths = list_files(folder / "depth", (".png",))
    return Recording(
        name,
        folder,
        tuple(images[row] for row in rows),
        depths,
        partial(read_png_depth, units_per_meter=5000.0),
        partial(_given, cameras),
    )


def _times(files: tuple[Path, ...]) -> np.ndarray:
    try:
        return np.array([float(path.stem) for path in files])
    except ValueError as error:
        raise FormatError("An image is not named after its time.", "Give the original download.") from error


def _given(truth: Trajectory) -> Trajectory:
    return truth


def find_pose(root: Path, protocol: Protocol) -> list[Recording]:
    """List sequences with images and true cameras."""
    return [replace(recording, depths=(), read_depth=None) for recording in _found(root, protocol)]


def find_depth(root: Path, protocol: Protocol) -> list[Recording]:
    """List sequences with images and depth; an original download is sampled as for the camera path."""
    return [_with_depth(recording, protocol) for recording in _found(root, protocol) if recording.depths]


def _found(root: Path, protocol: Protocol) -> list[Recording]:
    opened = (_opened(name, folder, protocol) for name, folder in sequence_folders(root, protocol.sequences))
    return [recording for recording in opened if recording.images]


def _with_depth(recording: Recording, protocol: Protocol) -> Recording:
    """Pair images and depth: by order in the prepared layout, by time in the original one."""
    if recording.images[0].parent.name != "rgb":
        images, depths = paired(recording.name, recording.images, recording.depths, protocol.num_frames)
    else:
        rows, depth_rows = associate(_times(recording.images), _times(recording.depths), SAMPLING_S)
        images, depths = tuple(recording.images[row] for row in rows), tuple(recording.depths[r] for r in depth_rows)
    return replace(recording, images=images, depths=depths)


_LAYOUT = (
    "<sequence>/{rgb_<N>,depth_<N>}/*.png and groundtruth_<N>.txt, or the original {rgb,depth} and groundtruth.txt"
)

TUM_POSE = camera_benchmark(
    Protocol(
        name="tum-pose",
        title="TUM-dynamics, camera path",
        loader="crop",
        sequences=SEQUENCES,
        num_frames=_STANDARD_FRAMES,
        reset_interval=100,
    ),
    layout=_LAYOUT,
    find=find_pose,
)

TUM_DEPTH = depth_benchmark(
    Protocol(
        name="tum-depth",
        title="TUM-dynamics, video depth",
        loader="resize",
        sequences=SEQUENCES,
        num_frames=_STANDARD_FRAMES,
        max_depth_m=70.0,
    ),
    layout=_LAYOUT,
    find=find_depth,
)
