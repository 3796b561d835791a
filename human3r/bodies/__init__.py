"""Parameters to bodies: load a body model, pose it, place it in the world.

Everything speaks SMPL-X: 55 joints, 10 shape and 10 expression coefficients, flat hand mean, no hand PCA. The
embedded body (``human3r-body``) and a licensed ``SMPLX_NEUTRAL.npz`` go through the same code.
"""

from __future__ import annotations

from human3r.bodies.base import BodyMesh, BodyModel
from human3r.bodies.joints import COCO17_NAMES, COCO17_OFFSETS_M, CocoKeypoints, coco17, extended_joints
from human3r.bodies.loading import EMBEDDED_BODY_PATH, load_body
from human3r.bodies.placement import (
    from_joint_rotations,
    head_centred,
    to_body_parameters,
    to_joint_rotations,
    transform_parameters,
)
from human3r.bodies.smplx import SmplxBody

__all__ = [
    "COCO17_NAMES",
    "COCO17_OFFSETS_M",
    "EMBEDDED_BODY_PATH",
    "BodyMesh",
    "BodyModel",
    "CocoKeypoints",
    "SmplxBody",
    "coco17",
    "extended_joints",
    "from_joint_rotations",
    "head_centred",
    "load_body",
    "to_body_parameters",
    "to_joint_rotations",
    "transform_parameters",
]
