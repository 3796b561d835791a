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
from human3r.skeleton import NUM_BODY_JOINTS, Joint
from human3r.training.motion import load_motions
from human3r.training.synthetic.cameras import look_at
from human3r.training.synthetic.generate import Studio, draw_environment, open_studio
from human3r.training.synthetic.people.posed_people import Actor, Cast, TurnWrists
from human3r.training.synthetic.places.rooms import build_room
from human3r.training.synthetic.rendering.mesh import join_meshes
from human3r.training.synthetic.rendering.renderer import Renderer
from human3r.training.synthetic.rendering.sensor import develop

_NUM_FRAMES = 8
_FRAME_S = 0.35
_SIZE = (480, 640)
_FOCAL_PX = 554.0
_K = intrinsics(_FOCAL_PX, _SIZE).double().numpy()
_NEAR_M = 0.1
_NEAR_HANDS_M = (0.7, 1.7)
_MIN_LENGTH_PX = 45.0
_MIN_VISIBLE = 0.3
"""Share of the finger joints."""
_BEND_DEG = np.array([75.0, 95.0, 60.0])
"""Of the three joints of a finger in a fist."""
_THUMB = np.array([0.55, 0.75, 0.35])
"""Rotation vector of a right thumb's joints that bends it across the palm."""
SIDES = ((Joint.LEFT_ELBOW, Joint.LEFT_WRIST, 25), (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, 40))
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


def open_hand_studio(
    furniture: Path | None, motion: Path | None, cache: Path | None, turn_wrists: TurnWrists | None = None
) -> Studio:
    """Load the assets; see ``open_studio`` and ``Cast``."""
    studio = open_studio(furniture, None, motion, cache)
    return replace(studio, cast=Cast(load_body(), load_motions(motion), draw_fingers, turn_wrists))


@dataclass(frozen=True)
class Photograph:
    """One picture of one person, seen from the front."""

    image: np.ndarray
    """``H W 3`` uint8."""
    joints: np.ndarray
    """``55 3`` in the camera."""
    joints_px: np.ndarray
    """``55 2``"""
    is_visible: np.ndarray
    """``55`` bool."""
    rotations: np.ndarray
    """``55 3 3`` local; the first is the pelvis in the camera."""

    def shows_hand(self, side: int) -> bool:
        """Return whether the wrist and enough of the fingers of the left (0) or right (1) hand are seen."""
        elbow, wrist, first = SIDES[side]
        fingers = self.is_visible[first : first + NUM_FINGER_JOINTS]
        return bool(self.joints[elbow, 2] > _NEAR_M and self.is_visible[wrist] and fingers.mean() >= _MIN_VISIBLE)


def photograph(
    studio: Studio, seed: int, is_validation: bool, distance_m: tuple[float, float], body_share: float = 0.0
) -> list[Photograph]:
    """Render one person in one room, every frame from another camera; nothing if the room has no free place.

    Args:
        studio: The assets.
        seed: Of all random draws.
        is_validation: Furniture, materials and motions of their own.
        distance_m: Least and most distance of the camera.
        body_share: 0 looks at one of the hands, 1 at the middle of the body.
    """
    rng = np.random.default_rng([int(is_validation), seed, 3])
    scene = build_room(rng, studio.assets, draw_environment(rng, studio, False, is_validation), is_validation)
    x0, z0, x1, z1 = scene.floor
    middle, time_s = np.array([(x0 + x1) / 2, (z0 + z1) / 2]), np.arange(_NUM_FRAMES) * _FRAME_S
    actor = studio.cast.make(rng, scene, [], time_s, middle, is_validation)
    if actor is None:
        return []
    still = join_meshes([scene.mesh, *([actor.seat] if actor.seat is not None else [])])
    renderer = Renderer(still, [actor.mesh], scene.bank, scene.lights, 2)
    frames, cameras = [], []
    for index, joints in enumerate(actor.joints):
        hand = joints[SIDES[index % 2][1]] + rng.normal(0, 0.1, 3)
        target = hand + body_share * (joints[:NUM_BODY_JOINTS].mean(0) - hand)
        front = np.cross(joints[Joint.LEFT_SHOULDER] - joints[Joint.RIGHT_SHOULDER], [0, 1, 0])
        front = Rotation.from_euler("y", rng.uniform(-1.2, 1.2)).apply(front / (np.linalg.norm(front) + 1e-9))
        position = target + rng.uniform(*distance_m) * (front + np.array([0, rng.uniform(-0.25, 0.5), 0]))
        cameras.append(look_at(position, target))
        frames.append(renderer.render([actor.vertices[index]], _K, cameras[-1], _SIZE))
    images = develop(rng, np.stack([frame.radiance for frame in frames]))
    depths = [np.where(frame.person_index == 1, frame.depth, 0.0) for frame in frames]
    return [_seen(actor, index, *parts) for index, parts in enumerate(zip(images, depths, cameras, strict=True))]


def _seen(actor: Actor, index: int, image: np.ndarray, depth: np.ndarray, T_scene_camera: np.ndarray) -> Photograph:
    joints, rotations = inverse_transform_points(T_scene_camera, actor.joints[index]), actor.rotations[index].copy()
    rotations[0] = T_scene_camera[:3, :3].T @ rotations[0]
    ahead = joints[:, 2] > _NEAR_M
    uv = project(np.where(ahead[:, None], joints, [0.0, 0.0, 1.0]), _K)
    column, row = np.round(uv).astype(int).T
    inside = ahead & (column >= 0) & (column < image.shape[1]) & (row >= 0) & (row < image.shape[0])
    surface = depth[row.clip(0, image.shape[0] - 1), column.clip(0, image.shape[1] - 1)]
    # A joint lies at most a few centimeters behind the skin that shows it.
    is_visible = inside & (surface > 0) & (joints[:, 2] < surface + 0.08)
    return Photograph(image, joints, uv, is_visible, rotations)


def render_hands(studio: Studio, detector: CropHandDetector, seed: int, is_validation: bool) -> RenderedHands | None:
    """Return the hands of one person; see ``photograph``.

    Args:
        studio: The assets.
        detector: Its landmark network is applied to visible hands of at least 45 pixels.
        seed: Of all random draws.
        is_validation: Furniture, materials and motions of their own.
    """
    pictures = photograph(studio, seed, is_validation, _NEAR_HANDS_M)
    found = [row for picture in pictures for row in _detect_hands(detector, picture)]
    return RenderedHands(*(np.array(column) for column in zip(*found, strict=True))) if found else None


def _detect_hands(detector: CropHandDetector, picture: Photograph) -> list[tuple[object, ...]]:
    """Return rows of ``RenderedHands``."""
    rows, joints = [], picture.joints
    for side, (elbow, wrist, first) in enumerate(SIDES):
        if not picture.shows_hand(side):
            continue
        length = HAND_PER_FOREARM * np.linalg.norm(joints[wrist] - joints[elbow]) * _FOCAL_PX / joints[wrist, 2]
        if length < _MIN_LENGTH_PX:
            continue
        place = torch.tensor(picture.joints_px[[elbow, wrist]], dtype=torch.float32)
        with torch.inference_mode():
            square = forearm_squares(place[:1], place[1:], torch.tensor([length], dtype=torch.float32))
            found = detector.find(torch.from_numpy(picture.image), square)
        is_right = float(found.is_right)
        truth = Rotation.from_matrix(picture.rotations[first : first + NUM_FINGER_JOINTS]).as_rotvec()
        own_side = is_right if side == 1 else 1 - is_right
        rows.append((found.points[0].numpy(), float(found.presence), own_side, side == 1, length, truth))
    return rows
