"""A saved result with numpy alone: who was seen when, how tall, and how far the camera went.

.venv/bin/python examples/03_read_results.py [RECONSTRUCTION.npz]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
HEAD, LEFT_FOOT, RIGHT_FOOT = 15, 10, 11


def main(path: Path) -> None:
    """Print a table of the people in ``path`` and the length of the camera path."""
    with np.load(path, allow_pickle=False) as result:
        time_s, T_world_camera = result["time_s"], result["T_world_camera"]
        identity, frame, joints_world = result["person_track"], result["person_frame"], result["joints_world"]
    for track_id in np.unique(identity):
        rows = np.flatnonzero(identity == track_id)
        feet = joints_world[rows][:, [LEFT_FOOT, RIGHT_FOOT]].mean(axis=1)
        reach_m = np.linalg.norm(joints_world[rows, HEAD] - feet, axis=1)
        seen = f"{time_s[frame[rows[0]]]:.1f} s to {time_s[frame[rows[-1]]]:.1f} s"
        print(f"person {track_id}: {len(rows)} frames, {seen}, feet to head {np.median(reach_m):.2f} m")
    steps = np.linalg.norm(np.diff(T_world_camera[:, :3, 3], axis=0), axis=1)
    print(f"camera: {len(time_s)} frames, path of {steps.sum():.2f} m")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out") / "reconstruction.npz")
