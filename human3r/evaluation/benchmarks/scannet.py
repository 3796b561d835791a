"""ScanNet, camera path: the public 90-frame subset, every third frame.

Layout: ``<scene>/color_90/*.jpg`` and ``<scene>/pose_90.txt`` (one camera-to-world per line: 16 or 12 numbers, or the
TUM form); other numbers of frames in the same way. Frames whose true camera is not finite are not scored.
Source: Dai et al., "ScanNet" (CVPR 2017); subset of CUT3R (arXiv 2501.12387).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from human3r.evaluation.benchmarks.folders import list_files, sequence_folders
from human3r.evaluation.benchmarks.kinds import camera_benchmark
from human3r.evaluation.decoders import read_trajectory
from human3r.evaluation.protocol import Protocol, Recording


def find(root: Path, protocol: Protocol) -> list[Recording]:
    """List scenes that have been prepared with the protocol's number of frames."""
    found = []
    for name, folder in sequence_folders(root, protocol.sequences):
        images = list_files(folder / f"color_{protocol.num_frames}")
        if images:
            reader = partial(read_trajectory, folder / f"pose_{protocol.num_frames}.txt")
            found.append(Recording(name, folder, images, read_trajectory=reader))
    return found


SCANNET = camera_benchmark(
    Protocol(name="scannet", title="ScanNet, camera path", loader="crop", num_frames=90, reset_interval=100),
    layout="<scene>/color_<N>/*.jpg and <scene>/pose_<N>.txt, with <N> the number of frames (90)",
    find=find,
)
