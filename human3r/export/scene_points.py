"""The fused scene points as viewers get them: thinned to a bound, in the y-up world whose floor is y = 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from human3r.reconstruction import Reconstruction

MAX_POINTS = 200_000
"""More points make files for the web heavy without looking denser; ``points.ply`` and the npz hold them all."""


def thinned_points(reconstruction: Reconstruction, limit: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return at most ``limit`` points ``M 3`` float32 in metres and their colours ``M 3`` uint8, evenly thinned."""
    return _taken(reconstruction, _chosen(reconstruction, limit))


def points_by_confidence(reconstruction: Reconstruction, num_bands: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the thinned points in bands of equal size, the least confident first; no points are no bands."""
    chosen = _chosen(reconstruction, MAX_POINTS)
    by_confidence = chosen[np.argsort(reconstruction.points_confidence[chosen], kind="stable")]
    bands = np.array_split(by_confidence, num_bands)
    return [_taken(reconstruction, np.sort(band)) for band in bands if len(band)]


def _chosen(reconstruction: Reconstruction, limit: int) -> np.ndarray:
    count = len(reconstruction.points_world)
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, limit, replace=False))


def _taken(reconstruction: Reconstruction, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    T = reconstruction.T_gravity_world.astype(np.float64)
    points = reconstruction.points_world[rows] @ T[:3, :3].T + T[:3, 3]
    return points.astype(np.float32), reconstruction.points_color[rows]
