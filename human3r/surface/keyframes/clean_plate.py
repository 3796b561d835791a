"""Merge several looks at one view into depth and picture without moving objects: the median over the looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_ROWS_AT_ONCE = 64
"""Of a picture: what is sorted together stays in the cache."""
_MIN_SEEN_OF_MANY = 2
"""A pixel visible in only one of many looks, and not the first, may be a person missed by that look's mask."""
_MANY = 4


def median_depth(depths: Sequence[np.ndarray]) -> np.ndarray:
    """Return the median of ``h w`` depths, float32; 0, which marks the unknown, does not count."""
    stack = np.stack(depths).astype(np.float32)
    count = np.count_nonzero(stack, axis=0)
    is_shown = (count >= (_MIN_SEEN_OF_MANY if len(depths) >= _MANY else 1)) | (depths[0] > 0)
    stack[stack == 0] = np.inf
    stack.sort(axis=0)
    middle = np.take_along_axis(stack, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    return np.where(is_shown, middle, 0)


def median_picture(pictures: Sequence[np.ndarray], is_hidden: Sequence[np.ndarray]) -> np.ndarray:
    """Return the median of ``H W 3`` uint8 pictures.

    Args:
        pictures: Of one size.
        is_hidden: ``H W`` bool for each: pixels that do not count. Where none counts, the result means nothing.
    """
    if len(pictures) == 1:
        return pictures[0]
    result = np.empty_like(pictures[0])
    for top in range(0, len(result), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        looks = [picture[rows].copy() for picture in pictures]
        # Hidden pixels count as white and black in turn, so the middle of all is the middle of those that count.
        is_white = np.ones(looks[0].shape[:2], dtype=bool)
        for look, hidden in zip(looks, (hidden[rows] for hidden in is_hidden), strict=True):
            look[hidden] = np.where(is_white[hidden], 255, 0)[:, None]
            is_white ^= hidden
        result[rows] = _middle(looks)
    return result


def _middle(looks: list[np.ndarray]) -> np.ndarray:
    """Return the lower median of arrays, which are overwritten; far faster than ``numpy.median`` for bytes."""
    # Odd-even transposition sort: whole arrays are compared and swapped at a time.
    for turn in range(len(looks)):
        for left in range(turn % 2, len(looks) - 1, 2):
            low = np.minimum(looks[left], looks[left + 1])
            np.maximum(looks[left], looks[left + 1], out=looks[left + 1])
            looks[left] = low
    return looks[(len(looks) - 1) // 2]
