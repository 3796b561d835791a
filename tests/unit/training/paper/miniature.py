"""A miniature of the per-frame layout of BEDLAM: bodies as splats before a wall, on a floor, with exact truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from human3r.bodies import SmplxBody
from human3r.training.paper.data.layout import LabeledFrame, LabeledPeople, write_frame

SIZE = (96, 160)
"""(height, width)"""
FOCAL_PX = 130.0
_CAMERA_HEIGHT_M = 1.4
_UPRIGHT = np.diag([1.0, -1.0, -1.0])
"""From the body's axes (y up, z forward) to the camera's (y down): facing the camera."""


def write_miniature(root: Path, body: SmplxBody, num_training: int, num_test: int, num_frames: int = 4) -> Path:
    """Write sequences with one or two people each, and return ``root``."""
    for split, count, first in (("Training", num_training, 0), ("Test", num_test, 10_000)):
        for index in range(count):
            write_sequence(root / split / f"scene_{index:04d}", body, num_frames, seed=first + index)
    return root


def write_sequence(folder: Path, body: SmplxBody, num_frames: int, seed: int) -> None:
    """Write one sequence: the camera drifts sideways, everybody stands still in the world."""
    rng = np.random.default_rng(seed)
    num_people = int(rng.integers(1, 3))
    pose = np.zeros((num_people, 55, 3))
    pose[:, 16:18, 2] = rng.normal([-0.9, 0.9], 0.25, (num_people, 2))
    pose[:, 1:3, 0] = rng.normal(0.0, 0.25, (num_people, 2))
    yaw = rng.uniform(-0.8, 0.8, num_people)
    turned = torch.from_numpy(_UPRIGHT @ _rotation_y(yaw)).float()
    pose[:, 0] = _axis_angle(turned)
    betas = np.concatenate([rng.normal(0, 0.7, (num_people, 10)), np.zeros((num_people, 1))], axis=1)
    column = rng.uniform(-0.9, 0.9, num_people)
    depth = rng.uniform(2.6, 4.5, num_people)
    start = np.stack([column, np.full(num_people, _CAMERA_HEIGHT_M - 0.9), depth], axis=1)
    wall_m, drift = float(rng.uniform(5.0, 7.0)), rng.uniform(-0.05, 0.05)
    shades = rng.uniform(0.2, 0.5, (8, 16, 3))
    for index in range(num_frames):
        T_world_camera = np.eye(4)
        T_world_camera[0, 3] = index * drift
        transl = start - T_world_camera[:3, 3]
        people = LabeledPeople(pose.reshape(num_people, 55, 3).astype(np.float32), betas.astype(np.float32), transl)
        write_frame(folder, f"{index:04d}", render(people, body, wall_m, shades, T_world_camera))


def render(people, body: SmplxBody, wall_m: float, shades: np.ndarray, T_world_camera: np.ndarray) -> LabeledFrame:
    """Draw wall, floor and people; every vertex is a square of nine pixels, the nearest wins."""
    height, width = SIZE
    K = np.array([[FOCAL_PX, 0, width / 2], [0, FOCAL_PX, height / 2], [0, 0, 1]])
    y = (np.arange(height) - K[1, 2])[:, None] / FOCAL_PX
    depth = np.full(SIZE, wall_m)
    depth = np.minimum(depth, np.where(y > 0, _CAMERA_HEIGHT_M / np.maximum(y, 1e-6), np.inf))
    image = np.kron(shades, np.ones((height // 8, width // 16, 1)))
    mask = np.zeros(SIZE, bool)
    rest = body.template.numpy()
    colors = (rest - rest.min(0)) / np.ptp(rest, axis=0) * 0.5 + 0.5
    corners = np.stack(list(np.ndindex(3, 3))) - 1
    for vertices in sorted(posed(people, body), key=lambda body_vertices: -body_vertices[:, 2].mean()):
        order = np.argsort(-vertices[:, 2])  # the nearest is written last and stays
        centers = np.round((vertices @ K.T)[:, :2] / vertices[:, 2:]).astype(int)[order]
        columns, rows = (centers[:, None] + corners[None]).reshape(-1, 2).T
        kept = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        at = rows[kept], columns[kept]
        depth[at] = np.repeat(vertices[order, 2], 9)[kept]
        image[at] = np.repeat(colors[order], 9, axis=0)[kept]
        mask[at] = True
    pixels = (image * 255).astype(np.uint8)
    return LabeledFrame(pixels, depth.astype(np.float32), mask, K, T_world_camera, people)


def posed(people, body: SmplxBody) -> np.ndarray:
    """Return ``P V 3`` vertices in the camera frame, meters."""
    from human3r.bodies.placement import to_smplx_order
    from human3r.training.paper.data.dataset import slots_of

    slots = slots_of(people, len(people))
    betas = slots.betas[:, :10]
    mesh = body.mesh(to_smplx_order(slots.joint_rotations), betas, torch.zeros(len(betas), 10), slots.transl)
    return mesh.vertices.double().numpy()


def _rotation_y(angle: np.ndarray) -> np.ndarray:
    rotation = np.tile(np.eye(3), (len(angle), 1, 1))
    rotation[:, 0, 0] = rotation[:, 2, 2] = np.cos(angle)
    rotation[:, 0, 2], rotation[:, 2, 0] = np.sin(angle), -np.sin(angle)
    return rotation


def _axis_angle(rotation: torch.Tensor) -> np.ndarray:
    from human3r.geometry.rigid import axis_angle_from_rotation

    return axis_angle_from_rotation(rotation).numpy()
