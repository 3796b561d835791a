"""Motion of a person during a clip: a window of motion capture, or a held pose with small movements."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp

from human3r.models.compact.people.lifting.body_points import MIRRORED_JOINTS
from human3r.training.motion import Motion
from human3r.training.simulation import procedural
from human3r.training.simulation.rotations import RandomSource

VALIDATION_MOTIONS = re.compile(r"cmu_131_03|amp_dance|humanoid3d_(jog|punch|dance_b)|makehuman_walk1|cmu_11")
"""Clips reserved for the validation split."""
ACROBATICS = re.compile(r"flip|cartwheel|roll|crawl|getup|spin|kick|benchmark")
AIRBORNE = re.compile(r"jump|hop|flip|cartwheel|spinkick|run|jog|01_01|131_02")
"""Clips in which both feet leave the floor: only the lowest frame of a window touches it."""
_HELD = {
    "standing": procedural.standing,
    "seated": procedural.seated,
    "squatting": procedural.squatting,
    "bending": procedural.bending,
    "lying": procedural.lying,
}
HELD_SHARES = {"standing": 0.5, "seated": 0.32, "squatting": 0.07, "bending": 0.07, "lying": 0.04}


@dataclass(frozen=True)
class Action:
    """Body motion over the frames of a clip, in its own frame: y up, heading as captured."""

    kind: str
    """``motion`` or the name of a held pose."""
    name: str
    joint_rotations: np.ndarray
    """``T 22 3 3`` float64 local rotations, root first."""
    root_position: np.ndarray
    """``T 3`` of the pelvis, meters, for the standard skeleton, starting at x = z = 0."""
    is_airborne: bool


def draw_action(
    rng: np.random.Generator, motions: list[Motion], time_s: np.ndarray, is_validation: bool, held_share: float
) -> Action:
    """Draw the motion of one person at the given times."""
    usable = [motion for motion in motions if bool(VALIDATION_MOTIONS.search(motion.name)) == is_validation]
    if not usable or rng.uniform() < held_share:
        return _held(rng, time_s)
    seconds = np.array([len(motion.joint_rotations) / motion.fps for motion in usable])
    weights = np.sqrt(np.clip(seconds, 0.5, 20))
    weights *= [0.25 if ACROBATICS.search(motion.name) else 1.0 for motion in usable]
    motion = usable[rng.choice(len(usable), p=weights / weights.sum())]
    return _window(rng, motion, time_s)


def _window(rng: np.random.Generator, motion: Motion, time_s: np.ndarray) -> Action:
    speed = rng.uniform(0.8, 1.2)
    length = (len(motion.joint_rotations) - 1) / motion.fps
    needed = float(time_s[-1]) * speed
    if needed > length:
        speed, needed = speed * length / max(needed, 1e-6) * 0.999, length * 0.999
    if "benchmark" in motion.name:
        # A list of unrelated poses: hold one.
        speed, needed = 0.0, 0.0
    frames = (rng.uniform(0, max(length - needed, 0)) + time_s * speed) * motion.fps
    low = np.clip(np.floor(frames).astype(int), 0, len(motion.joint_rotations) - 1)
    high = np.minimum(low + 1, len(motion.joint_rotations) - 1)
    share = (frames - low)[:, None]
    start = Rotation.from_matrix(motion.joint_rotations[low].reshape(-1, 3, 3))
    step = start.inv() * Rotation.from_matrix(motion.joint_rotations[high].reshape(-1, 3, 3))
    rotations = (
        (start * Rotation.from_rotvec(step.as_rotvec() * np.repeat(share, 22, 0))).as_matrix().reshape(-1, 22, 3, 3)
    )
    root = motion.root_position[low] * (1 - share) + motion.root_position[high] * share
    if rng.uniform() < 0.5:
        rotations, root = mirror_motion(rotations, root)
    offset = Rotation.from_rotvec(rng.normal(0, 1, (21, 3)) * _style_sigma()[:, None]).as_matrix()
    rotations[:, 1:] = rotations[:, 1:] @ offset
    root = root - root[:1] * [1, 0, 1]
    return Action("motion", motion.name, rotations, root, bool(AIRBORNE.search(motion.name)))


def _held(rng: np.random.Generator, time_s: np.ndarray) -> Action:
    kind = str(rng.choice(list(HELD_SHARES), p=list(HELD_SHARES.values())))
    source = RandomSource(torch.Generator().manual_seed(int(rng.integers(2**31))))
    first, last = _HELD[kind](source, 2).double().numpy()
    # The upper body moves part of the way toward another pose of the same kind.
    reach = rng.uniform(0, 0.35) * min(1.0, float(time_s[-1]) / 2 + 0.1)
    share = reach * (1 - np.cos(np.pi * time_s / max(float(time_s[-1]), 1e-6))) / 2
    rotations = np.repeat(first[None], len(time_s), 0)
    for joint in (3, 6, 9, 12, 15, 13, 14, 16, 17, 18, 19, 20, 21):
        path = Slerp([0, 1], Rotation.from_matrix(np.stack([first[joint], last[joint]])))
        rotations[:, joint] = path(share).as_matrix()
    if rng.uniform() < 0.5:
        rotations, _ = mirror_motion(rotations, np.zeros((len(time_s), 3)))
    root = np.tile([0.0, 0.9, 0.0], (len(time_s), 1))
    return Action(kind, kind, rotations, root, False)


def mirror_motion(rotations: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Swap left and right of ``T 22 3 3`` rotations and a ``T 3`` path (mirrored at x = 0)."""
    flip = np.diag([-1.0, 1.0, 1.0])
    return flip @ rotations[:, MIRRORED_JOINTS] @ flip, root * [-1, 1, 1]


def _style_sigma() -> np.ndarray:
    """Return the standard deviation of a person's constant pose offset per joint 1..21, radians."""
    sigma = np.full(21, 0.03)
    sigma[[2, 5, 8, 11, 14]] = 0.06
    sigma[[15, 16, 17, 18, 19, 20]] = (0.13, 0.13, 0.15, 0.15, 0.2, 0.2)
    sigma[[6, 7, 9, 10]] = 0.03
    return sigma
