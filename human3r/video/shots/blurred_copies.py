"""Find a picture that stands before a blurred, enlarged copy of itself, as portrait videos do on wide screens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_NUM_LINES = 120
"""Lines of a frame in which edges are searched."""
_MIN_SHARE, _MAX_SHARE = 0.05, 0.375
"""Range of a side, as a share of the frame."""
_MIN_CONTRAST, _MIN_EDGE = 12, 0.2
"""Smallest step at the picture's edge, gray levels, and smallest share of the edge with one; both edges are at the same
distance from the frame's, to a pixel."""
_NUM_TRIED = 12
_MAX_SHARPNESS = 0.5
"""Largest mean step between neighboring pixels in the sides, as a share of that in the picture."""
_EDGE_PX = 10
"""Width next to the picture's edge in which the sides are not sharper."""
_COARSE_PX, _BLUR_PX = 96, 9
"""Width at which the sides are compared with the enlarged picture, and the blur of both."""
_MIN_CORRELATION = 0.85
"""Of the side that is more like the copy: captions may stand on the other one."""


def find_sides(images: Sequence[np.ndarray]) -> int:
    """Return the width of the blurred sides at the left and right of ``H W 3`` uint8 frames; 0 without such sides."""
    height, width = images[0].shape[:2]
    stack = np.stack([image[:: max(1, height // _NUM_LINES)] for image in images]).astype(np.float32).mean(axis=-1)
    steps = np.abs(np.diff(stack, axis=2))
    # An encoder spreads an edge over two steps, and sides may differ by one pixel.
    share = (steps[..., :-1] + steps[..., 1:] > _MIN_CONTRAST).mean(axis=(0, 1))
    mirrored = np.minimum(share, share[::-1])
    sides = range(round(_MAX_SHARE * width), max(_EDGE_PX, round(_MIN_SHARE * width)), -1)
    # Outside of the picture there are no steps.
    rise = {side: mirrored[side - 1] - mirrored[side - _EDGE_PX : side - 3].mean() for side in sides}
    tried = sorted(sides, key=lambda side: -rise[side])[:_NUM_TRIED]
    clear = (side for side in tried if mirrored[side - 1] >= _MIN_EDGE)
    return next((side for side in clear if _are_copies(images, steps, side)), 0)


def _are_copies(images: Sequence[np.ndarray], steps: np.ndarray, side: int) -> bool:
    """Return whether the sides are blurred, and the picture enlarged to the frame continues in them."""
    lines = steps.mean(axis=(0, 1))
    inside = lines[side + 3 : -side - 3].mean()
    for outside in (lines[: side - 3], lines[::-1][: side - 3]):
        # Captions cover less than half of a side.
        if max(np.median(outside), outside[-_EDGE_PX:].mean()) > _MAX_SHARPNESS * inside:
            return False
    height, width = images[0].shape[:2]
    frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().mean(1, keepdim=True)
    size = max(1, round(_COARSE_PX * height / width)), _COARSE_PX
    picture = frames[..., side : width - side]
    enlarged = round(size[0] * width / (width - 2 * side))
    cut = (enlarged - size[0]) // 2
    copies = (_coarse(picture, (enlarged, _COARSE_PX))[:, :, cut : cut + size[0]], _coarse(picture, size))
    columns = torch.arange(_COARSE_PX)
    margin = int(side / width * _COARSE_PX) - _BLUR_PX // 2
    shown = _blurred(_coarse(frames, size))
    return any(
        _correlation(shown[..., part], copy[..., part]) >= _MIN_CORRELATION
        for copy in map(_blurred, copies)
        for part in (columns < margin, columns.flip(0) < margin)
    )


def _coarse(frames: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(frames, size, mode="bilinear", antialias=True)


def _blurred(frames: Tensor) -> Tensor:
    return functional.avg_pool2d(frames, _BLUR_PX, 1, _BLUR_PX // 2, count_include_pad=False)


def _correlation(one: Tensor, other: Tensor) -> float:
    pair = torch.stack([one.flatten(), other.flatten()])
    return float(torch.corrcoef(pair)[0, 1]) if pair.shape[1] > 1 else 0.0
