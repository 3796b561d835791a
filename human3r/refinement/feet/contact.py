"""Probability that each foot touches the ground: it hardly moves, and is as low as this person's feet get."""

from __future__ import annotations

import numpy as np

from human3r.refinement.world.shots import Shot
from human3r.refinement.world.standing import FEET, SOLE_M

_SLOW_M_S, _LOW_M = 0.8, 0.16
"""Speed and height at which the probability halves. Source: rendered walkers and athletes, whose feet as predicted
shake; table in the model card."""
_SHARPNESS = 4
IN_CONTACT = 0.5
"""Probability above which a foot rests in one place."""
MAX_STEP_M = 0.12
"""Motion between two frames after which a foot has left that place."""
_ALONG_RAY = 0.1
"""Weight of motion along the camera's ray, where noise is larger."""
_MAX_GAP_S = 0.5
"""Longer absences split a track."""
_LOWEST_S = 1.0
"""Time within which the lowest sole gives the ground below a person."""
_SMOOTHING_S = 0.05
_BLOCK = 256
"""Frames of a person that are compared with all others at a time: all at once take the square of a long stream."""


def foot_contact(shot: Shot, T_gravity_world: np.ndarray) -> np.ndarray:
    """Return ``N 2`` probabilities of contact in [0, 1] for left and right foot, smooth over time."""
    people = shot.people
    probability = contact_from_speed(shot, T_gravity_world)
    feet, rays = _feet_and_rays(shot, T_gravity_world)
    soles = feet[..., 1] - SOLE_M
    for rows in runs(people.person_track, shot.cameras.time_s[people.person_frame]):
        time_s = shot.cameras.time_s[people.person_frame[rows]]
        own = np.array_split(time_s[:, None], -(-len(rows) // _BLOCK))
        near = (np.where(np.abs(part - time_s) < _LOWEST_S, soles[rows].min(1), np.inf) for part in own)
        lowest = np.concatenate([each.min(1) for each in near])
        probability[rows] *= _below(soles[rows] - lowest[:, None], _LOW_M)
        kernels = (np.exp(-0.5 * ((part - time_s) / _SMOOTHING_S) ** 2) for part in own)
        probability[rows] = np.concatenate([each @ probability[rows] / each.sum(1, keepdims=True) for each in kernels])
        step = _steps(feet[rows], rays[rows])
        is_elsewhere = np.concatenate([np.zeros((1, 2), bool), step > MAX_STEP_M])
        probability[rows] = np.where(is_elsewhere, np.minimum(probability[rows], IN_CONTACT), probability[rows])
    return probability


def runs(track: np.ndarray, time_s: np.ndarray) -> list[np.ndarray]:
    """Return the rows of every stretch of an identity without a gap, in order of time."""
    found = []
    for identity in np.unique(track):
        rows = np.flatnonzero(track == identity)
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        found += np.split(rows, np.flatnonzero(np.diff(time_s[rows]) > _MAX_GAP_S) + 1)
    return found


def contact_from_speed(shot: Shot, T_gravity_world: np.ndarray) -> np.ndarray:
    """Return ``N 2`` probabilities for left and right foot from their speed alone."""
    people = shot.people
    feet, rays = _feet_and_rays(shot, T_gravity_world)
    probability = np.zeros((len(people), 2))
    for rows in runs(people.person_track, shot.cameras.time_s[people.person_frame]):
        step_s = np.diff(shot.cameras.time_s[people.person_frame[rows]])
        speed = _steps(feet[rows], rays[rows]) / np.maximum(step_s, 1e-3)[:, None]
        # At rest before or after: contact begins and ends between two frames.
        padded = np.concatenate([np.full((1, 2), np.inf), speed, np.full((1, 2), np.inf)])
        slowest = np.minimum(padded[1:], padded[:-1])
        probability[rows] = _below(np.where(np.isfinite(slowest), slowest, _SLOW_M_S), _SLOW_M_S)
    return probability


def _feet_and_rays(shot: Shot, T_gravity_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the foot joints ``N 2 3``, y-up, and the unit rays from their cameras to them."""
    feet = shot.joints_in(T_gravity_world)[:, FEET]
    rays = feet - (shot.positions() @ T_gravity_world[:3, :3].T + T_gravity_world[:3, 3])[:, None]
    return feet, rays / np.maximum(np.linalg.norm(rays, axis=-1, keepdims=True), 1e-6)


def _steps(feet: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Return how far feet ``n 2 3`` move from frame to frame, ``n - 1 2``; along their rays they seem to."""
    step = np.diff(feet, axis=0)
    step -= (1 - _ALONG_RAY) * (step * rays[1:]).sum(-1, keepdims=True) * rays[1:]
    return np.linalg.norm(step, axis=-1)


def _below(values: np.ndarray, half: float) -> np.ndarray:
    return 1 / (1 + (np.maximum(values, 0) / half) ** _SHARPNESS)
