"""The procedural clip of the recordings: integer arithmetic only, so every machine draws the same pixels."""

from __future__ import annotations

import numpy as np


def _triangle(values: np.ndarray, period: int) -> np.ndarray:
    """Return a triangle wave from 0 to 255 with a half period of ``period``."""
    phase = values % (2 * period)
    phase = np.where(phase >= period, 2 * period - phase, phase)
    return 255 * phase // period


def draw_frame(size: tuple[int, int], frame_index: int, seed: int) -> np.ndarray:
    """Return frame ``frame_index`` of the clip with a seed: ``H W 3`` uint8 RGB; ``size`` is (height, width)."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.int64)
    image = np.stack(
        (
            _triangle(3 * x + 2 * y + 37 * frame_index + 17 * seed, 160),
            _triangle(2 * x - 3 * y + 23 * frame_index + 29 * seed, 113),
            _triangle(x * y // 16 + 31 * frame_index + 41 * seed, 140),
        ),
        axis=-1,
    )
    radius = min(width, height) // 8
    for disc in (0, 1):
        center_x = (20 + 37 * disc + 3 * frame_index + 7 * seed) % 100 * width // 100
        center_y = (30 + 25 * disc + 2 * frame_index + 5 * seed) % 100 * height // 100
        inside = (x - center_x) ** 2 + (y - center_y) ** 2 <= radius**2
        image[inside] = (230, 60 + 100 * disc, 90 + 5 * frame_index % 50)
    return image.astype(np.uint8)
