"""Colors of HDR video in the standard range. Runs inside the decoder process only.

Read as if they were ordinary ones, PQ and HLG pictures are gray and dark: their reference white is 58 or 75 % of the
code range, and their primaries are wider. Many phones film HLG by default.
"""

from __future__ import annotations

from functools import cache

import av
import numpy as np

PQ, HLG = 16, 18
"""Transfer functions SMPTE ST 2084 and ARIB STD-B67. Source: ITU-T H.273, table 3."""
_WHITE, _PEAK = 203.0, 1000.0
"""Reference white, and the brightest pixel that is kept apart from brighter ones, cd/m². Source: ITU-R BT.2408."""
_KNEE = 0.8
"""Part of the reference white up to which luminance stays what it is; what is brighter shares the rest."""
_DISPLAY_GAMMA = 2.4
"""Of a standard display. Source: ITU-R BT.1886."""
_BT709_FROM_BT2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""Linear RGB. Source: ITU-R BT.2087."""


def to_standard_range(image: np.ndarray, transfer: int) -> np.ndarray:
    """Return ``H W 3`` uint8 BT.709 of ``H W 4`` uint8 opaque RGBA, whose BT.2020 codes are ``PQ`` or ``HLG``.

    Each color is computed exactly when a picture has it for the first time.
    """
    table, codes = _table(transfer), image.view("<i4")[..., 0]  # negative, as alpha is the highest byte: from the end
    colors = table.take(codes, mode="wrap")
    if colors.min() == 0:
        new = np.unique(codes[colors == 0])
        table[new] = _colors_of(new, transfer)
        colors = table.take(codes, mode="wrap")
    layers = colors.view(np.uint8).reshape(image.shape)
    return av.VideoFrame.from_ndarray(layers, format="rgba").to_ndarray(format="rgb24")


@cache
def _table(transfer: int) -> np.ndarray:
    """Return ``2^24`` the color of every code, RGBA in one number; 0 until a picture has it."""
    return np.zeros(1 << 24, "<u4")


def _colors_of(codes: np.ndarray, transfer: int) -> np.ndarray:
    """Return the colors of ``n`` codes; both RGBA in one number."""
    layers = codes.view(np.uint8).reshape(-1, 4).copy()
    scaled = layers[:, :3] / 255
    linear = (_light_of_pq(scaled) if transfer == PQ else _light_of_hlg(scaled)) / _WHITE
    brightest = linear.max(-1, keepdims=True)
    linear = linear * (_compressed(brightest) / np.maximum(brightest, 1e-6))
    layers[:, :3] = np.rint(255 * (linear @ _BT709_FROM_BT2020.T).clip(0, 1) ** (1 / _DISPLAY_GAMMA))
    return layers.view("<u4")[:, 0]


def _light_of_pq(codes: np.ndarray) -> np.ndarray:
    """Return cd/m². Source: ITU-R BT.2100, table 4."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    powers = codes ** (1 / m2)
    return 10_000 * (np.maximum(powers - c1, 0) / (c2 - c3 * powers)) ** (1 / m1)


def _light_of_hlg(codes: np.ndarray) -> np.ndarray:
    """Return cd/m² of a display with the peak ``_PEAK``. Source: ITU-R BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    return _PEAK * luminance[..., None] ** 0.2 * scene


def _compressed(brightness: np.ndarray) -> np.ndarray:
    """Return values up to ``_KNEE`` unchanged, and values from there to the peak up to 1."""
    rest = 1 - _KNEE
    above, peak = np.maximum(brightness - _KNEE, 0) / rest, (_PEAK / _WHITE - _KNEE) / rest
    return np.minimum(brightness, _KNEE) + rest * above * (1 + above / peak**2) / (1 + above)
