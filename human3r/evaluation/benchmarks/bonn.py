"""Bonn RGB-D Dynamic, video depth.

Layout: ``rgbd_bonn_<sequence>/{rgb_110,depth_110}/`` (frames 30 to 139 of the recording, as the public preparation
writes them), or another number of frames in the folder names; depth is 16-bit PNG, 5000 per meter.
Source: Palazzolo et al., "ReFusion" (IROS 2019).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from human3r.evaluation.benchmarks.folders import list_files, paired, sequence_folders
from human3r.evaluation.benchmarks.kinds import depth_benchmark
from human3r.evaluation.decoders import read_png_depth
from human3r.evaluation.protocol import Protocol, Recording


def find(root: Path, protocol: Protocol) -> list[Recording]:
    """List sequences that have been prepared with the protocol's number of frames."""
    found = []
    for name, folder in sequence_folders(root, protocol.sequences, prefix="rgbd_bonn_"):
        images = list_files(folder / f"rgb_{protocol.num_frames}")
        if images:
            depths = list_files(folder / f"depth_{protocol.num_frames}", (".png",))
            images, depths = paired(name, images, depths, protocol.num_frames)
            reader = partial(read_png_depth, units_per_meter=5000.0)
            found.append(Recording(name, folder, images, depths, read_depth=reader))
    return found


BONN = depth_benchmark(
    Protocol(
        name="bonn",
        title="Bonn RGB-D Dynamic, video depth",
        loader="resize",
        sequences=("balloon2", "crowd2", "crowd3", "person_tracking2", "synchronous"),
        num_frames=110,
        max_depth_m=70.0,
    ),
    layout="rgbd_bonn_<sequence>/{rgb_<N>,depth_<N>}/*.png, with <N> the number of frames (110)",
    find=find,
)
