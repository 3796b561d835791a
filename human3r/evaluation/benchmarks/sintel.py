"""MPI Sintel, final pass: video depth and camera path.

Layout: ``training/{final,depth,camdata_left}/<sequence>/`` with ``frame_NNNN.{png,dpt,cam}``.
Source: Butler et al., "A naturalistic open source movie for optical flow evaluation" (ECCV 2012).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from human3r.evaluation.benchmarks.folders import list_files, paired, sequence_folders
from human3r.evaluation.benchmarks.kinds import camera_benchmark, depth_benchmark
from human3r.evaluation.decoders import read_sintel_camera, read_sintel_depth
from human3r.evaluation.protocol import Protocol, Recording, Trajectory

SEQUENCES = (
    *("alley_2", "ambush_4", "ambush_5", "ambush_6", "cave_2", "cave_4", "market_2"),
    *("market_5", "market_6", "shaman_3", "sleeping_1", "sleeping_2", "temple_2", "temple_3"),
)
"""The 14 of the camera evaluation. Source: MonST3R (arXiv 2410.03825), after LEAP-VO."""


def _training(root: Path) -> Path:
    return root / "training" if (root / "training").is_dir() else root


def find_depth(root: Path, protocol: Protocol) -> list[Recording]:
    """List sequences with images and ``.dpt`` files."""
    found = []
    for name, folder in sequence_folders(_training(root) / "final", protocol.sequences):
        depths = list_files(_training(root) / "depth" / name, (".dpt",))
        images, depths = paired(name, list_files(folder), depths, protocol.num_frames)
        found.append(Recording(name, folder, images, depths, read_depth=read_sintel_depth))
    return found


def find_pose(root: Path, protocol: Protocol) -> list[Recording]:
    """List sequences with images and ``.cam`` files."""
    found = []
    for name, folder in sequence_folders(_training(root) / "final", protocol.sequences):
        cameras = list_files(_training(root) / "camdata_left" / name, (".cam",))
        images, cameras = paired(name, list_files(folder), cameras, protocol.num_frames)
        found.append(Recording(name, folder, images, read_trajectory=partial(_read_cameras, cameras)))
    return found


def _read_cameras(files: tuple[Path, ...]) -> Trajectory:
    return Trajectory(None, np.stack([read_sintel_camera(path)[1] for path in files]))


SINTEL_DEPTH = depth_benchmark(
    Protocol(
        name="sintel-depth",
        title="Sintel (final), video depth",
        loader="resize",
        sequences=SEQUENCES,
        max_depth_m=70.0,
        clip_prediction=True,
    ),
    layout="training/{final,depth}/<sequence>/frame_NNNN.{png,dpt}",
    find=find_depth,
)

SINTEL_POSE = camera_benchmark(
    Protocol(name="sintel-pose", title="Sintel (final), camera path", loader="crop", sequences=SEQUENCES),
    layout="training/{final,camdata_left}/<sequence>/frame_NNNN.{png,cam}",
    find=find_pose,
)
