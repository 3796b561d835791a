"""Frames that do not wait: a ``LiveStream`` steps on the newest one and drops what the machine is too slow for.

Any iterator of upright RGB arrays is a source: a camera's loop, a robot's topic, a socket. Here a clip is played at its
own pace, in place of a camera.

    PYTHONPATH=. .venv/bin/python examples/04_live_frames.py [CLIP]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np

import human3r

HERE = Path(__file__).parent


def camera(clip: Path, fps: float = 30.0) -> Iterator[np.ndarray]:
    """Yield ``H W 3`` uint8 frames when they fall due, as a camera does."""
    started = time.monotonic()
    for index, frame in enumerate(iio.imiter(clip, plugin="pyav")):
        time.sleep(max(0.0, started + index / fps - time.monotonic()))
        yield frame


def main(clip: Path, model: str = "compact") -> None:
    """Print who is there while the clip plays, and how the stream kept up."""
    with human3r.LiveStream(human3r.load_model(model), camera(clip)) as stream:
        for prediction in stream:
            people = ", ".join(f"person {int(track_id)}" for track_id in prediction.people.track_id) or "nobody"
            print(f"{prediction.time_s:6.2f} s  {1000 * stream.last_latency_s:4.0f} ms late  {people}")
        print(stream.report())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "pose2sim_two_people_portrait.mp4")
