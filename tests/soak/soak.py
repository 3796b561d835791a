"""A long stream through the whole pipeline: memory and descriptors per 1000 frames.

    python tests/soak/soak.py 54000

Runs ``tiny`` over moving patterns, with people, stores everything, snapshots every 100 frames, and fits a line to the
last 80 % of the resident set. Exit code 1 if it rises by more than 5 MB per 1000 frames or descriptors grow.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from human3r.runtime.forward import RunOptions
from human3r.runtime.loading import load_model
from human3r.runtime.resuming import KeptRun
from human3r.runtime.session import Session

_LIMIT_MB = 5.0
_EVERY = 50
_THRESHOLD = 0.3


def resident_mb() -> float:
    """Return the resident set of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """Run the soak."""
    num_frames = int(sys.argv[1]) if len(sys.argv) > 1 else 54_000
    torch.set_num_threads(1)
    model = replace(load_model("tiny"), track_max_age=300)
    model.network.prompter.threshold = _THRESHOLD
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (16, 6, 8, 3), dtype=np.uint8).repeat(10, axis=1).repeat(10, axis=2)
    samples, num_people, descriptors = [], 0, []
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptRun(Path(folder) / "run", Path(folder), model, RunOptions())
        store, session = kept.open_store(), Session(model)
        for index in range(num_frames):
            prediction = session.step(np.roll(pictures[index % 16], index // 16, axis=1), frame_index=index)
            num_people += len(prediction.people)
            store.add(prediction)
            if session.num_frames % 100 == 0:
                kept.keep(session.snapshot(), session.num_rejected, store)
            if index % _EVERY == 0:
                samples.append((index, resident_mb()))
                descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
        store.close()
    tail = np.array(samples[len(samples) // 5 :])
    slope = float(np.polyfit(tail[:, 0], tail[:, 1], 1)[0]) * 1000
    report = {
        "frames": num_frames,
        "people_per_frame": num_people / num_frames,
        "mb_per_1000_frames": round(slope, 3),
        "resident_mb": [round(float(tail[0, 1])), round(float(tail[-1, 1]))],
        "descriptors": [min(descriptors[1:]), max(descriptors[1:])],
    }
    print(json.dumps(report))
    return 0 if slope <= _LIMIT_MB and descriptors[-1] <= descriptors[1] else 1


if __name__ == "__main__":
    sys.exit(main())
