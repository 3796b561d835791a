"""The fused scene points as viewers get them: thinned to a bound, in the y-up world whose floor is y = 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from human3r.results.reconstruction import Reconstruction

MAX_POINTS = 200_000
"""More points make files for the web heavy without looking denser; ``points.ply`` and the npz hold them all."""
_NUM_DISTANCES = 3
_SIZES_M = (0.012, 0.09)
_COVERS, _NEIGHBORS, _SAMPLED = 0.75, 3, 1500


def thinned_points(reconstruction: Reconstruction, limit: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return at most ``limit`` points ``M 3`` float32 in meters and their colors ``M 3`` uint8, evenly thinned."""
    return _taken(reconstruction, _chosen(reconstruction, limit))


@dataclass(frozen=True)
class PointGroup:
    """Points that are drawn at one size."""

    points: np.ndarray
    """``M 3`` float32, meters, in the y-up world."""
    colors: np.ndarray
    """``M 3`` uint8"""
    size_m: float
    """How large they are drawn: what was seen from further away lies further apart."""


def points_by_confidence(reconstruction: Reconstruction, num_bands: int) -> list[list[PointGroup]]:
    """Return the thinned points in bands of equal size, the least confident first, each grouped by distance.

    No points are no bands.
    """
    chosen = _chosen(reconstruction, MAX_POINTS)
    if len(chosen) == 0:
        return []
    by_confidence = chosen[np.argsort(reconstruction.points_confidence[chosen], kind="stable")]
    distance = _distance_m(reconstruction)
    edges = np.quantile(distance[chosen], np.arange(1, _NUM_DISTANCES) / _NUM_DISTANCES)
    sizes_m = _sizes_m(reconstruction.points_world[chosen], np.searchsorted(edges, distance[chosen]))
    bands = []
    for band in np.array_split(by_confidence, num_bands):
        group_of = np.searchsorted(edges, distance[band])
        groups = [(np.sort(band[group_of == group]), sizes_m[group]) for group in range(_NUM_DISTANCES)]
        bands.append([PointGroup(*_taken(reconstruction, rows), size_m) for rows, size_m in groups if len(rows)])
    return [band for band in bands if band]


def _sizes_m(points: np.ndarray, group_of: np.ndarray) -> list[float]:
    """Return for each group the size at which its points about touch their neighbors, meters."""
    tree, smallest, largest = KDTree(points), *_SIZES_M
    sizes = []
    for group in range(_NUM_DISTANCES):
        sample = points[group_of == group][:: max(1, int((group_of == group).sum()) // _SAMPLED)]
        gaps = tree.query(sample, k=_NEIGHBORS + 1)[0][:, -1] if len(sample) else np.zeros(0)
        gap = float(np.median(gaps[np.isfinite(gaps)])) if np.isfinite(gaps).any() else smallest
        sizes.append(round(min(largest, max(smallest, _COVERS * gap)), 3))
    return sizes


def _distance_m(reconstruction: Reconstruction) -> np.ndarray:
    """Return how far each point was from the camera that saw it, ``M`` meters."""
    frames = np.clip(reconstruction.points_frame, 0, max(reconstruction.num_frames - 1, 0))
    centers = reconstruction.T_world_camera[frames, :3, 3]
    return np.linalg.norm(reconstruction.points_world - centers, axis=1)


def _chosen(reconstruction: Reconstruction, limit: int) -> np.ndarray:
    count = len(reconstruction.points_world)
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, limit, replace=False))


def _taken(reconstruction: Reconstruction, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    T = reconstruction.T_gravity_world.astype(np.float64)
    points = reconstruction.points_world[rows] @ T[:3, :3].T + T[:3, 3]
    return points.astype(np.float32), reconstruction.points_color[rows]
