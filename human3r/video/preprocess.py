"""From a decoded frame to the network's image, and back to source pixels.

Two rules: the paper's resizes to a long side and crops to multiples of 16; that of ``compact`` resizes the whole frame
to multiples of 32. Frames arrive upright; the decoder applies rotation tags. Source of the paper's rule: DUSt3R (arXiv
2312.14132), sec. 4; CUT3R (arXiv 2501.12387).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from human3r.records import TensorRecord

PAPER_LONG_SIDE = 512
COMPACT_LONG_SIDE = 384
COMPACT_MULTIPLE = 32


@dataclass(frozen=True)
class PreparedImage(TensorRecord):
    """One frame as the network sees it."""

    image: Tensor
    """``3 H W`` float32 RGB in [-1, 1]."""
    image_uint8: np.ndarray
    """``H W 3`` uint8 RGB, the same pixels."""
    source_rect_px: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the upright source frame that the image covers, in pixel edges."""
    source_size: tuple[int, int]
    """(height, width) of the upright source frame."""
    source: np.ndarray
    """``height width 3`` uint8 RGB, the source frame itself."""


def prepare_paper(image: np.ndarray, size: int = PAPER_LONG_SIDE) -> PreparedImage:
    """Resize ``H W 3`` uint8 to a long side of ``size`` pixels and crop it, centered, to multiples of 16.

    An exactly square result is cropped to 4:3. 224 is special: the long side is chosen so that a centered square of 224
    pixels remains. Enlarging is bicubic, shrinking Lanczos.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    long_side = round(size * max(width / height, height / width)) if size == 224 else size
    new_width, new_height = (round(side * long_side / longest) for side in (width, height))
    filtering = Image.Resampling.LANCZOS if longest > long_side else Image.Resampling.BICUBIC
    resized = Image.fromarray(image).resize((new_width, new_height), filtering)
    x_center, y_center = new_width // 2, new_height // 2
    if size == 224:
        x_half = y_half = min(x_center, y_center)
    else:
        x_half, y_half = ((2 * center) // 16 * 8 for center in (x_center, y_center))
        if new_width == new_height:
            y_half = 3 * x_half // 4
    box = (x_center - x_half, y_center - y_half, x_center + x_half, y_center + y_half)
    scale_x, scale_y = width / new_width, height / new_height
    rect = (box[0] * scale_x, box[1] * scale_y, box[2] * scale_x, box[3] * scale_y)
    return _prepared(np.array(resized.crop(box)), rect, image)


def prepare_compact(image: np.ndarray, size: int = COMPACT_LONG_SIDE) -> PreparedImage:
    """Resize ``H W 3`` uint8 to a long side of about ``size``, both sides multiples of 32.

    Nothing is cropped; the sides are rounded separately, so the aspect changes slightly.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    new_width, new_height = (
        max(round(side * scale / COMPACT_MULTIPLE), 1) * COMPACT_MULTIPLE for side in (width, height)
    )
    frame = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
    # Pillow's antialiased bilinear filter in torch's own form: 1.3 ms instead of 9 for a frame of 1920 x 1080.
    resized = functional.interpolate(frame, (new_height, new_width), mode="bilinear", antialias=True)
    pixels = resized[0].permute(1, 2, 0).contiguous().numpy()
    return _prepared(pixels, (0.0, 0.0, float(width), float(height)), image)


PREPARE: dict[str, Callable[[np.ndarray, int], PreparedImage]] = {
    "paper": prepare_paper,
    "compact": prepare_compact,
}
"""The rules by the name that ``ModelConfig.preprocess`` holds; arguments: frame, ``ModelConfig.image_size``."""


def _prepared(pixels: np.ndarray, rect: tuple[float, float, float, float], source: np.ndarray) -> PreparedImage:
    # Permute while these are bytes: floats would take four times as long.
    image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().to(torch.float32)
    size = (source.shape[0], source.shape[1])
    return PreparedImage(image.div_(255).sub_(0.5).div_(0.5), pixels, rect, size, source)
