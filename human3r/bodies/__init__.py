"""Parameters to bodies: load a body model, pose it, transform it between frames.

All code uses SMPL-X's conventions: 55 joints, 10 shape and 10 expression coefficients, flat hand mean, no hand PCA. The
embedded body (``human3r-body``) and a licensed ``SMPLX_NEUTRAL.npz`` share one implementation.
"""

from __future__ import annotations

from human3r.bodies.base import BodyMesh
from human3r.bodies.joints import extended_joints
from human3r.bodies.loading import EMBEDDED_BODY_PATH, load_body
from human3r.bodies.placement import (
    bodies_in_world,
    from_joint_rotations,
    head_centered,
    to_joint_rotations,
    transform_parameters,
)
from human3r.bodies.smplx import SmplxBody

__all__ = [
    "EMBEDDED_BODY_PATH",
    "BodyMesh",
    "SmplxBody",
    "bodies_in_world",
    "extended_joints",
    "from_joint_rotations",
    "head_centered",
    "load_body",
    "to_joint_rotations",
    "transform_parameters",
]
