"""Means and lines fitted locally in time under a Gaussian window. NumPy only."""

from __future__ import annotations

import numpy as np

_REACH = 3.0
"""The window ends after this many standard deviations."""
_MAX_NEIGHBORS = 90
"""On either side; bounds the work on clips of very high frame rates."""


def local_lines(values: np.ndarray, time_s: np.ndarray, sigma_s: float, weight: np.ndarray) -> np.ndarray:
    """Return ``n J D``: the value at every time of a line fitted under a Gaussian window around it.

    Args:
        values: ``n J D``.
        time_s: ``n`` increasing, seconds.
        sigma_s: Standard deviation of the window.
        weight: ``n J`` of each observation, times the window.
    """
    moments, sums = _moments(values, time_s, sigma_s, weight, degree=1)
    mean = sums[0] / moments[0][..., None]
    spread = moments[0] * moments[2] - moments[1] ** 2
    # A single observation under the window has no slope.
    is_line = spread > 1e-6 * moments[0] ** 2
    slope = np.where(is_line, moments[1] / np.where(is_line, spread, 1.0), 0.0)[..., None]
    return mean - slope * (moments[0][..., None] * sums[1] - moments[1][..., None] * sums[0]) / moments[0][..., None]


def robust_lines(
    values: np.ndarray,
    time_s: np.ndarray,
    sigma_s: float,
    knee: float,
    swift: float = float("inf"),
    trust: np.ndarray | None = None,
) -> np.ndarray:
    """Fit lines to ``n J D`` values at ``n`` times, twice: the second time with outliers weighted down.

    Where lines under half the window differ by more than ``swift``, the motion is no line, and those are followed.
    ``trust`` are weights ``n`` of the times; None for equal ones.
    """
    if sigma_s <= 0:
        return values
    weight = np.ones(values.shape[:2]) if trust is None else np.broadcast_to(trust[:, None], values.shape[:2])
    fitted = local_lines(values, time_s, sigma_s, weight)
    off = np.linalg.norm(fitted - values, axis=-1)
    weight = weight / (1 + (off / knee) ** 2)
    fitted = local_lines(values, time_s, sigma_s, weight)
    if swift == float("inf"):
        return fitted
    change = local_lines(values, time_s, 0.5 * sigma_s, weight) - fitted
    squared = (change**2).sum(axis=-1, keepdims=True)
    return fitted + squared / (squared + swift**2) * change


def local_means(values: np.ndarray, time_s: np.ndarray, sigma_s: float, weight: np.ndarray) -> np.ndarray:
    """Return ``n J D``: the mean under a Gaussian window around every time; arguments as ``local_lines``."""
    moments, sums = _moments(values, time_s, sigma_s, weight, degree=0)
    return sums[0] / moments[0][..., None]


def _moments(
    values: np.ndarray, time_s: np.ndarray, sigma_s: float, weight: np.ndarray, degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums over the window of weights ``2 * degree + 1 n J`` and of values ``degree + 1 n J D``, by power."""
    count = len(values)
    neighbors = min(_MAX_NEIGHBORS, count - 1, _widest(time_s, _REACH * sigma_s))
    moments = np.zeros((2 * degree + 1, *weight.shape))
    sums = np.zeros((degree + 1, *values.shape))
    for shift in range(-neighbors, neighbors + 1):
        here = np.arange(max(0, -shift), min(count, count - shift))
        away = (time_s[here + shift] - time_s[here]) / sigma_s
        share = (np.exp(-0.5 * away**2) * (np.abs(away) <= _REACH))[:, None] * weight[here + shift]
        for power in range(len(moments)):
            moments[power, here] += share * away[:, None] ** power
        for power in range(len(sums)):
            sums[power, here] += (share * away[:, None] ** power)[..., None] * values[here + shift]
    return moments, sums


def _widest(time_s: np.ndarray, reach_s: float) -> int:
    """Return the largest number of observations within ``reach_s`` on one side of any of them."""
    return int((np.searchsorted(time_s, time_s + reach_s, side="right") - np.arange(len(time_s))).max())


def nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    """Project ``... 3 3`` onto rotations. Source: Umeyama 1991, orthogonal Procrustes."""
    u, _, vh = np.linalg.svd(matrices)
    u[..., -1] *= np.sign(np.linalg.det(u @ vh))[..., None]
    return u @ vh
