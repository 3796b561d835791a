"""The 22 body joints that every motion is retargeted to, and rigid chains on them.

Rest frames are world-aligned and y-up: x to the body's left, y up, z forward, as in SMPL-X.
"""

from __future__ import annotations

import numpy as np

BODY_JOINT_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
"""Order of SMPL-X's first 22 joints."""
BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)

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
"""``22 3`` metres from the pelvis: an adult of 1.7 m in SMPL-X's rest pose, for callers without a body at hand. Limb
directions are those described for SMPL-X: upper arms 16 degrees below level, thighs 8 outwards, shins 6 inwards."""

SOLE_BELOW_FOOT_M = 0.03
"""Height of the foot joint (ball of the foot) over the sole, metres; a shoe's worth, from the rest skeleton above."""


def forward_kinematics(joint_rotations: np.ndarray, rest_joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chain local rotations along the body.

    Args:
        joint_rotations: ``... 22 3 3`` local rotations.
        rest_joints: ``22 3`` rest positions, metres.

    Returns:
        Global rotations ``... 22 3 3`` and joint positions ``... 22 3`` relative to the pelvis, metres.
    """
    rotations = np.empty_like(joint_rotations)
    positions = np.zeros(joint_rotations.shape[:-1])
    rotations[..., 0, :, :] = joint_rotations[..., 0, :, :]
    for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
        rotations[..., joint, :, :] = rotations[..., parent, :, :] @ joint_rotations[..., joint, :, :]
        bone = rest_joints[joint] - rest_joints[parent]
        positions[..., joint, :] = positions[..., parent, :] + rotations[..., parent, :, :] @ bone
    return rotations, positions


def local_rotations(global_rotations: np.ndarray) -> np.ndarray:
    """Turn global rotations ``... 22 3 3`` into local ones of the same shape."""
    local = global_rotations.copy()
    for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
        local[..., joint, :, :] = (
            np.swapaxes(global_rotations[..., parent, :, :], -1, -2) @ (global_rotations[..., joint, :, :])
        )
    return local
