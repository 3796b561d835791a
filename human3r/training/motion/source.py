"""Output of the readers: an animated skeleton with the names, axes and units of its file; and a standard skeleton."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from human3r.skeleton import forward_kinematics

STANDARD_REST_JOINTS = np.array(
    [
        [0.000, 0.000, 0.000],
        [0.060, -0.095, 0.000],
        [-0.060, -0.095, 0.000],
        [0.000, 0.110, -0.020],
        [0.116, -0.480, 0.000],
        [-0.116, -0.480, 0.000],
        [0.000, 0.250, -0.015],
        [0.074, -0.880, -0.032],
        [-0.074, -0.880, -0.032],
        [0.000, 0.305, 0.000],
        [0.100, -0.935, 0.090],
        [-0.100, -0.935, 0.090],
        [0.000, 0.470, -0.030],
        [0.080, 0.400, -0.015],
        [-0.080, 0.400, -0.015],
        [0.000, 0.560, 0.005],
        [0.175, 0.410, -0.025],
        [-0.175, 0.410, -0.025],
        [0.417, 0.339, -0.065],
        [-0.417, 0.339, -0.065],
        [0.665, 0.361, -0.070],
        [-0.665, 0.361, -0.070],
    ]
)
"""``22 3`` meters from the pelvis: an adult of 1.7 m in SMPL-X's rest pose for use without a body model. Limb
directions are those described for SMPL-X: upper arms 16 degrees below level, thighs 8 outwards, shins 6 inwards."""

SOLE_BELOW_FOOT_M = 0.03
"""Height of the foot joint (ball of the foot) over the sole, meters; for the rest skeleton above."""


@dataclass(frozen=True)
class SourceMotion:
    """A skeleton in motion, as its file describes it.

    Rotations are those that take the file's rest pose to the posed skeleton, in the file's own world axes: all are the
    identity in the rest pose.
    """

    name: str
    """Stem of the file."""
    joint_names: tuple[str, ...]
    """``J`` names, parents before children."""
    rest_positions: np.ndarray
    """``J 3`` rest pose, file units and axes."""
    global_rotations: np.ndarray
    """``T J 3 3``"""
    root_position: np.ndarray
    """``T 3`` file units and axes."""
    fps: float
    """Frames per second."""


def chain(parents: tuple[int, ...], local_rotations: np.ndarray) -> np.ndarray:
    """Multiply local rotations ``T J 3 3`` along the parents into global ones."""
    local = torch.from_numpy(local_rotations)
    return forward_kinematics(local, torch.zeros_like(local[..., 0]), parents)[0].numpy()


def rest_positions(parents: Sequence[int], offsets: np.ndarray) -> np.ndarray:
    """Add offsets ``J 3`` from the parents, which come before their children; the root is at the origin."""
    rest = np.zeros_like(offsets)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rest[joint] = rest[parent] + offsets[joint]
    return rest
