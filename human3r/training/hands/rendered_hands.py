"""Render people close up with known finger poses, and run the hand network on their hands."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.atomic import whole_or_absent
from human3r.bodies import load_body
from human3r.geometry.camera import intrinsics, project
from human3r.geometry.rigid import inverse_transform_points
from human3r.models.compact.people.hands.finger_readout import NUM_FINGER_JOINTS
from human3r.models.compact.people.hands.hand_detector import HAND_PER_FOREARM, CropHandDetector, forearm_squares
from human3r.skeleton import Joint
from human3r.training.motion import load_motions
from human3r.training.synthetic.cameras import look_at
from human3r.training.synthetic.generate import Studio, draw_environment, open_studio
from human3r.training.synthetic.people.posed_people import Actor, Cast
from human3r.training.synthetic.places.rooms import build_room
from human3r.training.synthetic.places.scene import Scene
from human3r.training.synthetic.rendering.mesh import join_meshes
from human3r.training.synthetic.rendering.renderer import Renderer
from human3r.training.synthetic.rendering.sensor import develop

_NUM_FRAMES = 8
_FRAME_S = 0.35
_SIZE = (480, 640)
_FOCAL_PX = 554.0
_MIN_LENGTH_PX = 45.0
_MIN_VISIBLE = 0.3
"""Share of the finger joints."""
_BEND_DEG = np.array([75.0, 95.0, 60.0])
"""Of the three joints of a finger in a fist."""
_THUMB = np.array([0.55, 0.75, 0.35])
"""Rotation vector of a right thumb's joints that bends it across the palm."""
_SIDES = ((Joint.LEFT_ELBOW, Joint.LEFT_WRIST, 25), (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, 40))
"""Elbow, wrist and first finger joint."""


@dataclass(frozen=True)
class RenderedHands:
    """The network's output for N hands, and the truth."""

    points: np.ndarray
    """``N 21 3`` of ``HandLandmarks``."""
    presence: np.ndarray
    """``N``"""
    own_side: np.ndarray
    """``N`` probability of the true side."""
    is_right: np.ndarray
    """``N`` bool"""
    length_px: np.ndarray
    """``N`` from wrist to fingertip if parallel to the image plane."""
    fingers: np.ndarray
    """``N 15 3`` true rotation vectors."""

    def save(self, path: Path) -> None:
        """Write an npz, whole or not at all."""
        with whole_or_absent(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, paths: list[Path]) -> RenderedHands:
        """Read and join several files."""
        parts = [np.load(path, allow_pickle=False) for path in paths]
        return cls(**{item.name: np.concatenate([part[item.name] for part in parts]) for item in fields(cls)})


def draw_fingers(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw relaxed, clenched, flat, pointing and arbitrary hands, another in every frame: a ``DrawFingers``."""
    vectors = np.zeros((count, 2, 5, 3, 3))
    for frame in range(count):
        for side, sign in enumerate((-1, 1)):
            curl = _draw_curl(rng)
            hand = vectors[frame, side]
            hand[..., 2] = sign * np.deg2rad(curl[:, None] * _BEND_DEG + rng.normal(0, 4, (5, 3)))
            hand[:4, 0, 1] = np.deg2rad(rng.normal(0, 6, 4))
            # In half of the hands the thumb follows the fingers.
            across = 0.8 * curl[:4].mean() + 0.2 * rng.uniform() if rng.uniform() < 0.5 else rng.uniform()
            thumb = across * np.array([0.5, 0.8, 0.8])[:, None] * _THUMB * (1, sign, sign)
            hand[4] = thumb + np.deg2rad(rng.normal(0, 4, (3, 3)))
    return vectors.reshape(count, 2 * NUM_FINGER_JOINTS, 3)


def _draw_curl(rng: np.random.Generator) -> np.ndarray:
    """Return how far each finger is bent, 0 to 1: index, middle, pinky, ring, thumb."""
    kind = rng.uniform()
    if kind < 0.4:
        curl = rng.uniform(0.15, 0.5) + rng.normal(0, 0.07, 5)
    elif kind < 0.55:
        curl = rng.uniform(0.8, 1.0, 5)
    elif kind < 0.7:
        curl = rng.uniform(0.0, 0.12, 5)
    else:
        curl = rng.uniform(0.0, 1.0, 5)
        if kind < 0.8:
            curl = np.concatenate([0.15 * curl[:1], 0.7 + 0.3 * curl[1:]])
    return curl.clip(0, 1)


def open_hand_studio(furniture: Path | None, motion: Path | None, cache: Path | None) -> Studio:
    """Load the assets; see ``open_studio``."""
    studio = open_studio(furniture, None, motion, cache)
    return replace(studio, cast=Cast(load_body(), load_motions(motion), draw_fingers))


def render_hands(studio: Studio, detector: CropHandDetector, seed: int, is_validation: bool) -> RenderedHands | None:
    """Render one person in one room, every frame from another camera; None if the room has no free place.

    Args:
        detector: Its landmark network is applied to visible hands of at least 45 pixels.
        is_validation: Furniture, materials and motions of their own.
    """
    rng = np.random.default_rng([int(is_validation), seed, 3])
    scene = build_room(rng, studio.assets, draw_environment(rng, studio, False, is_validation), is_validation)
    x0, z0, x1, z1 = scene.floor
    middle, time_s = np.array([(x0 + x1) / 2, (z0 + z1) / 2]), np.arange(_NUM_FRAMES) * _FRAME_S
    actor = studio.cast.make(rng, scene, [], time_s, middle, is_validation)
    if actor is None:
        return None
    images, depths, cameras = _photograph(rng, scene, actor)
    found = []
    for frame, T_scene_camera in enumerate(cameras):
        joints = inverse_transform_points(T_scene_camera, actor.joints[frame])
        found += _detect_hands(detector, images[frame], depths[frame], joints, actor.rotations[frame])
    return RenderedHands(*(np.array(column) for column in zip(*found, strict=True))) if found else None


def _photograph(
    rng: np.random.Generator, scene: Scene, actor: Actor
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Return images ``T H W 3``, depths and ``T_scene_camera``; every camera looks at a hand from the front."""
    still = join_meshes([scene.mesh, *([actor.seat] if actor.seat is not None else [])])
    renderer = Renderer(still, [actor.mesh], scene.bank, scene.lights, 2)
    K = intrinsics(_FOCAL_PX, _SIZE).double().numpy()
    frames, cameras = [], []
    for index, joints in enumerate(actor.joints):
        target = joints[_SIDES[index % 2][1]] + rng.normal(0, 0.1, 3)
        front = np.cross(joints[Joint.LEFT_SHOULDER] - joints[Joint.RIGHT_SHOULDER], [0, 1, 0])
        front = Rotation.from_euler("y", rng.uniform(-1.2, 1.2)).apply(front / (np.linalg.norm(front) + 1e-9))
        position = target + rng.uniform(0.7, 1.7) * (front + np.array([0, rng.uniform(-0.25, 0.5), 0]))
        cameras.append(look_at(position, target))
        frames.append(renderer.render([actor.vertices[index]], K, cameras[-1], _SIZE))
    images = develop(rng, np.stack([frame.radiance for frame in frames]))
    depths = [np.where(frame.person_index == 1, frame.depth, 0.0) for frame in frames]
    return images, depths, cameras


def _detect_hands(
    detector: CropHandDetector, image: np.ndarray, depth: np.ndarray, joints: np.ndarray, rotations: np.ndarray
) -> list[tuple[object, ...]]:
    """Return rows of ``RenderedHands``; ``joints`` is ``55 3`` in the camera, ``depth`` that of the person, else 0."""
    K = intrinsics(_FOCAL_PX, image.shape[:2]).double().numpy()
    ahead = joints[:, 2] > 0.1
    uv = project(np.where(ahead[:, None], joints, [0.0, 0.0, 1.0]), K)
    column, row = np.round(uv).astype(int).T
    inside = ahead & (column >= 0) & (column < image.shape[1]) & (row >= 0) & (row < image.shape[0])
    surface = depth[row.clip(0, image.shape[0] - 1), column.clip(0, image.shape[1] - 1)]
    # A joint lies at most a few centimeters behind the skin that shows it.
    is_visible = inside & (surface > 0) & (joints[:, 2] < surface + 0.08)
    rows = []
    for side, (elbow, wrist, first) in enumerate(_SIDES):
        fingers = slice(first, first + NUM_FINGER_JOINTS)
        if not (ahead[elbow] and is_visible[wrist] and is_visible[fingers].mean() >= _MIN_VISIBLE):
            continue
        length = HAND_PER_FOREARM * np.linalg.norm(joints[wrist] - joints[elbow]) * _FOCAL_PX / joints[wrist, 2]
        if length < _MIN_LENGTH_PX:
            continue
        place = torch.tensor(np.stack([uv[elbow], uv[wrist]]), dtype=torch.float32)
        with torch.inference_mode():
            square = forearm_squares(place[:1], place[1:], torch.tensor([length], dtype=torch.float32))
            found = detector.find(torch.from_numpy(image), square)
        is_right = float(found.is_right)
        truth = Rotation.from_matrix(rotations[fingers]).as_rotvec()
        own_side = is_right if side == 1 else 1 - is_right
        rows.append((found.points[0].numpy(), float(found.presence), own_side, side == 1, length, truth))
    return rows
