"""One decoded frame of a source: opaque RGB in the size of the clip. Runs inside the decoder process only."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from PIL import Image

from human3r.video.limits import MediaLimits, check_frame_size

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


def to_rgb(frame: av.VideoFrame, size: tuple[int, int], first_size: tuple[int, int], limits: MediaLimits) -> np.ndarray:
    """Convert a decoded video frame, not yet upright, to ``H W 3`` RGB with square pixels.

    Args:
        frame: The frame.
        size: (height, width) to return.
        first_size: Coded (height, width) of the clip's first frame; one of another size is fitted with borders.

    Raises:
        MediaTooLargeError: A later frame is too large.
    """
    coded = (frame.height, frame.width)
    if coded == first_size:
        return _opaque(frame, size)
    check_frame_size(*coded, limits)
    aspect = size[1] / first_size[1] * first_size[0] / size[0]
    return fit(_opaque(frame, (coded[0], max(1, round(coded[1] * aspect)))), size)


def _opaque(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    if frame.format.has_palette or any(component.is_alpha for component in frame.format.components):
        layers = frame.reformat(width=size[1], height=size[0], format="rgba").to_ndarray(format="rgba")
        if layers[..., 3].min() < 255:
            return on_neutral_ground(layers)
    if (frame.height, frame.width) != size:
        frame = frame.reformat(width=size[1], height=size[0], format="rgb24")
    return frame.to_ndarray(format="rgb24")


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
