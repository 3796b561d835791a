"""A long clip through the whole pipeline: memory and descriptors per 1000 frames.

    python tests/soak/soak.py 54000 --in FOLDER

Writes a clip of moving patterns, reconstructs it with a ``tiny`` network at 64 pixels, with people, rows on the disk
and snapshots, and saves the result. Every 1000 frames one line of JSON goes to FOLDER/samples.jsonl. A run that was
ended is taken up by the same command. Exit code 1 if the resident set rises by more than 5 MB per 1000 frames over the
last 80 % or descriptors grow.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.model import load_model
from human3r.inference.pipeline import reconstruct
from human3r.models.build import build_network, seed_weights
from human3r.models.config import PRESETS
from human3r.records import FramePrediction
from human3r.video.writer import VideoWriter

LIMIT_MB = 5.0
"""Largest rise of the resident set per 1000 frames."""
_EVERY = 1000
_IMAGE_SIZE, _HUMAN_IMAGE_SIZE = 64, 112


def small_model() -> LoadedModel:
    """Return ``tiny`` at a sixteenth of its pixels: every part, bounded time per frame."""
    tiny = PRESETS["tiny"]
    parts = replace(tiny.parts, human_image_size=_HUMAN_IMAGE_SIZE, has_extra_heads=False)
    config = replace(tiny, image_size=_IMAGE_SIZE, parts=parts)
    network = build_network(config)
    seed_weights(network)
    return replace(load_model("tiny", device="cpu"), network=network.requires_grad_(False), config=config)


def write_clip(path: Path, num_frames: int) -> None:
    """Write moving patterns at 30 frames per second."""
    pictures = np.random.default_rng(0).integers(0, 255, (16, 6, 8, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, 2)
    # Coarse and slow patterns: encoding shall not take as long as the run.
    with VideoWriter(path, fps=30, quality=35) as writer:
        for index in range(num_frames):
            writer.append(np.roll(pictures[index // 10 % 16], index // 5, axis=1))


class Watch:
    """Takes a sample of this process every so many frames and writes it down at once.

    Args:
        path: Lines of JSON, appended.
        every: Frames between two samples.
    """

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every = path, every
        self._frames = self._people = self._highest = 0

    def add(self, prediction: FramePrediction) -> None:
        """Count a frame."""
        self._frames += 1
        self._people += len(prediction.people)
        self._highest = max([self._highest, *prediction.people.track_id.tolist()])
        if prediction.frame_index % self._every == self._every - 1:
            self.write(prediction.frame_index + 1)

    def write(self, frame: int, stage: str = "running") -> None:
        """Take a sample."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        sample = {
            "process": os.getpid(),
            "stage": stage,
            "frame": frame,
            "resident_mb": round(resident_mb(), 2),
            "anonymous_mb": round(int(status["RssAnon"].split()[0]) / 1024, 2),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "people_per_frame": round(self._people / max(1, self._frames), 2),
            "identities": self._highest + 1,
            "cpu_s": round(time.process_time(), 1),
        }
        with self._path.open("a") as stream:
            stream.write(json.dumps(sample) + "\n")


def resident_mb() -> float:
    """Return the resident set of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def judge(samples: list[dict[str, float]]) -> dict[str, object]:
    """Fit a line to the last 80 % of the samples of the process that ran longest.

    Args:
        samples: As ``Watch`` wrote them.
    """
    running = [sample for sample in samples if sample["stage"] == "running"]
    longest = max(
        ([one for one in running if one["process"] == process] for process in {one["process"] for one in running}),
        key=len,
    )
    tail = longest[len(longest) // 5 :]
    frames = np.array([sample["frame"] for sample in tail])
    resident = np.array([sample["resident_mb"] for sample in tail])
    descriptors = [int(sample["descriptors"]) for sample in longest]
    slope = float(np.polyfit(frames, resident, 1)[0]) * 1000
    return {
        "frames": int(running[-1]["frame"]),
        "mb_per_1000_frames": round(slope, 3),
        "resident_mb": [float(resident.min()), float(resident.max())],
        "descriptors": [min(descriptors), max(descriptors)],
        "people_per_frame": running[-1]["people_per_frame"],
        "identities": running[-1]["identities"],
        "is_ok": slope <= LIMIT_MB and descriptors[-1] <= descriptors[0],
    }


def run(folder: Path, num_frames: int, every: int = _EVERY, report: Callable[[str], object] = print) -> bool:
    """Run the soak, or go on with it; return whether memory and descriptors stayed flat."""
    clip, samples = folder / f"patterns_{num_frames}.mp4", folder / "samples.jsonl"
    if not clip.is_file():
        write_clip(clip, num_frames)
    watch = Watch(samples, every)
    result = reconstruct(clip, small_model(), sinks=[watch], keep_in=folder / "run", snapshot_every=every)
    watch.write(result.num_frames, "finished")
    result.save(folder / "reconstruction.npz")
    watch.write(result.num_frames, "saved")
    verdict = judge([json.loads(line) for line in samples.read_text().splitlines()])
    report(json.dumps(verdict))
    return bool(verdict["is_ok"])


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("frames", type=int, nargs="?", default=54_000)
    parser.add_argument("--in", dest="folder", type=Path, default=Path("soak"), help="folder of the run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    return 0 if run(options.folder, options.frames) else 1


if __name__ == "__main__":
    sys.exit(main())
