"""KITTI depth, validation drives, video depth.

Layout: ``depth_selection/val_selection_cropped/{image_gathered,groundtruth_depth_gathered}/<drive>/*.png`` (images
gathered by drive); depth is 16-bit PNG, 256 per metre, 0 invalid.
Source: Uhrig et al., "Sparsity Invariant CNNs" (3DV 2017).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from human3r.evaluation.benchmarks.folders import list_files, paired, sequence_folders
from human3r.evaluation.benchmarks.published_rows import ALL_ALIGNMENTS, DEPTH_HEADLINE, SHIFT_HEADLINE, depth_rows
from human3r.evaluation.decoders import read_png_depth
from human3r.evaluation.protocol import Benchmark, Protocol, Recording
from human3r.evaluation.reference import DEPTH_DEFECTS
from human3r.evaluation.scoring.video_depth import score_video_depth


def find(root: Path, protocol: Protocol) -> list[Recording]:
    """List the drives; of each, the first images of the protocol's number."""
    nested = root / "depth_selection" / "val_selection_cropped"
    base = nested if nested.is_dir() else root
    found = []
    for name, folder in sequence_folders(base / "image_gathered", protocol.sequences):
        depths = list_files(base / "groundtruth_depth_gathered" / name, (".png",))
        images, depths = paired(name, list_files(folder), depths, protocol.num_frames)
        if images:
            reader = partial(read_png_depth, units_per_metre=256.0)
            found.append(Recording(name, folder, images, depths, read_depth=reader))
    return found


KITTI = Benchmark(
    protocol=Protocol(
        name="kitti",
        title="KITTI, video depth",
        loader="resize",
        num_sequences=13,
        num_frames=110,
        alignments=ALL_ALIGNMENTS,
    ),
    layout="depth_selection/val_selection_cropped/{image_gathered,groundtruth_depth_gathered}/<drive>/*.png",
    find=find,
    score=score_video_depth,
    headline=DEPTH_HEADLINE + SHIFT_HEADLINE,
    references=DEPTH_DEFECTS,
    worst_by=("scale", "abs_rel"),
    published=(
        *depth_rows("metric", {"MASt3R-GA": (0.467, 0.152), "CUT3R": (0.122, 0.855), "STream3R-α": (0.234, 0.576)}),
        *depth_rows(
            "scale",
            {
                "MonST3R-GA": (0.168, 0.744),
                "CUT3R": (0.118, 0.881),
                "TTT3R": (0.113, 0.904),
                "STream3R-β": (0.080, 0.947),
                "VGGT": (0.073, 0.965),
            },
        ),
        *depth_rows("scale_shift_adam", {"CUT3R": (0.106, 0.887), "MonST3R-GA": (0.157, 0.738)}),
    ),
)
