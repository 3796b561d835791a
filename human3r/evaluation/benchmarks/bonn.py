"""Bonn RGB-D Dynamic, video depth.

Layout: ``rgbd_bonn_<sequence>/{rgb_110,depth_110}/`` (frames 30 to 139 of the recording, as the public preparation
writes them), or another number of frames in the folder names; depth is 16-bit PNG, 5000 per metre.
Source: Palazzolo et al., "ReFusion" (IROS 2019).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from human3r.evaluation.benchmarks.folders import list_files, paired, sequence_folders
from human3r.evaluation.benchmarks.published_rows import (
    ALL_ALIGNMENTS,
    DEPTH_HEADLINE,
    HUMAN3R,
    SHIFT_HEADLINE,
    depth_rows,
)
from human3r.evaluation.decoders import read_png_depth
from human3r.evaluation.protocol import Benchmark, Protocol, Recording
from human3r.evaluation.reference import DEPTH_DEFECTS
from human3r.evaluation.scoring.video_depth import score_video_depth


def find(root: Path, protocol: Protocol) -> list[Recording]:
    """List sequences that have been prepared with the protocol's number of frames."""
    found = []
    for name, folder in sequence_folders(root, protocol.sequences, prefix="rgbd_bonn_"):
        images = list_files(folder / f"rgb_{protocol.num_frames}")
        if images:
            depths = list_files(folder / f"depth_{protocol.num_frames}", (".png",))
            images, depths = paired(name, images, depths, protocol.num_frames)
            reader = partial(read_png_depth, units_per_metre=5000.0)
            found.append(Recording(name, folder, images, depths, read_depth=reader))
    return found


BONN = Benchmark(
    protocol=Protocol(
        name="bonn",
        title="Bonn RGB-D Dynamic, video depth",
        loader="resize",
        sequences=("balloon2", "crowd2", "crowd3", "person_tracking2", "synchronous"),
        num_frames=110,
        max_depth_m=70.0,
        alignments=ALL_ALIGNMENTS,
    ),
    layout="rgbd_bonn_<sequence>/{rgb_<N>,depth_<N>}/*.png, with <N> the number of frames (110)",
    find=find,
    score=score_video_depth,
    headline=DEPTH_HEADLINE + SHIFT_HEADLINE,
    references=DEPTH_DEFECTS,
    worst_by=("scale", "abs_rel"),
    published=(
        *depth_rows("metric", {"Human3R": (0.086, 0.954)}, f"{HUMAN3R}, supplement; alignment read as metric"),
        *depth_rows("metric", {"MASt3R-GA": (0.272, 0.706), "CUT3R": (0.103, 0.885), "STream3R-α": (0.084, 0.944)}),
        *depth_rows(
            "scale",
            {
                "MonST3R-GA": (0.067, 0.963),
                "CUT3R": (0.078, 0.937),
                "TTT3R": (0.068, 0.954),
                "STream3R-β": (0.069, 0.952),
                "VGGT": (0.055, 0.971),
            },
        ),
        *depth_rows("scale_shift_adam", {"CUT3R": (0.074, 0.945), "MonST3R-GA": (0.066, 0.964)}),
    ),
)
