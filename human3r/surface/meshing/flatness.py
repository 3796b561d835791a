"""Planar parts of a depth map: smoothing where it is nearly a plane, and steps that no plane beside them explains.

Planes in space are planes in disparity.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

_WINDOWS_PX = (11, 31, 63)
_PLANE_RMS = 0.02
"""Relative distance from a plane above which a neighborhood is not a plane."""


def flattened(depth: np.ndarray) -> np.ndarray:
    """Return ``h w`` depth, smoothed where a plane fits its neighborhood, the larger the better; 0 is unknown."""
    is_known = depth > 0
    disparity = np.where(is_known, 1 / np.where(is_known, depth, 1), 0)
    smooth = disparity
    for window_px in _WINDOWS_PX:
        plane, residual = _planes(disparity, window_px)
        share = 1 / (1 + (residual / _PLANE_RMS) ** 4)
        smooth = share * plane + (1 - share) * smooth
    return np.where(is_known, 1 / np.maximum(smooth, 1e-6), 0).astype(np.float32)


def _planes(disparity: np.ndarray, window_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``h w``: the plane that fits the known part of every pixel's window, and the relative distance from it."""
    height, width = disparity.shape
    y, x = (grid / window_px for grid in np.mgrid[:height, :width].astype(np.float64))

    def mean(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, window_px, mode="constant")

    weight = (disparity > 0).astype(np.float64)
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
    return plane, residual


def steps(depth: np.ndarray, distance: int, tolerance: float, side: int) -> np.ndarray:
    """Return ``h - distance, w`` bool: to the pixel ``distance`` rows below, depth steps by more than slopes explain.

    Args:
        depth: ``h w``, 0 where it is unknown; steps are between known pixels.
        distance: In rows.
        tolerance: Relative step that is none.
        side: Rows over which the slopes before and after the step are measured.
    """
    disparity = np.where(depth > 0, 1 / np.where(depth > 0, depth, 1), np.nan)
    slope = np.full_like(disparity, np.nan)
    slope[side:] = (disparity[side:] - disparity[:-side]) * (distance / side)
    before, after = slope[:-distance], np.full_like(slope[distance:], np.nan)
    after[: len(after) - side] = slope[distance + side :]
    # Where one side is not known far enough, the other one counts; where none is, level ones.
    before, after = np.where(np.isnan(before), after, before), np.where(np.isnan(after), before, after)
    low, high = (np.nan_to_num(bound(before, after)) for bound in (np.minimum, np.maximum))
    change = disparity[distance:] - disparity[:-distance]
    excess = np.maximum(change - np.maximum(high, 0), np.minimum(low, 0) - change)
    return np.nan_to_num(excess / np.minimum(disparity[distance:], disparity[:-distance])) > tolerance
