"""Standing people, their soles, and the height of the scene below. NumPy, y-up frame, meters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from human3r.skeleton import Joint

FEET = (Joint.LEFT_FOOT, Joint.RIGHT_FOOT)
SOLE_M = 0.04
"""Height of SMPL-X's foot joints over the sole of a standing body in shoes. Source: .042 to .046 in renders."""
FLOOR_RADIUS_M = 0.4
"""Horizontal distance of points that are the scene below a foot."""
OVERHEAD_M = 1.0
"""Points this far above a position are a ceiling or what hangs, leans or is stacked there, not the surface below it."""
_PERCENTILES = (10, 30, 50)
"""Of their heights: the second is the surface, since the rest stands on it; the others tell whether it is level."""
MAX_FLOOR_SPREAD_M = 0.15
"""Distance of the 10th and 50th percentile of the heights under a foot above which they are furniture, not a floor."""
_MIN_POINTS = 8
_MAX_POINTS = 200
_LEGS = (
    (Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.LEFT_ANKLE),
    (Joint.RIGHT_HIP, Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE),
)
_STRAIGHT_KNEE, _UPRIGHT = np.deg2rad(150), np.cos(np.deg2rad(30))
_BORDER_SHARE = 0.01
"""Joints this close to the image's border (in long sides) may lie outside."""


@dataclass(frozen=True)
class SurfaceBelow:
    """The scene under n positions."""

    height: np.ndarray
    """``n`` meters, 30th percentile of the points near the position; NaN without points."""
    spread: np.ndarray
    """``n`` distance between the 10th and the 50th percentile of their heights; NaN without points."""

    @property
    def is_floor(self) -> np.ndarray:
        """``n`` bool: there are points, of nearly one height."""
        return self.spread < MAX_FLOOR_SPREAD_M


def is_standing(joints_gravity: np.ndarray) -> np.ndarray:
    """Return which of ``N 22 3`` y-up bodies stand or walk: trunk upright, one leg straight below the hip."""
    trunk = joints_gravity[:, Joint.NECK] - joints_gravity[:, Joint.PELVIS]
    upright = trunk[:, 1] > _UPRIGHT * np.linalg.norm(trunk, axis=1)
    straight = np.zeros(len(joints_gravity), dtype=bool)
    for hip, knee, ankle in _LEGS:
        thigh = joints_gravity[:, hip] - joints_gravity[:, knee]
        shin = joints_gravity[:, ankle] - joints_gravity[:, knee]
        lengths = np.linalg.norm(thigh, axis=1) * np.linalg.norm(shin, axis=1)
        angle = np.arccos(np.clip((thigh * shin).sum(1) / np.maximum(lengths, 1e-9), -1, 1))
        straight |= (angle > _STRAIGHT_KNEE) & (thigh[:, 1] > _UPRIGHT * np.linalg.norm(thigh, axis=1))
    return upright & straight


def lower_sole(joints_gravity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower sole ``N 3`` of ``N J 3`` y-up bodies, and whether it is the left (0) or right one, ``N``."""
    feet = joints_gravity[:, FEET]
    side = feet[:, :, 1].argmin(axis=1)
    return feet[np.arange(len(feet)), side] - np.array([0.0, SOLE_M, 0.0]), side


def is_in_image(pixels: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return which of ``... 2`` pixels are surely inside an image of (height, width)."""
    height, width = image_size
    margin = _BORDER_SHARE * max(height, width)
    return np.all((pixels > margin) & (pixels < np.array([width, height]) - 1 - margin), axis=-1)


def surface_below(points_gravity: np.ndarray, positions: np.ndarray, overhead_m: float = np.inf) -> SurfaceBelow:
    """Return the scene ``M 3`` under positions ``n 3``, both y-up, without points ``overhead_m`` above a position."""
    height, spread = np.full(len(positions), np.nan), np.full(len(positions), np.nan)
    if len(points_gravity) == 0 or len(positions) == 0:
        return SurfaceBelow(height, spread)
    # This runs for every trial of a floor. Points along x, in which what may be near a position is a slice, are sorted
    # faster than a tree is built.
    flat, reach, limits = positions[:, (0, 2)], 1.01 * FLOOR_RADIUS_M, positions[:, 1] + overhead_m
    (least_x, least_z), (most_x, most_z) = flat.min(0) - reach, flat.max(0) + reach
    x, y, z = points_gravity.T
    rows = np.flatnonzero((x >= least_x) & (x <= most_x) & (z >= least_z) & (z <= most_z) & (y < limits.max()))
    rows = rows[np.argsort(x[rows])]
    x, y, z = x[rows], y[rows], z[rows]
    starts, ends = (np.searchsorted(x, flat[:, 0] + side * reach) for side in (-1, 1))
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        distance = (x[start:end] - flat[row, 0]) ** 2 + (z[start:end] - flat[row, 1]) ** 2
        near = start + np.flatnonzero(distance <= FLOOR_RADIUS_M**2)
        if len(near) > _MAX_POINTS:
            # Evenly thinned: statistics of a few hundred points cost little, wherever the cloud is dense.
            near = near[np.argsort(rows[near])[:: -(-len(near) // _MAX_POINTS)]]
        heights = y[near]
        heights = heights[heights < limits[row]]
        if len(heights) >= _MIN_POINTS:
            heights.sort()
            low, height[row], middle = (heights[share * len(heights) // 100] for share in _PERCENTILES)
            spread[row] = middle - low
    return SurfaceBelow(height, spread)
