"""The cameras of a finished clip and its shots: one lens for each, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from human3r.geometry.camera import project
from human3r.geometry.rigid import inverse_transform_points
from human3r.results.person_table import PersonTable

_NEAR_M = 0.05
"""Joints nearer than this, or behind the camera, are projected as if at this depth."""
_STATIC_SHIFT_M, _STATIC_TURN = 0.02, np.deg2rad(0.5)
"""A camera that strays less than this stands still."""


@dataclass(frozen=True)
class Cameras:
    """The cameras of T processed frames."""

    K: np.ndarray
    """``T 3 3``"""
    T_world_camera: np.ndarray
    """``T 4 4``"""
    time_s: np.ndarray
    """``T``"""
    shot: np.ndarray
    """``T`` int64."""
    image_size: tuple[int, int]
    """(height, width)"""

    def project(self, joints_world: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Project ``N J 3`` joints, each row with the camera of its frame; returns ``N J 2`` pixels."""
        return project_joints(joints_world, self.K[frames], self.T_world_camera[frames])


def project_joints(joints_world: np.ndarray, K: np.ndarray, T_world_camera: np.ndarray) -> np.ndarray:
    """Project ``N J 3`` joints with one camera per row (``N 3 3``, ``N 4 4``); returns ``N J 2`` pixels."""
    joints_camera = inverse_transform_points(T_world_camera, joints_world)
    joints_camera[..., 2] = np.maximum(joints_camera[..., 2], _NEAR_M)
    return project(joints_camera, K)


def with_one_lens(people: PersonTable, cameras: Cameras) -> tuple[PersonTable, Cameras]:
    """Give all frames of a shot their median focal length.

    People move along the view, to the depth at which the new lens shows them in the same size and place.
    """
    K = cameras.K.copy()
    for number in np.unique(cameras.shot):
        rows = cameras.shot == number
        K[rows, 0, 0] = K[rows, 1, 1] = np.median(cameras.K[rows, 0, 0])
    frames = people.person_frame
    growth = (K[frames, 0, 0] / cameras.K[frames, 0, 0] - 1) * people.unfiltered_head[:, 2]
    shift = growth[:, None] * cameras.T_world_camera[frames, :3, 2]
    head = people.unfiltered_head + growth[:, None] * np.array([0, 0, 1], np.float32)
    moved = replace(
        people,
        transl=(people.transl + shift).astype(np.float32),
        joints_world=(people.joints_world + shift[:, None]).astype(np.float32),
        unfiltered_head=head.astype(np.float32),
    )
    return moved, replace(cameras, K=K)


def describe_shots(cameras: Cameras) -> list[dict[str, object]]:
    """Return what differs between shots, one entry each, as JSON values."""
    shots: list[dict[str, object]] = []
    for number in np.unique(cameras.shot):
        rows = np.flatnonzero(cameras.shot == number)
        shots.append(
            {
                "first_frame": int(rows[0]),
                "num_frames": len(rows),
                "start_s": float(cameras.time_s[rows[0]]),
                "lens": {"focal_px": float(np.median(cameras.K[rows, 0, 0]))},
                "T_world_shot": np.eye(4).tolist(),
                "is_static_camera": _is_static(cameras.T_world_camera[rows].astype(np.float64)),
            }
        )
    return shots


def _is_static(T_world_camera: np.ndarray) -> bool:
    """Return whether the cameras of a shot, ``n 4 4``, are in one place and look in one direction."""
    shift = np.linalg.norm(T_world_camera[:, :3, 3] - np.median(T_world_camera[:, :3, 3], axis=0), axis=1)
    turn = np.einsum("ba,nbc->nac", T_world_camera[0, :3, :3], T_world_camera[:, :3, :3])
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))
    return bool(shift.max() < _STATIC_SHIFT_M and angle.max() < _STATIC_TURN)
