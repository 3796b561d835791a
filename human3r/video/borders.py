"""Find the picture inside borders: letterbox, pillarbox, and pictures fitted into a frame of another shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_MAX_FRAMES = 8
"""Frames of a shot that are looked at."""
_TOLERANCE = 6
"""Gray levels by which a border's pixels differ: compression leaves a few."""
_MAX_STRAY = 0.1
"""Share of a border line's pixels that may differ more: next to the edge, compression leaves echoes."""
_MIN_SHARE = 0.02
"""Narrower borders, as a share of the side, are left in: they change nothing."""
_MIN_PICTURE = 0.25
"""Share of each side that the picture has at least: less is a card with something small in the middle."""
_MIN_EDGE = 0.4
"""Share of the picture's first line that differs from the border: a picture ends at once, a night sky does not."""
_MIN_CONTRAST = 12
"""Gray levels of that difference."""


def find_picture(images: Sequence[np.ndarray]) -> tuple[int, int, int, int] | None:
    """Return (x0, y0, x1, y1), pixel edges, of the picture inside borders; None where it fills the frame.

    Borders are of one color, straight, on two opposite sides or on all four, and the same in all frames.

    Args:
        images: ``H W 3`` uint8 frames of one shot, of one size.
    """
    chosen = [images[index] for index in np.unique(np.linspace(0, len(images) - 1, _MAX_FRAMES).round().astype(int))]
    height, width = chosen[0].shape[:2]
    top, bottom = _borders(chosen)
    rows = slice(top, height - bottom)
    left, right = _borders([image[rows].transpose(1, 0, 2) for image in chosen])
    if top + bottom + left + right == 0:
        return None
    if height - top - bottom < _MIN_PICTURE * height or width - left - right < _MIN_PICTURE * width:
        return None
    return left, top, width - right, height - bottom


def _borders(images: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return the widths of the borders above and below, both 0 where they are no borders."""
    size = images[0].shape[0]
    stack = np.stack([image[:, :: max(1, image.shape[1] // 320)] for image in images]).astype(np.int16)
    above, below = _width(stack), _width(stack[:, ::-1])
    is_pair = above + below < size and min(above, below) >= _MIN_SHARE * size
    return (above, below) if is_pair else (0, 0)


def _width(stack: np.ndarray) -> int:
    """Return how many lines of ``n H W 3`` have the first line's color; 0 where the picture begins softly."""
    color = np.median(stack[:, 0], axis=(0, 1))
    off = np.abs(stack - color).max(axis=-1)
    is_border = (off > _TOLERANCE).mean(axis=(0, 2)) <= _MAX_STRAY
    width = len(is_border) if is_border.all() else int(np.argmin(is_border))
    # The encoder blurs the edge: the line after it decides, and the one that is mixed belongs to the border.
    edge = off[:, width : width + 3]
    if width == 0 or edge.shape[1] < 3:
        return 0
    clear = (edge > _MIN_CONTRAST).mean(axis=2).max(axis=0)
    return width + int(clear[0] < _MIN_EDGE <= clear[1]) if clear.max() >= _MIN_EDGE else 0
