"""Evidence of a shot for scale and floor: standing soles and scene points, seen from their cameras. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

_MAX_INDEPENDENT, _MAX_OF_IDENTITY = 30.0, 12.0
"""Effective number of observations at most, in total and per identity, since their errors are correlated."""
_MAX_FEET, _MAX_POINTS = 90, 15_000
_NEAR_M = 2.5
"""Points horizontally farther from every sole are ignored."""
_CELL_M, _NUM_NEIGHBORS = 0.1, 16
_LEVEL = np.cos(np.deg2rad(30))
"""Of the angle to the vertical of what may be a floor: what is estimated of one slopes."""
_GROUND_SIGMA_M, _GROUND_FAR_SIGMA = 0.1, 0.01
"""Of the height of a floor, and the share of the distance by which this grows."""


@dataclass(frozen=True)
class ShotEvidence:
    """Evidence of one shot; world axes, meters."""

    soles: np.ndarray
    """``n 3`` lower soles of people who stand, from their camera."""
    cameras: np.ndarray
    """``n 3`` position of that camera, from the shot's first."""
    weight: np.ndarray
    """``n`` in [0, 1], trust in the contact."""
    is_seen: np.ndarray
    """``n`` bool, the sole is in the image."""
    identity: np.ndarray
    """``n`` index of the person, from 0."""
    num_identities: int
    points: np.ndarray
    """``M 3`` scene, each point from the camera that saw it."""
    point_cameras: np.ndarray
    """``M 3`` position of that camera, from the shot's first."""
    point_bends: np.ndarray
    """``M 6`` from ``bend_basis``."""
    up: np.ndarray
    """``3`` first estimate."""
    tilt_axes: np.ndarray
    """``2 3`` directions in which up may lean: along the view, and sideways."""
    ground: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """``G`` rows of points whose surroundings are nearly level, evenly over the ground; set by ``thinned``."""
    ground_sigma: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """``G`` standard deviations of their heights."""


def thinned(evidence: ShotEvidence) -> ShotEvidence:
    """Bound the work, and downweight correlated observations."""
    from scipy.spatial import KDTree

    rng = np.random.default_rng(0)
    rows = np.arange(len(evidence.soles))
    if len(rows) > _MAX_FEET:
        rows = np.sort(rng.choice(rows, _MAX_FEET, replace=False))
    level = evidence.tilt_axes.T
    at = (evidence.soles + evidence.cameras)[rows] @ level
    off, _ = KDTree(at).query((evidence.points + evidence.point_cameras) @ level, distance_upper_bound=_NEAR_M)
    # Exclude ceilings.
    points = np.flatnonzero(np.isfinite(off) & (evidence.points @ evidence.up < 0))
    if len(points) > _MAX_POINTS:
        points = rng.choice(points, _MAX_POINTS, replace=False)
    identity, weight = evidence.identity[rows], evidence.weight[rows]
    total = np.bincount(identity, weight, minlength=evidence.num_identities)
    weight = weight * np.minimum(1.0, _MAX_OF_IDENTITY / np.maximum(total, 1e-9))[identity]
    weight = weight * min(1.0, _MAX_INDEPENDENT / max(weight.sum(), 1e-9))
    return replace(
        evidence,
        soles=evidence.soles[rows],
        cameras=evidence.cameras[rows],
        weight=weight,
        is_seen=evidence.is_seen[rows],
        identity=identity,
        points=evidence.points[points],
        point_cameras=evidence.point_cameras[points],
        point_bends=evidence.point_bends[points],
        **_level_ground(evidence, points),
    )


def _level_ground(evidence: ShotEvidence, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``ground`` and ``ground_sigma`` among the kept points."""
    from scipy.spatial import KDTree

    points = evidence.points[kept]
    place = points + evidence.point_cameras[kept]
    if len(place) < _NUM_NEIGHBORS:
        return {"ground": np.zeros(0, np.int64), "ground_sigma": np.zeros(0)}
    # Near and far floors count alike: one point for each cell seen from above.
    order = np.random.default_rng(0).permutation(len(place))
    cells = np.floor(place[order] @ evidence.tilt_axes.T / _CELL_M).astype(np.int64)
    rows = order[np.unique(cells, axis=0, return_index=True)[1]]
    near = place[KDTree(place).query(place[rows], k=_NUM_NEIGHBORS)[1]]
    from_middle = near - near.mean(1, keepdims=True)
    normals = np.linalg.eigh(np.swapaxes(from_middle, 1, 2) @ from_middle)[1][:, :, 0]
    rows = rows[np.abs(normals @ evidence.up) > _LEVEL]
    return {"ground": rows, "ground_sigma": _GROUND_SIGMA_M + _GROUND_FAR_SIGMA * np.linalg.norm(points[rows], axis=1)}
