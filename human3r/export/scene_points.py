"""The fused scene points as viewers get them: thinned to a bound, in the y-up world whose floor is y = 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from human3r.reconstruction import Reconstruction

MAX_POINTS = 200_000
"""More points make files for the web heavy without looking denser; ``points.ply`` and the npz hold them all."""
_NUM_DISTANCES = 3
_SCALES = (0.6, 2.5)


def thinned_points(reconstruction: Reconstruction, limit: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return at most ``limit`` points ``M 3`` float32 in metres and their colours ``M 3`` uint8, evenly thinned."""
    return _taken(reconstruction, _chosen(reconstruction, limit))


@dataclass(frozen=True)
class PointGroup:
    """Points that are drawn at one size."""

    points: np.ndarray
    """``M 3`` float32, metres, in the y-up world."""
    colors: np.ndarray
    """``M 3`` uint8"""
    scale: float
    """How large they are drawn, beside the others: what was seen from further away lies further apart."""


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
    middle = float(np.median(distance[chosen]))
    bands = []
    for band in np.array_split(by_confidence, num_bands):
        group_of = np.searchsorted(edges, distance[band])
        groups = [np.sort(band[group_of == group]) for group in range(_NUM_DISTANCES)]
        bands.append([_group(reconstruction, rows, distance, middle) for rows in groups if len(rows)])
    return [band for band in bands if band]


def _group(reconstruction: Reconstruction, rows: np.ndarray, distance: np.ndarray, middle: float) -> PointGroup:
    smallest, largest = _SCALES
    scale = float(np.median(distance[rows])) / max(middle, 1e-6)
    return PointGroup(*_taken(reconstruction, rows), scale=round(min(largest, max(smallest, scale)), 2))


def _distance_m(reconstruction: Reconstruction) -> np.ndarray:
    """Return how far each point was from the camera that saw it, ``M`` metres."""
    frames = np.clip(reconstruction.points_frame, 0, max(reconstruction.num_frames - 1, 0))
    centres = reconstruction.T_world_camera[frames, :3, 3]
    return np.linalg.norm(reconstruction.points_world - centres, axis=1)


def _chosen(reconstruction: Reconstruction, limit: int) -> np.ndarray:
    count = len(reconstruction.points_world)
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, limit, replace=False))


def _taken(reconstruction: Reconstruction, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    T = reconstruction.T_gravity_world.astype(np.float64)
    points = reconstruction.points_world[rows] @ T[:3, :3].T + T[:3, 3]
    return points.astype(np.float32), reconstruction.points_color[rows]
