"""Grids of values that cover a rectangle of the source frame."""

from __future__ import annotations

import numpy as np

RectPx = tuple[float, float, float, float]
"""(x0, y0, x1, y1) of the source frame, pixel edges."""


def on_grid(values: np.ndarray, rect_px: RectPx, to_rect_px: RectPx, shape: tuple[int, ...]) -> np.ndarray:
    """Convert a grid to one of another rectangle, 0 without values: shots cover different parts of the frame.

    Args:
        values: ``h w ...``, which covers ``rect_px``.
        shape: Height and width of the returned grid, which covers ``to_rect_px``.
    """
    if rect_px == to_rect_px and values.shape[:2] == shape[:2]:
        return values
    inside, index = [], []
    for axis, size in ((1, values.shape[0]), (0, values.shape[1])):
        cell_px = (to_rect_px[axis + 2] - to_rect_px[axis]) / shape[1 - axis]
        centers = to_rect_px[axis] + (np.arange(shape[1 - axis]) + 0.5) * cell_px
        cells = np.floor((centers - rect_px[axis]) * size / (rect_px[axis + 2] - rect_px[axis])).astype(int)
        inside.append((cells >= 0) & (cells < size))
        index.append(cells.clip(0, size - 1))
    moved = values[np.ix_(*index)]
    moved[~np.outer(*inside)] = 0
    return moved
