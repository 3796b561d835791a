"""Letterboxing: the network image in the square input of the paper's human prior, centered and padded with black.

Source: Multi-HMR (arXiv 2402.14654), sec. 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PADDING_VALUE = -1.0
"""Black in the [-1, 1] range."""


def content_box(image_size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """Return (y0, y1, x0, x1): the place of an image of ``image_size`` in a square of ``side`` pixels."""
    height, width = image_size
    scale = min(side / height, side / width)
    new_height, new_width = int(height * scale), int(width * scale)
    top, left = (side - new_height) // 2, (side - new_width) // 2
    return top, top + new_height, left, left + new_width


def letterbox(image: Tensor, side: int) -> Tensor:
    """Resize ``B C H W`` bilinearly to fit into ``side x side`` and pad it, centered, with ``PADDING_VALUE``."""
    y0, y1, x0, x1 = content_box((image.shape[-2], image.shape[-1]), side)
    resized = functional.interpolate(image, size=(y1 - y0, x1 - x0), mode="bilinear", align_corners=False)
    return functional.pad(resized, (x0, side - x1, y0, side - y1), value=PADDING_VALUE)


def letterbox_points_to_image(points_px: Tensor, side: int, image_size: tuple[int, int]) -> Tensor:
    """Map ``P 2`` (x, y) pixels of the square to pixels of the image, clamped to it."""
    height, width = image_size
    longest = max(height, width)
    scaled = points_px * (longest / side)
    x = (scaled[:, 0] - (longest - width) // 2).clamp(0, width - 1)
    y = (scaled[:, 1] - (longest - height) // 2).clamp(0, height - 1)
    return torch.stack((x, y), dim=-1)


def letterbox_map_to_image(square_map: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Resample maps ``B g g`` of the square to ``B H W`` of the image by nearest neighbor, without the padding."""
    height, width = image_size
    longest = max(height, width)
    top, left = (longest - height) // 2, (longest - width) // 2
    resized = functional.interpolate(square_map[:, None], size=(longest, longest), mode="nearest")
    return resized[:, 0, top : top + height, left : left + width]
