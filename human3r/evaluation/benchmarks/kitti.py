"""KITTI depth, validation drives, video depth.

Layout: ``depth_selection/val_selection_cropped/{image_gathered,groundtruth_depth_gathered}/<drive>/*.png`` (images
gathered by drive); depth is 16-bit PNG, 256 per meter, 0 invalid.
Source: Uhrig et al., "Sparsity Invariant CNNs" (3DV 2017).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from human3r.evaluation.benchmarks.folders import list_files, paired, sequence_folders
from human3r.evaluation.benchmarks.kinds import depth_benchmark
from human3r.evaluation.decoders import read_png_depth
from human3r.evaluation.protocol import Protocol, Recording


def find(root: Path, protocol: Protocol) -> list[Recording]:
    """List the drives; of each, the first images of the protocol's number."""
    nested = root / "depth_selection" / "val_selection_cropped"
    base = nested if nested.is_dir() else root
    found = []
    for name, folder in sequence_folders(base / "image_gathered", protocol.sequences):
        depths = list_files(base / "groundtruth_depth_gathered" / name, (".png",))
        images, depths = paired(name, list_files(folder), depths, protocol.num_frames)
        if images:
            reader = partial(read_png_depth, units_per_meter=256.0)
            found.append(Recording(name, folder, images, depths, read_depth=reader))
    return found


KITTI = depth_benchmark(
    Protocol(name="kitti", title="KITTI, video depth", loader="resize", num_sequences=13, num_frames=110),
    layout="depth_selection/val_selection_cropped/{image_gathered,groundtruth_depth_gathered}/<drive>/*.png",
    find=find,
)
