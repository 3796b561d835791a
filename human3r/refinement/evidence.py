"""Evidence of a shot for scale and floor: standing soles and scene points, seen from their cameras. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_MAX_INDEPENDENT, _MAX_OF_IDENTITY = 30.0, 12.0
"""Effective number of observations at most, in total and per identity, since their errors are correlated."""
_MAX_FEET, _MAX_POINTS = 90, 15_000
_NEAR_M = 2.5
"""Points horizontally farther from every sole are ignored."""


@dataclass(frozen=True)
class ShotEvidence:
    """Evidence of one shot; world axes, meters."""

    soles: np.ndarray
    """``n 3`` lower soles of people who stand, from their camera."""
    cameras: np.ndarray
    """``n 3`` position of that camera, from the shot's first."""
    weight: np.ndarray
    """``n`` in [0, 1], trust in the contact."""
    identity: np.ndarray
    """``n`` index of the person, from 0."""
    num_identities: int
    points: np.ndarray
    """``M 3`` scene, each point from the camera that saw it."""
    point_cameras: np.ndarray
    """``M 3`` position of that camera, from the shot's first."""
    point_bends: np.ndarray
    """``M 3`` from ``bend_basis``."""
    up: np.ndarray
    """``3`` first estimate."""
    tilt_axes: np.ndarray
    """``2 3`` directions in which up may lean: along the view, and sideways."""


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
        identity=identity,
        points=evidence.points[points],
        point_cameras=evidence.point_cameras[points],
        point_bends=evidence.point_bends[points],
    )
