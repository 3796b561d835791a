"""Find the picture inside borders: letterbox, pillarbox, and pictures fitted into a frame of another shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from human3r.video.shots.blurred_copies import find_sides

_MAX_FRAMES = 8
"""Frames of a shot that are examined."""
_TOLERANCE = 6
"""Largest difference among a border's pixels, gray levels, as compression leaves."""
_MAX_STRAY = 0.1
"""Share of a border line's pixels that may differ more: compression rings next to the edge."""
_FIRST_LINES = 16
"""Examined first, then twice as many as long as all are of a border: most pictures have none."""
_MIN_SHARE = 0.02
"""Smallest border that is removed, as a share of the side."""
_MIN_PICTURE = 0.25
"""Smallest share of each side that the picture covers; less is a title card."""
_MIN_PLAIN, _MIN_PLAIN_LINE = 0.75, 0.3
"""Smallest share of the border's color in a border with subtitles, and in each of its lines."""
_MIN_EDGE = 0.4
"""Smallest share of the picture's first line that differs from the border, unlike the gradual edge of a night sky."""
_MIN_CONTRAST = 12
"""Smallest such difference, gray levels."""
_MAX_BLACK, _MAX_STRAY_BLACK, _LONE_CONTRAST, _MIN_LONE_EDGE = 24, 0.01, 30, 0.9
"""Of a border without a twin: its lightest gray level, the share of lighter pixels, and the step at its edge with the
share of the edge that has one in one of the frames. A dark object near the lens is neither as even nor as straight;
a night sky fades."""


def find_picture(images: Sequence[np.ndarray]) -> tuple[int, int, int, int] | None:
    """Return (x0, y0, x1, y1), pixel edges, of the picture inside borders; None if it fills the frame.

    Borders are equal in all frames, with straight edges: of one color on two opposite sides or on all four, black on
    one side alone, or blurred copies of the picture on two sides.

    Args:
        images: ``H W 3`` uint8 frames of one shot, of one size.
    """
    chosen = [images[index] for index in np.unique(np.linspace(0, len(images) - 1, _MAX_FRAMES).round().astype(int))]
    height, width = chosen[0].shape[:2]
    top, bottom = _borders(chosen)
    rows = slice(top, height - bottom)
    left, right = _borders([image[rows].transpose(1, 0, 2) for image in chosen])
    if top + bottom + left + right == 0:
        top = bottom = find_sides([image.transpose(1, 0, 2) for image in chosen])
        left = right = 0 if top else find_sides(chosen)
    if top + bottom + left + right == 0:
        return None
    if height - top - bottom < _MIN_PICTURE * height or width - left - right < _MIN_PICTURE * width:
        return None
    return left, top, width - right, height - bottom


def _borders(images: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return the heights of the borders above and below; 0, 0 if these are not borders."""
    size = images[0].shape[0]
    stack = np.stack([image[:, :: max(1, image.shape[1] // 320)] for image in images]).astype(np.int16)
    above, below = _width(stack), _width(stack[:, ::-1])
    larger = max(above, below)
    if _MIN_SHARE * size <= larger < size / 2 and _has_letters(stack if below > above else stack[:, ::-1], larger):
        return larger, larger
    if above + below < size and min(above, below) >= _MIN_SHARE * size:
        return above, below
    if _MIN_SHARE * size <= larger < size / 2 and _is_black(stack if above > below else stack[:, ::-1], larger):
        return (larger, 0) if above > below else (0, larger)
    return 0, 0


def _is_black(stack: np.ndarray, width: int) -> bool:
    """Return whether the first lines of ``n H W 3`` are an even black with a straight edge."""
    off = np.abs(stack[:, width + 2] - np.median(stack[:, :width])).max(axis=-1) > _LONE_CONTRAST
    is_even = (stack[:, : width - 3] > _MAX_BLACK).mean() <= _MAX_STRAY_BLACK
    return bool(is_even and off.any(axis=0).mean() >= _MIN_LONE_EDGE)


def _has_letters(stack: np.ndarray, width: int) -> bool:
    """Return whether the first lines of ``n H W 3`` are the last ones' mirrored border with subtitles on it."""
    color = np.median(stack[:, -width:], axis=(0, 1, 2))
    is_plain = np.abs(stack[:, : width + 3] - color).max(axis=-1) <= _TOLERANCE
    lines = is_plain.mean(axis=(0, 2))
    has_edge = lines[width:].min() <= 1 - _MIN_EDGE and lines[width - 3] >= 1 - _MAX_STRAY
    return bool(has_edge and lines[:width].mean() >= _MIN_PLAIN and lines[:width].min() >= _MIN_PLAIN_LINE)


def _width(stack: np.ndarray) -> int:
    """Return how many lines of ``n H W 3`` have the first line's color; 0 if the edge is gradual."""
    color, looked_at = np.median(stack[:, 0], axis=(0, 1)), _FIRST_LINES
    while True:
        off = np.abs(stack[:, :looked_at] - color).max(axis=-1)
        is_border = (off > _TOLERANCE).mean(axis=(0, 2)) <= _MAX_STRAY
        # The edge is the three lines after the border.
        if looked_at >= stack.shape[1] or not is_border[:-3].all():
            break
        looked_at *= 2
    width = len(is_border) if is_border.all() else int(np.argmin(is_border))
    # Encoders blur the edge: the line after it decides, and the mixed one belongs to the border.
    edge = off[:, width : width + 3]
    if width == 0 or edge.shape[1] < 3:
        return 0
    clear = (edge > _MIN_CONTRAST).mean(axis=2).max(axis=0)
    return width + int(clear[0] < _MIN_EDGE <= clear[1]) if clear.max() >= _MIN_EDGE else 0
