"""Starts the demo as ``app.py`` does, runs one clip and one bad file, and prints what happened as JSON.

``test_zero_gpu`` starts this in a process of its own, with a stand-in for the package ``spaces``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import app  # noqa: F401 - its imports are what is tested
from demo.engine import Engine, RunRequest
from demo.jobs import Visitor
from demo.server import Demo
from demo.settings import Settings
from demo.zero_gpu import find_spaces
from human3r import Reconstruction, ReconstructOptions
from human3r.inference.recurrence import Recurrence


def main(clip: Path, notes: Path, steps: Path) -> None:
    step = Recurrence.advance

    def step_and_record(*args: object, **options: object) -> object:
        with steps.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        return step(*args, **options)

    Recurrence.advance = step_and_record
    spaces = find_spaces()
    assert spaces is not None
    with Demo(Settings(model="tiny"), Engine("tiny", None, spaces)) as demo:
        decorated = len(spaces.DECORATED)
        page = demo.launch(warm_up=False)
        *_, good = demo.runs.start(RunRequest(clip, "tiny", ReconstructOptions()), Visitor("someone"))
        *_, bad = demo.runs.start(RunRequest(notes, "tiny", ReconstructOptions()), Visitor("someone"))
        result = Reconstruction.load(good.outcome.folder.file("reconstruction.npz"))
        facts = {
            "pid": os.getpid(),
            "steps": sorted(set(steps.read_text().split())),
            "frames": result.num_frames,
            "path": result.T_world_camera.sum(axis=0).round(4).tolist(),
            "ready": good.outcome.ready,
            "problem": bad.problem,
            "counts": demo.jobs.counts(),
            "models": demo.engine.model_names(),
            "decorated_before_launch": decorated,
            "spaces_before_torch": spaces.WAS_BEFORE_TORCH,
            "asked_s": spaces.ASKED_S,
        }
        page.close()
    print("FACTS " + json.dumps(facts))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
