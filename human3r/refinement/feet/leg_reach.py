"""Move the feet of posed bodies: hips and knees turn (two-bone inverse kinematics), feet keep their orientation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from human3r.geometry.rigid import axis_angle_between
from human3r.results.person_table import PersonTable
from human3r.skeleton import Joint

LEGS = (
    (Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.LEFT_ANKLE),
    (Joint.RIGHT_HIP, Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE),
)
_LONGEST = 0.999
"""Largest extension of the leg: a knee never locks."""
_FORWARD = 0.05
"""Straight knees bend toward the front of the thigh."""


def reach(people: PersonTable, motion: np.ndarray) -> PersonTable:
    """Return the people with left and right foot moved by ``N 2 3`` (world), within the reach of the legs.

    ``joints_world`` is not changed.
    """
    from scipy.spatial.transform import Rotation

    pose = people.body_pose.copy()
    for side, (hip, knee, ankle) in enumerate(LEGS):
        rows = np.flatnonzero(np.abs(motion[:, side]).max(axis=1) > 1e-5)
        if len(rows) == 0:
            continue
        at = people.joints_world[rows].astype(np.float64)
        turns = [Rotation.from_rotvec(people.global_orient[rows].astype(np.float64))]
        for joint in (hip, knee, ankle):
            turns.append(turns[-1] * Rotation.from_rotvec(pose[rows, joint - 1].astype(np.float64)))
        front = turns[1].apply([0.0, 0.0, 1.0])
        new_knee, new_ankle = bent(at[:, hip], at[:, knee], at[:, ankle], motion[rows, side], front)
        thigh = Rotation.from_rotvec(axis_angle_between(at[:, knee] - at[:, hip], new_knee - at[:, hip])) * turns[1]
        shin = Rotation.from_rotvec(axis_angle_between(at[:, ankle] - at[:, knee], new_ankle - new_knee)) * turns[2]
        for joint, local in ((hip, turns[0].inv() * thigh), (knee, thigh.inv() * shin), (ankle, shin.inv() * turns[3])):
            pose[rows, joint - 1] = local.as_rotvec()
    return replace(people, body_pose=pose)


def bend_direction(people: PersonTable) -> np.ndarray:
    """Return ``N 2 3``, world: the front of the left and right thigh, toward which straight knees bend."""
    from scipy.spatial.transform import Rotation

    root = Rotation.from_rotvec(people.global_orient.astype(np.float64))
    thighs = [root * Rotation.from_rotvec(people.body_pose[:, hip - 1].astype(np.float64)) for hip, _, _ in LEGS]
    return np.stack([thigh.apply([0.0, 0.0, 1.0]) for thigh in thighs], axis=1)


def bent(
    hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, motion: np.ndarray, front: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the new knees and ankles ``n 3`` of legs whose ankles shall move by ``motion``, as far as they reach.

    The knee stays in the plane in which it bends; ``front`` is the direction from ``bend_direction``.
    """
    upper, lower = np.linalg.norm(knee - hip, axis=1), np.linalg.norm(ankle - knee, axis=1)
    to_ankle = ankle + motion - hip
    length = np.linalg.norm(to_ankle, axis=1)
    direction = to_ankle / np.maximum(length, 1e-9)[:, None]
    length = np.clip(length, np.abs(upper - lower) + 0.05, _LONGEST * (upper + lower))
    bend = knee - hip + _FORWARD * upper[:, None] * front
    bend -= (bend * direction).sum(1, keepdims=True) * direction
    bend /= np.maximum(np.linalg.norm(bend, axis=1, keepdims=True), 1e-9)
    along = (upper**2 - lower**2 + length**2) / (2 * length)
    aside = np.sqrt(np.maximum(upper**2 - along**2, 0.0))
    return hip + along[:, None] * direction + aside[:, None] * bend, hip + length[:, None] * direction
