"""Planar parts of a depth map: smoothing where it is nearly a plane, and the slope allowed without a step."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

_WINDOW_PX = 11
_PLANE_RMS = 0.012
"""Relative distance from a plane above which a neighborhood is not a plane."""
_SIDE_PX = 4
"""Distance from a step at which both sides are compared: beyond the networks' blur."""
_SLOPE_SHARE, _MAX_SLOPE = 1.5, 0.2
"""A surface that slopes on both sides may step by this multiple of its slope, relative, and never by more."""


def flattened(depth: np.ndarray) -> np.ndarray:
    """Return ``h w`` depth, smoothed where a plane fits its neighborhood; 0 is unknown.

    Planes in space are planes in disparity; they are fitted with box filters (moving least squares).
    """
    is_known = depth > 0
    disparity = np.where(is_known, 1 / np.where(is_known, depth, 1), 0)
    height, width = depth.shape
    y, x = (grid / _WINDOW_PX for grid in np.mgrid[:height, :width].astype(np.float64))

    def mean(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, _WINDOW_PX, mode="constant")

    weight = is_known.astype(np.float64)
    total = np.maximum(mean(weight), 1e-9)
    m_x, m_y, m_q = (mean(weight * values) / total for values in (x, y, disparity))
    # Second moments about the window's mean; the ridge leaves windows of a few pixels level.
    c_xx = mean(weight * x * x) / total - m_x**2 + 1e-4
    c_yy = mean(weight * y * y) / total - m_y**2 + 1e-4
    c_xy = mean(weight * x * y) / total - m_x * m_y
    c_xq = mean(weight * x * disparity) / total - m_x * m_q
    c_yq = mean(weight * y * disparity) / total - m_y * m_q
    determinant = c_xx * c_yy - c_xy**2
    slope_x, slope_y = (c_yy * c_xq - c_xy * c_yq) / determinant, (c_xx * c_yq - c_xy * c_xq) / determinant
    plane = np.maximum(m_q + slope_x * (x - m_x) + slope_y * (y - m_y), 1e-6)
    spread = mean(weight * disparity**2) / total - m_q**2
    residual = np.sqrt(np.maximum(spread - slope_x * c_xq - slope_y * c_yq, 0)) / np.maximum(m_q, 1e-9)
    share = 1 / (1 + (residual / _PLANE_RMS) ** 4)
    smooth = 1 / np.maximum(share * plane + (1 - share) * disparity, 1e-6)
    return np.where(is_known, smooth, 0).astype(np.float32)


def sloping(depth: np.ndarray) -> np.ndarray:
    """Return ``h w``: the relative depth step between pixels that the slope of the surface explains."""
    allowed = np.zeros(depth.shape, dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for values, limit in ((depth, allowed), (depth.T, allowed.T)):
            step = np.zeros(values.shape, dtype=np.float32)
            is_pair = (values[1:] > 0) & (values[:-1] > 0)
            step[:-1] = np.where(is_pair, np.abs(np.diff(values, axis=0)) / np.minimum(values[1:], values[:-1]), 0)
            before, after = np.zeros_like(step), np.zeros_like(step)
            before[_SIDE_PX:] = step[:-_SIDE_PX]
            after[:-_SIDE_PX] = step[_SIDE_PX:]
            # At the border of the image there is one side only.
            before[:_SIDE_PX], after[-_SIDE_PX - 1 :] = after[:_SIDE_PX], before[-_SIDE_PX - 1 :]
            limit += np.minimum(before, after)
    return np.minimum(_SLOPE_SHARE * allowed, _MAX_SLOPE)
