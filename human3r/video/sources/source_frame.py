"""One decoded frame of a source: opaque RGB in the size of the clip. Runs inside the decoder process only."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image

from human3r.video.sources.hdr import HLG, PQ, to_standard_range

_UNSPECIFIED = 2
"""Color matrix. Source: ITU-T H.273, table 4."""
_MIN_HD_LONG, _MAX_SD_SHORT = 1280, 576
"""Sides of the smallest high definition and of the largest standard definition, pixels."""
NEUTRAL_LEVEL = 128
"""Gray behind transparent pixels, whose own color is often arbitrary."""


@dataclass(frozen=True)
class SourceFrame:
    """One decoded frame, upright."""

    index: int
    """Index in the source clip, from 0."""
    time_s: float
    """Seconds from the first frame."""
    image: np.ndarray
    """``H W 3`` uint8 RGB, contiguous."""
    name: str = ""
    """File name of an image of a folder or zip."""
    begins_shot: bool = False
    """Whether the size differs from the previous frame's."""


@dataclass(frozen=True)
class FrameShape:
    """Stored size of a frame, not yet upright, and the shape of its pixels."""

    height: int
    width: int
    pixel_aspect: float
    """Width by height of a pixel."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) with square pixels."""
        return self.height, max(1, round(self.width * self.pixel_aspect))


def opaque(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """Convert a decoded frame to ``H W 3`` RGB of (height, width)."""
    if frame.format.has_palette or any(component.is_alpha for component in frame.format.components):
        layers = frame.reformat(width=size[1], height=size[0], format="rgba").to_ndarray(format="rgba")
        if layers[..., 3].min() < 255:
            return on_neutral_ground(layers)
    matrix, layout = _matrix(frame), "rgba" if is_hdr(frame) else "rgb24"
    if (frame.height, frame.width) != size or matrix is not None:
        image = frame.reformat(width=size[1], height=size[0], format=layout, src_colorspace=matrix)
    else:
        image = frame
    pixels = image.to_ndarray(format=layout)
    return to_standard_range(pixels, frame.color_trc) if is_hdr(frame) else pixels


def is_hdr(frame: av.VideoFrame) -> bool:
    """Return whether a frame has PQ or HLG codes."""
    return frame.color_trc in (PQ, HLG)


def _matrix(frame: av.VideoFrame) -> Colorspace | None:
    """Return the color matrix of a frame that does not name it and is HDR or larger than standard definition.

    FFmpeg takes ITU-R BT.601 for all of them, players take BT.2020 and BT.709.
    """
    if frame.colorspace != _UNSPECIFIED or frame.format.is_rgb:
        return None
    sides = frame.height, frame.width
    is_hd = max(sides) >= _MIN_HD_LONG or min(sides) > _MAX_SD_SHORT
    return Colorspace.BT2020 if is_hdr(frame) else Colorspace.ITU709 if is_hd else None


def on_neutral_ground(layers: np.ndarray) -> np.ndarray:
    """Blend ``H W 4`` uint8 RGBA over gray."""
    alpha = layers[..., 3:].astype(np.uint16)
    mixed = layers[..., :3] * alpha + NEUTRAL_LEVEL * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale ``H W 3`` uint8 into (height, width) without stretching it; the rest is black."""
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    fitted = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    scaled = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
    fitted[top : top + height, left : left + width] = np.asarray(scaled)
    return fitted
