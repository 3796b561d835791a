"""The same command, killed again and again at any moment, ends with the result of an unbroken run.

    python tests/soak/kills.py 10

Runs ``reconstruct --model tiny --keep-in`` on a clip of patterns, kills the process some milliseconds after a random
frame, gives the command again until one run ends, and compares. Prints one JSON object; exit code 1 if anything
differs by more than 1e-5, or if a result was there before its run had ended.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from soak import write_clip

from human3r.results.reconstruction import Reconstruction

TOLERANCE = 1e-5
_ROOT = Path(__file__).resolve().parents[2]
_SNAPSHOT_EVERY = 5
_LATEST_S = 0.1
"""Longest time between a frame and the kill: frames and snapshots take some hundredths of a second."""
_COUNTING = """
import sys
from human3r.cli import main
from human3r.commands.run import Progress

add = Progress.add

def add_and_print(self, prediction):
    add(self, prediction)
    print("frame", prediction.frame_index, flush=True)

Progress.add = add_and_print
sys.exit(main(sys.argv[1:]))
"""
"""The command line, printing every frame."""


def command(clip: Path, output: Path, *more: str) -> list[str]:
    """Return the command line of a run."""
    arguments = ["reconstruct", str(clip), "--model", "tiny", "-o", str(output), "--formats", "npz"]
    return [sys.executable, "-c", _COUNTING, *arguments, *more]


def run_until_killed(arguments: list[str], environment: dict[str, str], num_frames: int, delay_s: float) -> bool:
    """Run, and kill so long after so many frames. True if the run ended by itself."""
    process = subprocess.Popen(arguments, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += line.startswith("frame")
        if seen == num_frames:
            time.sleep(delay_s)
            process.kill()
    return process.wait() == 0


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kills", type=int, nargs="?", default=10)
    parser.add_argument("--frames", type=int, default=60)
    options = parser.parse_args()
    chance = random.Random(0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "patterns.mp4"
        write_clip(clip, options.frames)
        kept = ("--keep-in", str(folder / "run"), "--snapshot-every", str(_SNAPSHOT_EVERY))
        kills, is_done, num_broken = 0, False, 0
        while not is_done:
            last = chance.randint(1, 2 * _SNAPSHOT_EVERY) if kills < options.kills else sys.maxsize
            arguments = command(clip, folder / "killed", *kept)
            is_done = run_until_killed(arguments, environment, last, chance.uniform(0, _LATEST_S))
            kills += not is_done
            result = folder / "killed" / "reconstruction.npz"
            num_broken += result.exists() != is_done
        subprocess.run(command(clip, folder / "unbroken"), cwd=_ROOT, env=environment, check=True, capture_output=True)
        found, expected = (
            Reconstruction.load(folder / which / "reconstruction.npz") for which in ("killed", "unbroken")
        )
    worst = max(
        float(np.abs(getattr(found, key).astype(np.float64) - getattr(expected, key)).max(initial=0.0))
        for key in ("T_world_camera", "K", "joints_world", "betas", "points_world", "frame_index", "person_track")
    )
    report = {"kills": kills, "frames": found.num_frames, "worst_difference": worst, "broken_files": num_broken}
    print(json.dumps(report))
    return 0 if worst <= TOLERANCE and num_broken == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
