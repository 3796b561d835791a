"""From a source frame to a network image with its principal point in the middle; depth, mask and intrinsics follow.

Source: Human3R (arXiv 2510.06219), supplement; cropping as in DUSt3R (arXiv 2312.14132).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from human3r.errors import FormatError
from human3r.training.paper.data.layout import LabeledFrame

MAX_DEPTH_M = 200.0
"""Depth beyond this is treated as unknown."""
_MIN_MARGIN = 1 / 5
"""Share of a side that must lie on either side of the principal point."""


def clean_depth(depth: np.ndarray) -> np.ndarray:
    """Return ``H W`` depth in meters with 0 where it is not finite or too far to be a surface."""
    return np.where(np.isfinite(depth) & (depth <= MAX_DEPTH_M), depth, 0).astype(np.float32)


def crop_frame(frame: LabeledFrame, target: tuple[int, int], enlargement: int = 0) -> LabeledFrame:
    """Return the frame at ``target`` (height, width), isotropically scaled, principal point in the middle.

    Args:
        target: (height, width) wanted, pixels.
        enlargement: Pixels added to both sides of the size that the image is scaled to cover: a slight zoom.

    Raises:
        FormatError: The principal point lies near the border of the image, or outside.
    """
    return _crop(_rescale(_center(frame), (target[0] + enlargement, target[1] + enlargement)), target)


def _window(frame: LabeledFrame, top: int, left: int, size: tuple[int, int]) -> LabeledFrame:
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    K = frame.K.copy()
    K[0, 2] -= left
    K[1, 2] -= top
    return replace(
        frame,
        image=frame.image[rows, columns],
        depth=frame.depth[rows, columns],
        person_mask=frame.person_mask[rows, columns],
        K=K,
    )


def _center(frame: LabeledFrame) -> LabeledFrame:
    """Cut the largest window whose middle is the rounded principal point."""
    height, width = frame.image.shape[:2]
    x, y = round(float(frame.K[0, 2])), round(float(frame.K[1, 2]))
    x_margin, y_margin = min(x, width - x), min(y, height - y)
    if x_margin <= width * _MIN_MARGIN or y_margin <= height * _MIN_MARGIN:
        raise FormatError(f"The principal point ({x}, {y}) is not in the middle of an image of {width}x{height}.")
    return _window(frame, y - y_margin, x - x_margin, (2 * y_margin, 2 * x_margin))


def _rescale(frame: LabeledFrame, covered: tuple[int, int]) -> LabeledFrame:
    """Scale the frame until it just covers a size; pixel centers sit half a pixel inside the edges that scale."""
    height, width = frame.image.shape[:2]
    scale = max(covered[0] / height, covered[1] / width) + 1e-8  # the floor below must not lose a pixel to rounding
    size = (int(width * scale), int(height * scale))
    filtering = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    K = frame.K.copy()
    K[:2, :] *= scale
    K[:2, 2] += 0.5 * scale - 0.5
    mask = Image.fromarray(frame.person_mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
    return replace(
        frame,
        image=np.array(Image.fromarray(frame.image).resize(size, filtering)),
        depth=np.array(Image.fromarray(frame.depth).resize(size, Image.Resampling.NEAREST)),
        person_mask=np.array(mask) > 127,
        K=K,
    )


def _crop(frame: LabeledFrame, target: tuple[int, int]) -> LabeledFrame:
    """Cut a window whose middle is the principal point, to the pixel."""
    height, width = frame.image.shape[:2]
    top = round(float(frame.K[1, 2]) + 0.5 - target[0] / 2)
    left = round(float(frame.K[0, 2]) + 0.5 - target[1] / 2)
    top, left = min(max(top, 0), height - target[0]), min(max(left, 0), width - target[1])
    return _window(frame, top, left, target)
