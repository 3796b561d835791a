"""Forward kinematics joint by joint, in NumPy: what the fast ways of ``human3r.skeleton`` are compared with."""

from __future__ import annotations

import numpy as np

from human3r.skeleton import PARENTS


def joint_by_joint(
    joint_rotations: np.ndarray, rest_joints: np.ndarray, parents: tuple[int, ...] = PARENTS
) -> tuple[np.ndarray, np.ndarray]:
    """Return global rotations ``P J 3 3`` and joints ``P J 3`` from the root, of local rotations and rest ``J 3``."""
    rotations, positions = joint_rotations.copy(), np.zeros(joint_rotations.shape[:-1])
    for joint in range(1, len(rest_joints)):
        parent = parents[joint]
        rotations[:, joint] = rotations[:, parent] @ joint_rotations[:, joint]
        bone = rest_joints[joint] - rest_joints[parent]
        positions[:, joint] = positions[:, parent] + rotations[:, parent] @ bone
    return rotations, positions
