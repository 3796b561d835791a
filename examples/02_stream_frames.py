"""Frames one by one, as from a camera: a ``Session`` knows the people, the scene and the camera after each of them.

The session is online: it never sees the future, and it keeps the same memory however long the stream is.

    PYTHONPATH=. .venv/bin/python examples/02_stream_frames.py [CLIP]
"""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v3 as iio

import human3r

HERE = Path(__file__).parent


def main(clip: Path) -> None:
    """Print who is where in every fifth frame of ``clip``."""
    session = human3r.Session(human3r.load_model("compact"))
    # Any source of upright RGB arrays will do; this one ignores the rotation that phones write into their files.
    for index, frame in enumerate(iio.imiter(clip, plugin="pyav")):
        if index % 5:
            continue
        prediction = session.step(frame, time_s=index / 30)
        for track_id, pelvis in zip(prediction.people.track_id, prediction.joints_world[:, 0], strict=True):
            x, y, z = pelvis.tolist()
            print(f"frame {index:3d}  person {int(track_id)}  pelvis at x {x:+.2f} m, y {y:+.2f} m, z {z:+.2f} m")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "pose2sim_two_people_portrait.mp4")
