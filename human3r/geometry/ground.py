"""Estimate which way is up and where the floor is, from scene points, feet, bodies and cameras.

Deterministic and robust rather than clever: a prior direction from upright bodies or level cameras, then the plane
near it that feet and scene points agree on best. All arrays are NumPy, world frame, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_INLIER_M = 0.06
"""A foot or point this near to a plane lies on it; monocular surfaces are a few centimetres rough."""
_FAR_SCALE = 0.02
"""Depth errors grow with distance: this fraction of it is added to the inlier distance."""
_NUM_TRIALS = 400
_MAX_POINTS = 4000
_MIN_BODIES = 5
_BODY_CONE = np.deg2rad(30)
_CAMERA_CONE = np.deg2rad(40)
_SHARE_OF_FEET = 0.8
"""Weight of all feet together; the rest is the scene's, whose monocular floor may stand at another depth."""
_ROLL_SIGMA, _PITCH_SIGMA = np.deg2rad(3), np.deg2rad(12)
"""How far up lies from upright bodies' mean, sideways and along the view: a picture shows the first, not the second."""
_TILT_PENALTY = 0.15
"""Share of the evidence that a plane must win per standard deviation of tilt."""
_NUM_INDEPENDENT = 30
_SOLE_M = 0.02
"""Height of SMPL-X's foot joints (10, 11) over the sole of a standing body."""
_CAMERA_HEIGHT_M = 1.5
"""Height of a hand-held camera: the floor of a clip that shows neither a floor nor people."""


@dataclass(frozen=True)
class GroundCues:
    """What the floor is estimated from."""

    camera_rotations: np.ndarray
    """``T 3 3`` R_world_camera, OpenCV axes."""
    camera_positions: np.ndarray
    """``T 3``"""
    points: np.ndarray
    """``M 3`` scene points without people."""
    feet: np.ndarray
    """``N 2 3`` foot joints (SMPL-X 10 and 11) of every observation."""
    spines: np.ndarray
    """``N 3`` vectors from pelvis to neck of every observation."""


def estimate_gravity(cues: GroundCues) -> np.ndarray:
    """Return ``T_gravity_world`` (``4 4``): y up, floor at y = 0, the first camera over the origin, looking to -z."""
    prior, cone = _prior_up(cues)
    feet = _lower_feet(cues, prior)
    plane = _fit_plane(cues, prior, cone, feet)
    if plane is None:
        up = prior
        height = _fallback_height(cues, up, feet)
    else:
        up, height = plane
    return _gravity_transform(up, height, cues.camera_rotations[0], cues.camera_positions[0])


def _prior_up(cues: GroundCues) -> tuple[np.ndarray, float]:
    """A first guess of up, and how far from it the floor's normal may be."""
    camera_up = _normalised(-cues.camera_rotations[:, :, 1].mean(axis=0), np.array([0.0, -1.0, 0.0]))
    lengths = np.linalg.norm(cues.spines, axis=1)
    spines = cues.spines[lengths > 1e-6] / lengths[lengths > 1e-6, None]
    upright = spines[spines @ camera_up > np.cos(np.deg2rad(60))] if len(spines) else spines
    if len(upright) < max(_MIN_BODIES, 0.5 * len(spines)):
        return camera_up, _CAMERA_CONE
    # People lean both ways: the component-wise median forgets those who bend.
    return _normalised(np.median(upright, axis=0), camera_up), _BODY_CONE


def _lower_feet(cues: GroundCues, up: np.ndarray) -> np.ndarray:
    """Soles of the lower foot of every observation, ``N 3``."""
    if len(cues.feet) == 0:
        return np.zeros((0, 3))
    lower = np.argmin(cues.feet @ up, axis=1)
    return cues.feet[np.arange(len(cues.feet)), lower] - _SOLE_M * up


def _fit_plane(cues: GroundCues, prior: np.ndarray, cone: float, feet: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Find (up, height of the floor along up) by sampling planes; None where nothing agrees."""
    rng = np.random.default_rng(0)
    origin = cues.camera_positions[0]
    points = _thin(cues.points, _MAX_POINTS, rng)
    feet = _thin(feet, _MAX_POINTS, rng)
    # Only what lies below the cameras can be floor.
    points = points[(points - origin) @ prior < 0.1]
    if len(points) + len(feet) < 12:
        return None
    evidence = np.concatenate([points, feet])
    share_of_feet = _SHARE_OF_FEET if len(feet) >= _MIN_BODIES else 0.0
    weight = np.concatenate(
        [
            np.full(len(points), (1 - share_of_feet) / max(len(points), 1)),
            np.full(len(feet), share_of_feet / max(len(feet), 1)),
        ]
    )
    tolerance = _INLIER_M + _FAR_SCALE * np.linalg.norm(evidence - origin, axis=1)
    chances = weight / weight.sum()
    triples = evidence[rng.choice(len(evidence), size=(_NUM_TRIALS, 3), p=chances)]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    is_plane = lengths > 1e-9
    normals = normals[is_plane] / lengths[is_plane, None]
    normals *= np.where(normals @ prior < 0, -1, 1)[:, None]
    anchors = triples[is_plane, 0]
    is_near = normals @ prior > np.cos(cone)
    # The prior's own direction competes too, at the height of every sampled point.
    normals = np.concatenate([normals[is_near], np.tile(prior, (40, 1))])
    anchors = np.concatenate([anchors[is_near], triples[:40, 0]])
    axes = _tilt_axes(prior, cues.camera_rotations[0])
    tilt = np.linalg.norm(normals @ axes.T / (_ROLL_SIGMA, _PITCH_SIGMA), axis=1)
    best_score, best = 0.0, None
    for normal, anchor, penalty in zip(normals, anchors, _TILT_PENALTY * tilt, strict=True):
        distance = (evidence - anchor) @ normal
        on_plane = np.abs(distance) < tolerance
        score = weight[on_plane].sum() - 1.5 * weight[distance < -2 * tolerance].sum() - penalty
        if score > best_score and on_plane.sum() >= 8:
            best_score, best = score, on_plane
    if best is None:
        return None
    precision = weight / weight[best].mean() / tolerance**2
    return _refine(evidence[best], precision[best], prior, axes)


def _tilt_axes(prior: np.ndarray, camera_rotation: np.ndarray) -> np.ndarray:
    """Return ``2 3`` unit directions in which up may lean away from the prior: sideways, and along the view."""
    right = camera_rotation[:, 0] - (camera_rotation[:, 0] @ prior) * prior
    right = _normalised(right, np.cross(prior, camera_rotation[:, 2]))
    return np.stack([right, np.cross(prior, right)])


def _refine(
    inliers: np.ndarray, precision: np.ndarray, prior: np.ndarray, axes: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return (up, height) of the most likely plane through the inliers, given how far up usually is from the prior.

    Solves for small tilts about the two axes and the height by least squares; ``precision`` is 1 / metres squared.
    """
    # Feet of one person are far from independent: all inliers together count as a few measurements.
    precision = precision * (_NUM_INDEPENDENT / len(precision))
    centre = inliers.mean(axis=0)
    offsets = inliers - centre
    design = np.column_stack([offsets @ axes.T, -np.ones(len(inliers))])
    system = (design.T * precision) @ design + np.diag([_ROLL_SIGMA**-2, _PITCH_SIGMA**-2, 0.0])
    roll, pitch, height = np.linalg.solve(system, -(design.T * precision) @ (offsets @ prior))
    up = prior + roll * axes[0] + pitch * axes[1]
    length = np.linalg.norm(up)
    return up / length, float((height + centre @ up) / length)


def _fallback_height(cues: GroundCues, up: np.ndarray, feet: np.ndarray) -> float:
    if len(feet):
        return float(np.percentile(feet @ up, 10))
    heights = cues.points @ up
    below = heights[heights < cues.camera_positions[0] @ up - 0.2]
    if len(below) >= 12:
        return float(np.percentile(below, 5))
    return float(cues.camera_positions[0] @ up) - _CAMERA_HEIGHT_M


def _gravity_transform(up: np.ndarray, height: float, camera_rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    forward = camera_rotation[:, 2] - (camera_rotation[:, 2] @ up) * up
    if np.linalg.norm(forward) < 1e-3:  # the camera looks straight down: its upper image border is then forward
        forward = -camera_rotation[:, 1] + (camera_rotation[:, 1] @ up) * up
    back = -_normalised(forward, np.array([0.0, 0.0, 1.0]))
    right = np.cross(up, back)
    T = np.eye(4)
    T[:3, :3] = np.stack([right, up, back])
    T[:3, 3] = -T[:3, :3] @ position
    T[1, 3] = -height
    return T.astype(np.float32)


def _normalised(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-6 else otherwise


def _thin(rows: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    finite = rows[np.isfinite(rows).all(axis=1)]
    return finite if len(finite) <= limit else finite[rng.choice(len(finite), limit, replace=False)]
