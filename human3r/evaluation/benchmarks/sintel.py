"""MPI Sintel, final pass: video depth and camera path.

Layout: ``training/{final,depth,camdata_left}/<sequence>/`` with ``frame_NNNN.{png,dpt,cam}``.
Source: Butler et al., "A naturalistic open source movie for optical flow evaluation" (ECCV 2012).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from human3r.evaluation.benchmarks.folders import list_files, paired, sequence_folders
from human3r.evaluation.benchmarks.published_rows import (
    ALL_ALIGNMENTS,
    CAMERA_HEADLINE,
    DEPTH_HEADLINE,
    SHIFT_HEADLINE,
    camera_rows,
    depth_rows,
)
from human3r.evaluation.decoders import read_sintel_camera, read_sintel_depth
from human3r.evaluation.protocol import Benchmark, Protocol, Recording, Trajectory
from human3r.evaluation.reference import DEPTH_DEFECTS
from human3r.evaluation.scoring.camera_pose import score_camera_pose
from human3r.evaluation.scoring.video_depth import score_video_depth

SEQUENCES = (
    "alley_2",
    "ambush_4",
    "ambush_5",
    "ambush_6",
    "cave_2",
    "cave_4",
    "market_2",
    "market_5",
    "market_6",
    "shaman_3",
    "sleeping_1",
    "sleeping_2",
    "temple_2",
    "temple_3",
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


SINTEL_DEPTH = Benchmark(
    protocol=Protocol(
        name="sintel-depth",
        title="Sintel (final), video depth",
        loader="resize",
        sequences=SEQUENCES,
        max_depth_m=70.0,
        clip_prediction=True,
        alignments=ALL_ALIGNMENTS,
    ),
    layout="training/{final,depth}/<sequence>/frame_NNNN.{png,dpt}",
    find=find_depth,
    score=score_video_depth,
    headline=DEPTH_HEADLINE + SHIFT_HEADLINE,
    references=DEPTH_DEFECTS,
    worst_by=("scale", "abs_rel"),
    published=(
        *depth_rows("metric", {"MASt3R-GA": (1.022, 0.143), "CUT3R": (1.029, 0.238), "STream3R-α": (1.041, 0.210)}),
        *depth_rows(
            "scale",
            {
                "MonST3R-GA": (0.378, 0.558),
                "CUT3R": (0.421, 0.479),
                "TTT3R": (0.404, 0.500),
                "STream3R-β": (0.264, 0.705),
                "VGGT": (0.297, 0.688),
            },
        ),
        *depth_rows("scale_shift_adam", {"CUT3R": (0.454, 0.557), "MonST3R-GA": (0.333, 0.590)}),
    ),
)

SINTEL_POSE = Benchmark(
    protocol=Protocol(name="sintel-pose", title="Sintel (final), camera path", loader="crop", sequences=SEQUENCES),
    layout="training/{final,camdata_left}/<sequence>/frame_NNNN.{png,cam}",
    find=find_pose,
    score=score_camera_pose,
    headline=CAMERA_HEADLINE,
    worst_by=("camera", "error_m"),
    published=camera_rows(
        {
            "MonST3R-GA": (0.111, 0.044, 0.869),
            "CUT3R": (0.213, 0.066, 0.621),
            "TTT3R": (0.201, 0.063, 0.617),
            "STream3R": (0.213, 0.076, 0.868),
            "VGGT": (0.172, 0.062, 0.471),
        }
    ),
)
