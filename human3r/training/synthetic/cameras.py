"""Random camera paths: static, hand-held, dolly, orbit or following; portrait and landscape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.training.synthetic.places.scene import Scene

SIZES = ((224, 384), (384, 224), (288, 384), (384, 288), (320, 320), (256, 384))
"""(height, width)"""
SIZE_SHARES = (0.4, 0.24, 0.14, 0.06, 0.08, 0.08)
PATHS = ("static", "handheld", "dolly", "orbit", "follow")
PATH_SHARES = (0.48, 0.17, 0.12, 0.11, 0.12)


@dataclass(frozen=True)
class CameraPath:
    """A pinhole camera over the ``T`` frames of a clip."""

    kind: str
    size: tuple[int, int]
    """(height, width) in pixels."""
    K: np.ndarray
    """``3 3``"""
    T_scene_camera: np.ndarray
    """``T 4 4``"""


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Return ``4 4`` T_scene_camera of a camera at ``eye`` that looks at ``target``; the scene's y is up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right) + 1e-9
    T = np.eye(4)
    T[:3, 0], T[:3, 1], T[:3, 2] = right, np.cross(forward, right), forward
    T[:3, :3] = T[:3, :3] @ Rotation.from_euler("z", roll).as_matrix()
    T[:3, 3] = eye
    return T


def draw_camera(rng: np.random.Generator, scene: Scene, subjects: np.ndarray, time_s: np.ndarray) -> CameraPath:
    """Draw a camera that sees the subjects and stays clear of walls and obstacles.

    Args:
        subjects: ``T P 3`` points to look at (chests), at least one.
        time_s: ``T``.
    """
    size = SIZES[rng.choice(len(SIZES), p=SIZE_SHARES)]
    focal = max(size) / 2 / np.tan(np.radians(rng.uniform(35, 75)) / 2)
    K = np.array([[focal, 0, size[1] / 2 - 0.5], [0, focal, size[0] / 2 - 0.5], [0, 0, 1.0]])
    kind = str(rng.choice(PATHS, p=PATH_SHARES))
    center = subjects.mean((0, 1))
    poses = np.tile(np.eye(4), (len(time_s), 1, 1))
    for attempt in range(30):
        eye = _draw_eye(rng, scene, subjects, np.tan(np.arctan2(min(size) / 2, focal)))
        aim = center + rng.normal(0, 1, 3) * [0.45, 0.25, 0.45]
        kind = kind if attempt < 20 else "static"
        poses = _path(rng, kind, eye, aim, subjects, time_s)
        if _is_possible(scene, poses[:, :3, 3]):
            break
    return CameraPath(kind, size, K, poses)


def _draw_eye(rng: np.random.Generator, scene: Scene, subjects: np.ndarray, half_view: float) -> np.ndarray:
    """Draw 40 positions and return the one that sees most subjects at a suitable distance."""
    x0, z0, x1, z1 = scene.camera_area
    kind = rng.choice(["hand", "low", "high"], p=[0.62, 0.16, 0.22])
    limits = {"hand": (1.1, 1.9), "low": (0.3, 1.1), "high": (2.0, 4.0)}[kind]
    first = subjects[0]
    center = first.mean(0)
    # From a waist-up view to people of a fifth of the image height.
    wanted = np.clip(rng.uniform(0.55, 3.2) / half_view, 1.3, 14)
    best, best_score = np.array([0.0, min(1.5, scene.ceiling_m - 0.3), 0.0]), -np.inf
    for trial in range(40):
        angle, distance = rng.uniform(0, 2 * np.pi), wanted * rng.uniform(0.7, 1.2)
        eye = center + distance * np.array([np.sin(angle), 0, np.cos(angle)])
        if trial % 2:
            eye[0], eye[2] = rng.uniform(x0 + 0.25, x1 - 0.25), rng.uniform(z0 + 0.25, z1 - 0.25)
        eye[0], eye[2] = np.clip(eye[0], x0 + 0.25, x1 - 0.25), np.clip(eye[2], z0 + 0.25, z1 - 0.25)
        eye[1] = np.clip(rng.uniform(*limits), 0.3, scene.ceiling_m - 0.2)
        distances = np.linalg.norm(first - eye, axis=1)
        flat = np.linalg.norm((eye - center)[[0, 2]])
        is_steep = abs(eye[1] - center[1]) > 0.8 * flat
        if distances.min() < 0.8 or is_steep or not _is_possible(scene, eye[None]):
            continue
        spread = np.abs(np.log(np.linalg.norm(eye - center) / wanted))
        score = scene.sees(eye, first).mean() - 0.8 * spread + rng.uniform(0, 0.3)
        if score > best_score:
            best, best_score = eye, score
    return best


def _is_possible(scene: Scene, eyes: np.ndarray) -> bool:
    x0, z0, x1, z1 = scene.camera_area
    margin = 0.15
    inside = (
        (eyes[:, 0] > x0 + margin)
        & (eyes[:, 0] < x1 - margin)
        & (eyes[:, 2] > z0 + margin)
        & (eyes[:, 2] < z1 - margin)
    )
    inside &= (eyes[:, 1] > 0.2) & (eyes[:, 1] < scene.ceiling_m - 0.1)
    for obstacle in scene.obstacles:
        low, high = np.array(obstacle.low) - margin, np.array(obstacle.high) + margin
        inside &= ~((eyes > low) & (eyes < high)).all(1)
    return bool(inside.all())


def _path(
    rng: np.random.Generator, kind: str, eye: np.ndarray, aim: np.ndarray, subjects: np.ndarray, time_s: np.ndarray
) -> np.ndarray:
    count = len(time_s)
    eyes, aims = np.repeat(eye[None], count, 0), np.repeat(aim[None], count, 0)
    shake = 0.0
    if kind == "handheld":
        shake = rng.uniform(0.4, 1.6)
        aims = aims + _drift(rng, time_s, rng.uniform(0.0, 0.5))
    elif kind == "dolly":
        direction = rng.normal(0, 1, 3) * [1, 0.25, 1]
        eyes = eyes + time_s[:, None] * rng.uniform(0.15, 1.2) * direction / np.linalg.norm(direction)
        if rng.uniform() < 0.4:
            aims = aims + (eyes - eye)
        shake = rng.choice([0.0, rng.uniform(0.2, 1.0)])
    elif kind == "orbit":
        angle = time_s * rng.choice([-1, 1]) * np.radians(rng.uniform(6, 40))
        offset = eye - aim
        turn = Rotation.from_euler("y", angle[:, None]).as_matrix()
        eyes = aim + turn @ offset
        shake = rng.choice([0.0, rng.uniform(0.2, 1.0)])
    elif kind == "follow":
        way = subjects[:, 0] - subjects[0, 0]
        eyes = eyes + way * [1, 0, 1] * rng.uniform(0.6, 1.0)
        aims = aims + way * [1, 0.3, 1]
        shake = rng.uniform(0.3, 1.2)
    roll = rng.normal(0, np.radians(1.2 if kind in ("static", "dolly") else 3.0))
    T = np.stack([look_at(e, a, roll) for e, a in zip(eyes, aims, strict=True)])
    if shake > 0:
        T[:, :3, 3] += _drift(rng, time_s, 0.025 * shake)
        T[:, :3, :3] = T[:, :3, :3] @ Rotation.from_rotvec(_drift(rng, time_s, np.radians(1.3) * shake)).as_matrix()
    return T


def _drift(rng: np.random.Generator, time_s: np.ndarray, size: float) -> np.ndarray:
    """Return smooth random drift ``T 3`` of about the given size: hand-held motion at 0.2 to 2.5 Hz."""
    total = np.zeros((len(time_s), 3))
    for frequency, share in ((0.2, 1.0), (0.55, 0.6), (1.2, 0.3), (2.5, 0.12)):
        phase = rng.uniform(0, 2 * np.pi, 3)
        total += (
            share
            * rng.normal(0, 1, 3)
            * np.sin(2 * np.pi * frequency * rng.uniform(0.8, 1.2) * time_s[:, None] + phase)
        )
    return total * size
