"""Make ``preview.webp``, the moving picture of the README: an example with its people, and the scene from outside.

PYTHONPATH=. .venv/bin/python examples/make_preview.py [SLUG]
"""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

import human3r
from human3r.exporting.fly_through import fly_through
from human3r.rendering import OverlayStyle, draw_people, people_of_frame
from human3r.rendering.clip_frames import processed_frames

HERE = Path(__file__).parent
HEIGHT_PX, VIEW_WIDTH_PX = 270, 400
FPS = 10.0
MAX_FRAMES = 80
SHARPER = 2
"""The view is drawn at this multiple of its size and scaled down: smooth outlines."""


def main(slug: str) -> None:
    """Draw the frames of the precomputed result and write the picture."""
    result = human3r.Reconstruction.load(HERE / "precomputed" / f"{slug}.npz")
    surface = human3r.load_surface(HERE / "precomputed" / f"{slug}.surface.npz", result)
    body = human3r.load_model("compact").body
    faces = body.faces.cpu().numpy()
    count = min(result.num_frames, MAX_FRAMES)
    size = SHARPER * HEIGHT_PX, SHARPER * VIEW_WIDTH_PX
    duration_s = (count - 1) / result.fps
    views = fly_through(result, body, surface.sheets, {}, count, size, duration_s)
    pictures = []
    for (row, frame), view in zip(processed_frames(result, HERE / f"{slug}.mp4"), views, strict=False):
        people = people_of_frame(result, row, body)
        overlay = Image.fromarray(draw_people(frame, people, result.K[row], faces, OverlayStyle(draw_labels=False)))
        parts = [
            np.asarray(image.resize((round(image.width * HEIGHT_PX / image.height), HEIGHT_PX), Image.Resampling.BOX))
            for image in (overlay, Image.fromarray(view))
        ]
        pictures.append(np.concatenate(parts, axis=1))
    path = HERE / "preview.webp"
    iio.imwrite(path, np.stack(pictures), duration=round(1000 / FPS), loop=0, quality=45, method=6)
    print(f"{path}: {len(pictures)} frames, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sports2d_walk_and_flip")
