"""One clip to one file: people, scene and camera, written as ``reconstruction.npz`` and an animated ``scene.glb``.

PYTHONPATH=. .venv/bin/python examples/01_reconstruct_clip.py [CLIP] [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import human3r
from human3r.exporting import write_all

HERE = Path(__file__).parent


def main(clip: Path, folder: Path) -> None:
    """Reconstruct ``clip`` at 5 frames per second and write the results into ``folder``."""
    model = human3r.load_model("compact")
    result = human3r.reconstruct(clip, model, fps=5, on_frame=lambda frame: print(f"{frame.time_s:6.2f} s", end="\r"))
    for path in write_all(result, folder, ["npz", "glb"], body=model.body, clip=clip):
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    arguments = [Path(item) for item in sys.argv[1:]]
    main(*arguments, *[HERE / "pose2sim_two_people_portrait.mp4", Path("out")][len(arguments) :])
