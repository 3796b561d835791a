"""A simple scene for miniatures of the people benchmarks: walkers on a tiled floor, seen by a moving camera.

The world is y up with the floor at y = 0. Bodies are the embedded one in SMPL's pose parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.bodies import SmplxBody, load_body
from human3r.geometry.rigid import inverse_transform_points, rotation_from_axis_angle
from human3r.rendering.overlay import render_meshes

SIZE = (240, 320)
"""(height, width) of the pictures."""
K = np.array([[280.0, 0, 159.5], [0, 280.0, 119.5], [0, 0, 1]])
_COLORS = np.array([(0.72, 0.42, 0.30), (0.35, 0.45, 0.65)])
_WALL_Z_M, _TILE_M = -4.0, 0.5


@dataclass(frozen=True)
class Walk:
    """One person over T frames as SMPL parameters in the stage's world."""

    axis_angle: np.ndarray
    """``T 24 3`` radians, root first."""
    betas: np.ndarray
    """``10`` of the neutral body."""
    transl: np.ndarray
    """``T 3`` meters"""


@cache
def embedded_body() -> SmplxBody:
    """Return the body of the walkers; loaded once."""
    return load_body()


def walk(num_frames: int, lane_m: float = 0.0, phase: float = 0.0) -> Walk:
    """Stand for half of the time, then walk along x; ``lane_m`` shifts the path to the right and toward the wall."""
    moving = np.maximum(np.arange(num_frames) - num_frames // 2, 0)
    step = phase + 0.35 * moving
    swing = 0.45 * np.sin(step)
    axis_angle = np.zeros((num_frames, 24, 3))
    axis_angle[:, 0, 1] = np.pi / 2 - 0.5
    axis_angle[:, 1, 0], axis_angle[:, 2, 0] = -swing, swing
    axis_angle[:, 4, 0], axis_angle[:, 5, 0] = 0.3 + np.maximum(swing, 0), 0.3 + np.maximum(-swing, 0)
    axis_angle[:, 16, 2], axis_angle[:, 17, 2] = -1.1, 1.1
    axis_angle[:, 16, 1], axis_angle[:, 17, 1] = 0.6 * swing, 0.6 * swing
    axis_angle[:, 18, 1], axis_angle[:, 19, 1] = -0.4, 0.4
    betas = np.zeros(10)
    betas[:3] = (0.3, -0.2 + 0.2 * lane_m, 0.1)
    transl = np.zeros((num_frames, 3))
    transl[:, 0] = -0.3 + 0.04 * moving + 0.6 * lane_m
    transl[:, 1] = -float(_rest_floor()) + 0.01 * np.sin(2 * step)
    transl[:, 2] = -0.6 * lane_m
    return Walk(axis_angle, betas, transl)


@cache
def _rest_floor() -> float:
    return float(embedded_body().template[:, 1].min())


def smplx_rotations(axis_angle: np.ndarray) -> np.ndarray:
    """Return ``55 3`` SMPL-X rotations of ``24 3`` SMPL rotations: hands and face at rest."""
    return np.concatenate([axis_angle[:22], np.zeros((33, 3))])


def cameras(num_frames: int, *, is_static: bool = False) -> np.ndarray:
    """``T 4 4`` ``T_world_camera``: 3 m in front of the walkers, at eye height, looking slightly down."""
    T_world_camera = np.tile(np.eye(4), (num_frames, 1, 1))
    for index in range(num_frames):
        moved = 0 if is_static else index
        turn = Rotation.from_euler("yx", (0.01 * moved, 0.12)).as_matrix()
        T_world_camera[index, :3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn.T
        T_world_camera[index, :3, 3] = (0.02 * moved, 1.4, 3.2)
    return T_world_camera


@torch.inference_mode()
def vertices_world(person: Walk, frame: int) -> np.ndarray:
    """Pose one person with the embedded body: ``V 3`` meters."""
    rotations = rotation_from_axis_angle(torch.from_numpy(smplx_rotations(person.axis_angle[frame])).float()[None])
    betas, transl = (torch.from_numpy(values).float()[None] for values in (person.betas, person.transl[frame]))
    return embedded_body().mesh(rotations, betas, torch.zeros(1, 10), transl).vertices[0].double().numpy()


def parameters_in_camera(person: Walk, frame: int, T_world_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``24 3`` rotations and ``3`` translation of the same body in the camera frame."""
    betas = torch.from_numpy(person.betas).float()[None]
    pelvis = embedded_body().rest_joints(betas, torch.zeros(1, 10))[0, 0].double().numpy()
    axis_angle = person.axis_angle[frame].copy()
    R_camera_world = T_world_camera[:3, :3].T
    axis_angle[0] = (Rotation.from_matrix(R_camera_world) * Rotation.from_rotvec(axis_angle[0])).as_rotvec()
    return axis_angle, (pelvis + person.transl[frame] - T_world_camera[:3, 3]) @ R_camera_world.T - pelvis


def picture(people: list[np.ndarray], T_world_camera: np.ndarray) -> np.ndarray:
    """Draw people (``V 3`` vertices in the world) on the stage: ``H W 3`` uint8."""
    image = _stage(T_world_camera)
    if people:
        vertices = inverse_transform_points(T_world_camera, np.stack(people))
        rgb, covered = render_meshes(vertices, embedded_body().faces.numpy(), _COLORS[: len(people)], K, SIZE)
        image[covered] = 255 * rgb[covered]
    return np.clip(image, 0, 255).astype(np.uint8)


def _stage(T_world_camera: np.ndarray) -> np.ndarray:
    """Cast a ray per pixel to the floor and the back wall: ``H W 3``."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones(SIZE)], -1)
    rays = rays @ T_world_camera[:3, :3].T
    origin = T_world_camera[:3, 3]
    with np.errstate(divide="ignore"):
        to_floor, to_wall = -origin[1] / rays[..., 1], (_WALL_Z_M - origin[2]) / rays[..., 2]
    is_floor = (to_floor > 0) & (to_floor < to_wall)
    points = origin + np.where(is_floor, to_floor, to_wall)[..., None] * rays
    u, v = points[..., 0], np.where(is_floor, points[..., 2], points[..., 1])
    is_dark = (np.floor(u / _TILE_M) + np.floor(v / _TILE_M)) % 2
    base = np.where(is_floor[..., None], (150.0, 140.0, 125.0), (190.0, 195.0, 200.0))
    grain = 12 * np.sin(37 * u + 3 * np.sin(23 * v)) * np.sin(29 * v)
    return base - 35 * is_dark[..., None] + grain[..., None]
