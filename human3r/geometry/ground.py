"""Estimate the up direction and the floor from scene points, feet, bodies and cameras.

Deterministic: a prior direction from upright bodies or level cameras, then the plane near it with the most support from
feet and scene points (seeded RANSAC, then least squares). NumPy, world frame, meters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_INLIER_M = 0.06
"""Inlier distance of feet and points; monocular surfaces are rough by a few centimeters."""
_FAR_SCALE = 0.02
"""Fraction of the distance from the camera that is added to the inlier distance, since depth errors grow with it."""
_NUM_TRIALS = 400
_NUM_PRIOR_TRIALS = 40
_MAX_POINTS = 4000
_MIN_EVIDENCE, _MIN_INLIERS, _MIN_BODIES = 12, 8, 5
_BODY_CONE, _CAMERA_CONE = np.deg2rad(30), np.deg2rad(40)
"""Largest angle between the floor's normal and the prior from bodies, or from cameras."""
_SHARE_OF_FEET = 0.8
"""Total weight of the feet; the rest is the scene's, whose monocular depth may be wrong."""
_ROLL_SIGMA, _PITCH_SIGMA = np.deg2rad(3), np.deg2rad(12)
"""Standard deviation of up from the prior, sideways and along the view; images constrain the second less."""
_TILT_PENALTY = 0.15
"""Share of the total weight that must justify one standard deviation of tilt."""
_NUM_INDEPENDENT = 30
"""Effective number of measurements among all inliers: feet of one person are correlated."""
BARE_SOLE_M = 0.02
"""Height of SMPL-X's foot joints over the sole of a barefoot body (.027 in the embedded mean body). This floor is the
first estimate; refinement counts with shoes: ``refinement.world.standing.SOLE_M``."""
_CAMERA_HEIGHT_M = 1.5
"""Height of a hand-held camera, for clips that show neither a floor nor people."""


@dataclass(frozen=True)
class GroundEvidence:
    """Input of ``estimate_gravity``."""

    camera_rotations: np.ndarray
    """``T 3 3`` R_world_camera, OpenCV axes."""
    camera_positions: np.ndarray
    """``T 3``"""
    points: np.ndarray
    """``M 3`` scene points without people."""
    feet: np.ndarray
    """``N 2 3`` left and right foot joint of every observation."""
    spines: np.ndarray
    """``N 3`` vectors from pelvis to neck of every observation."""


def estimate_gravity(evidence: GroundEvidence) -> np.ndarray:
    """Return ``T_gravity_world`` (``4 4``): y up, floor at y = 0, the first camera above the origin, facing -z."""
    prior, cone = _prior_up(evidence)
    feet = _lower_feet(evidence, prior)
    plane = _fit_plane(evidence, prior, cone, feet)
    if plane is None:
        up = prior
        height = _fallback_height(evidence, up, feet)
    else:
        up, height = plane
    return gravity_transform(up, height, evidence.camera_rotations[0], evidence.camera_positions[0])


def _prior_up(evidence: GroundEvidence) -> tuple[np.ndarray, float]:
    """Return a prior up direction, and the largest angle of the floor's normal from it."""
    camera_up = _normalize(-evidence.camera_rotations[:, :, 1].mean(axis=0), np.array([0.0, -1.0, 0.0]))
    lengths = np.linalg.norm(evidence.spines, axis=1)
    spines = evidence.spines[lengths > 1e-6] / lengths[lengths > 1e-6, None]
    upright = spines[spines @ camera_up > np.cos(np.deg2rad(60))] if len(spines) else spines
    if len(upright) < max(_MIN_BODIES, 0.5 * len(spines)):
        return camera_up, _CAMERA_CONE
    # The component-wise median is robust to people who bend.
    return _normalize(np.median(upright, axis=0), camera_up), _BODY_CONE


def _lower_feet(evidence: GroundEvidence, up: np.ndarray) -> np.ndarray:
    """Return the sole of the lower foot of every observation, ``N 3``."""
    if len(evidence.feet) == 0:
        return np.zeros((0, 3))
    lower = np.argmin(evidence.feet @ up, axis=1)
    return evidence.feet[np.arange(len(evidence.feet)), lower] - BARE_SOLE_M * up


def _fit_plane(
    evidence: GroundEvidence, prior: np.ndarray, cone: float, feet: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Return (up, height of the floor along up) by sampling planes; None without enough support."""
    rng = np.random.default_rng(0)
    origin = evidence.camera_positions[0]
    points = _thin(evidence.points, _MAX_POINTS, rng)
    feet = _thin(feet, _MAX_POINTS, rng)
    points = points[(points - origin) @ prior < 0.1]
    if len(points) + len(feet) < _MIN_EVIDENCE:
        return None
    candidates = np.concatenate([points, feet])
    share_of_feet = _SHARE_OF_FEET if len(feet) >= _MIN_BODIES else 0.0
    weight = np.concatenate(
        [
            np.full(len(points), (1 - share_of_feet) / max(len(points), 1)),
            np.full(len(feet), share_of_feet / max(len(feet), 1)),
        ]
    )
    tolerance = _INLIER_M + _FAR_SCALE * np.linalg.norm(candidates - origin, axis=1)
    chances = weight / weight.sum()
    triples = candidates[rng.choice(len(candidates), size=(_NUM_TRIALS, 3), p=chances)]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    is_plane = lengths > 1e-9
    normals = normals[is_plane] / lengths[is_plane, None]
    normals *= np.where(normals @ prior < 0, -1, 1)[:, None]
    anchors = triples[is_plane, 0]
    is_near = normals @ prior > np.cos(cone)
    # The prior's own direction is a candidate too, at the heights of the first sampled points.
    normals = np.concatenate([normals[is_near], np.tile(prior, (_NUM_PRIOR_TRIALS, 1))])
    anchors = np.concatenate([anchors[is_near], triples[:_NUM_PRIOR_TRIALS, 0]])
    axes = _tilt_axes(prior, evidence.camera_rotations[0])
    tilt = np.linalg.norm(normals @ axes.T / (_ROLL_SIGMA, _PITCH_SIGMA), axis=1)
    best_score, best = 0.0, None
    for normal, anchor, penalty in zip(normals, anchors, _TILT_PENALTY * tilt, strict=True):
        distance = (candidates - anchor) @ normal
        on_plane = np.abs(distance) < tolerance
        score = weight[on_plane].sum() - 1.5 * weight[distance < -2 * tolerance].sum() - penalty
        if score > best_score and on_plane.sum() >= _MIN_INLIERS:
            best_score, best = score, on_plane
    if best is None:
        return None
    precision = weight / weight[best].mean() / tolerance**2
    return _refine(candidates[best], precision[best], prior, axes)


def _tilt_axes(prior: np.ndarray, camera_rotation: np.ndarray) -> np.ndarray:
    """Return ``2 3`` unit directions of tilt away from the prior: sideways, and along the view."""
    right = camera_rotation[:, 0] - (camera_rotation[:, 0] @ prior) * prior
    right = _normalize(right, np.cross(prior, camera_rotation[:, 2]))
    return np.stack([right, np.cross(prior, right)])


def _refine(
    inliers: np.ndarray, precision: np.ndarray, prior: np.ndarray, axes: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return (up, height) of the maximum-a-posteriori plane through the inliers, for small tilts about the two axes.

    ``precision`` is in 1 / square meters.
    """
    precision = precision * (_NUM_INDEPENDENT / len(precision))
    center = inliers.mean(axis=0)
    offsets = inliers - center
    design = np.column_stack([offsets @ axes.T, -np.ones(len(inliers))])
    system = (design.T * precision) @ design + np.diag([_ROLL_SIGMA**-2, _PITCH_SIGMA**-2, 0.0])
    roll, pitch, height = np.linalg.solve(system, -(design.T * precision) @ (offsets @ prior))
    up = prior + roll * axes[0] + pitch * axes[1]
    length = np.linalg.norm(up)
    return up / length, float((height + center @ up) / length)


def _fallback_height(evidence: GroundEvidence, up: np.ndarray, feet: np.ndarray) -> float:
    if len(feet):
        return float(np.percentile(feet @ up, 10))
    heights = evidence.points @ up
    below = heights[heights < evidence.camera_positions[0] @ up - 0.2]
    if len(below) >= _MIN_EVIDENCE:
        return float(np.percentile(below, 5))
    return float(evidence.camera_positions[0] @ up) - _CAMERA_HEIGHT_M


def gravity_transform(up: np.ndarray, height: float, camera_rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return ``T_gravity_world`` (``4 4``) of a floor at ``height`` along ``up``, for the first camera."""
    forward = camera_rotation[:, 2] - (camera_rotation[:, 2] @ up) * up
    if np.linalg.norm(forward) < 1e-3:  # camera facing straight down: forward is its image's upward direction
        forward = -camera_rotation[:, 1] + (camera_rotation[:, 1] @ up) * up
    back = -_normalize(forward, np.array([0.0, 0.0, 1.0]))
    right = np.cross(up, back)
    T = np.eye(4)
    T[:3, :3] = np.stack([right, up, back])
    T[:3, 3] = -T[:3, :3] @ position
    T[1, 3] = -height
    return T.astype(np.float32)


def _normalize(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-6 else otherwise


def _thin(rows: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    finite = rows[np.isfinite(rows).all(axis=1)]
    return finite if len(finite) <= limit else finite[rng.choice(len(finite), limit, replace=False)]
