"""One color per identity for the viewer, overlays and exported files; and the sRGB transfer function.

Twelve hues that color-blind viewers can tell apart on light and dark backgrounds; later identities reuse them in order.
"""

from __future__ import annotations

import numpy as np

_COLORS_RGB: tuple[tuple[int, int, int], ...] = (
    (66, 135, 245),
    (245, 140, 50),
    (52, 181, 128),
    (214, 72, 92),
    (148, 103, 220),
    (238, 194, 60),
    (40, 178, 200),
    (226, 110, 180),
    (140, 180, 64),
    (176, 118, 82),
    (104, 122, 200),
    (120, 200, 176),
)


def person_color(track_id: int) -> tuple[int, int, int]:
    """Return the sRGB color (0 to 255) of one identity."""
    return _COLORS_RGB[track_id % len(_COLORS_RGB)]


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Decode sRGB in [0, 1]. Source: IEC 61966-2-1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light, clipped to [0, 1], as sRGB. Source: IEC 61966-2-1."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
