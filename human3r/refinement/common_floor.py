"""One floor for everybody: the size of each identity and the distances that put standing feet on a common plane.

Scaling a person about the camera leaves the image as it is and moves the feet along their rays. One image does not tell
how tall a person is (adults differ by 6 %), but a shared floor mostly does. Observations on another floor, in the air
or behind a table are ignored. NumPy only; ``identity_shapes`` applies the result to bodies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from human3r.geometry.rigid import transform_points
from human3r.refinement.standing import is_standing
from human3r.skeleton import Joint

_FEET = (Joint.LEFT_FOOT, Joint.RIGHT_FOOT)
_SOLE_M = 0.02
"""Height of SMPL-X's foot joints over the sole of a standing body."""

_STATURE_SIGMA = 0.05
"""Logarithmic spread of the sizes of people whose proportions are known. Source: adults, 9 cm of 1.7 m."""
_GROSS = 0.1
"""A log factor larger than this is a child or somebody on another floor; its weight falls with its square."""
_MAX_LOG_SIZE = 0.4
"""Larger factors are ignored: from an adult down to a child of 1.15 m."""
_PITCH_SIGMA, _ROLL_SIGMA = np.deg2rad(5), np.deg2rad(2.5)
"""Error of the given up direction along the view and sideways."""
_MIN_DROP_M = 0.3
"""Feet less than this below the camera are ignored: their rays hardly meet the floor."""
_FOOT_SIGMA_M, _FOOT_SIGMA_SHARE = 0.04, 0.006
"""Error of a sole's height: of the pose, and of the image per meter of distance."""
_DEPTH_SIGMA = 0.05
"""Logarithmic error of a single distance, given the size."""
_WINDOW_S = 0.4
"""Standard deviation of the window in which soles correct a distance."""
_MAX_LOG_STEP = 0.15
"""Soles that imply a larger change of one distance are in the air, on a step, or wrong."""
_MAX_INDEPENDENT = 12.0
"""Observations of one identity count as at most this many: their errors are correlated."""
_MIN_OBSERVATIONS = 5
_NUM_ROUNDS = 8


@dataclass(frozen=True)
class Stances:
    """N observations of people; world frame, meters."""

    joints: np.ndarray
    """``N 22 3``"""
    camera: np.ndarray
    """``N 3`` position of the camera at that time."""
    track: np.ndarray
    """``N`` identity."""
    time_s: np.ndarray
    """``N``"""
    feet_in_image: np.ndarray
    """``N 2`` bool, left and right."""


@dataclass(frozen=True)
class FloorFit:
    """The common floor, and the sizes and distances that agree with it."""

    log_size: dict[int, float]
    """Per identity, the logarithm of the factor on its size and distance; 0 where it is unknown."""
    up: np.ndarray
    """``3`` unit normal of the floor, world."""
    log_distance: np.ndarray
    """``N`` further change of the logarithm of each distance."""


def fit_floor(stances: Stances, T_gravity_world: np.ndarray) -> FloorFit:
    """Fit one floor, one size per identity, and the distances.

    Args:
        stances: All observations; a single identity keeps its size.
        T_gravity_world: ``4 4`` first estimate of up.
    """
    T = T_gravity_world.astype(np.float64)
    joints = stances.joints.astype(np.float64)
    feet = joints[:, _FEET] @ T[1, :3]
    lower = feet.argmin(axis=1)
    rows = np.arange(len(joints))
    sole = joints[rows, np.array(_FEET)[lower]] - _SOLE_M * T[1, :3]
    stands = is_standing(transform_points(T, joints)) & stances.feet_in_image[rows, lower]
    nothing = FloorFit({}, T[1, :3], np.zeros(len(joints)))
    if stands.sum() < _MIN_OBSERVATIONS:
        return nothing
    offset = sole - stances.camera
    best: tuple[float, _Level] | None = None
    for pitch in np.deg2rad((-12, -8, -4, -2, 0, 2, 4, 8, 12)):
        for roll in np.deg2rad((-4, -2, 0, 2, 4)):
            up = _tilted(T[:3, :3], pitch, roll)
            level = _fit_level(offset[stands] @ up, stances.camera[stands] @ up, stances.track[stands], offset[stands])
            if level is None:
                continue
            cost = level.cost + (pitch / _PITCH_SIGMA) ** 2 + (roll / _ROLL_SIGMA) ** 2
            if best is None or cost < best[0]:
                best = cost, replace(level, up=up)
    if best is None:
        return nothing
    level = best[1]
    return FloorFit(level.log_size, level.up, _distances(stances, offset, stands, level))


@dataclass(frozen=True)
class _Level:
    """A floor for one up direction."""

    cost: float
    height: float
    """Of the floor below the origin, along up (positive down)."""
    log_size: dict[int, float]
    up: np.ndarray


def _tilted(R_gravity_world: np.ndarray, pitch: float, roll: float) -> np.ndarray:
    """Lean up along the view (gravity's -z) and sideways (x)."""
    up = R_gravity_world[1] + np.tan(pitch) * R_gravity_world[2] + np.tan(roll) * R_gravity_world[0]
    return up / np.linalg.norm(up)


def _sigma(drop: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Logarithmic error of a drop."""
    error = _FOOT_SIGMA_M + _FOOT_SIGMA_SHARE * np.linalg.norm(offset, axis=1)
    return np.hypot(0.03, error / np.maximum(drop, _MIN_DROP_M))


def _fit_level(height_below: np.ndarray, camera: np.ndarray, track: np.ndarray, offset: np.ndarray) -> _Level | None:
    """Fit the floor's height and the sizes for soles at ``height_below`` (negative) relative to their cameras."""
    drop = -height_below
    usable = drop > _MIN_DROP_M
    identities, index, counts = np.unique(track[usable], return_inverse=True, return_counts=True)
    known = counts >= _MIN_OBSERVATIONS
    if not known.any():
        return None
    drop, camera, sigma = drop[usable], camera[usable], _sigma(drop[usable], offset[usable])
    weight = sigma**-2 * np.minimum(1.0, _MAX_INDEPENDENT / counts)[index]
    precision = np.bincount(index, weight)
    groups = [index == one for one in range(len(identities))]
    height = weighted_median(drop - camera, weight * known[index])
    wanted, mean = np.zeros_like(drop), np.zeros(len(groups))
    for _ in range(_NUM_ROUNDS):
        # The log factor that puts each sole onto the floor, if the camera is ``height`` above it.
        wanted = np.log(np.maximum(height + camera, 0.1) / drop)
        mean = np.array([weighted_median(wanted[group], weight[group]) for group in groups])
        # The floor lies where the factors of those whose size is known best have no bias.
        trust = np.where(known, 1 / (1 / precision + _STATURE_SIGMA**2) / (1 + (mean / _GROSS) ** 2) ** 2, 0.0)
        if trust.sum() <= 0:
            return None
        height = float((height + camera[0]) * np.exp(-(trust * mean).sum() / trust.sum()) - camera[0])
    prior = _STATURE_SIGMA**-2 / (1 + (mean / _GROSS) ** 2) ** 2
    factor = np.where(known, precision * mean / (precision + prior), 0.0)
    factor = np.where(np.abs(factor) > _MAX_LOG_SIZE, 0.0, factor)
    spread = np.abs(wanted - mean[index]) / sigma
    robust = spread**2 / (1 + (spread / 3) ** 2)
    gross = (mean / _STATURE_SIGMA) ** 2 / (1 + (mean / _GROSS) ** 2)
    cost = float((robust * np.minimum(1.0, _MAX_INDEPENDENT / counts)[index]).sum() + gross[known].sum())
    sizes = {int(one): float(value) for one, value in zip(identities, factor, strict=True)}
    return _Level(cost, height, sizes, np.zeros(3))


def _distances(stances: Stances, offset: np.ndarray, stands: np.ndarray, level: _Level) -> np.ndarray:
    """Return ``N`` corrections of the log distances: a mean over the soles shortly before and after."""
    size = np.array([level.log_size.get(int(one), 0.0) for one in stances.track])
    drop = -(offset @ level.up)
    wanted = np.log(np.maximum(level.height + stances.camera @ level.up, 0.1) / np.maximum(drop, 1e-3)) - size
    is_used = stands & (drop > _MIN_DROP_M) & (np.abs(wanted) < _MAX_LOG_STEP)
    weight = np.where(is_used, _sigma(drop, offset) ** -2, 0.0)
    correction = np.zeros(len(size))
    for one in np.unique(stances.track):
        rows = np.flatnonzero(stances.track == one)
        time = stances.time_s[rows]
        kernel = np.exp(-0.5 * ((time[:, None] - time[None]) / _WINDOW_S) ** 2) * weight[rows]
        # Errors of neighbors are correlated: a window counts as three observations at most.
        total = kernel.sum(1)
        fewer = np.minimum(1.0, 3.0 * weight[rows].max() / np.maximum(total, 1e-9))
        correction[rows] = fewer * (kernel @ wanted[rows]) / (fewer * total + _DEPTH_SIGMA**-2)
    return correction


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the value with half of the weight on either side; at least one value."""
    order = np.argsort(values)
    share = np.cumsum(weight[order])
    return float(values[order][min(np.searchsorted(share, 0.5 * share[-1]), len(values) - 1)])
