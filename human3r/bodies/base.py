"""What a body model is to the rest of the program: a Protocol, and the records it takes and gives.

No maths and no files here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from human3r.records import BodyParameters, TensorRecord

EMBEDDED_BODY_NAME = "human3r-body"
LICENSED_BODY_NAME = "smplx-neutral"

NUM_VERTICES = 10475
"""Vertices of every SMPL-X-format body, the embedded one included."""
NUM_BETAS = 10
NUM_EXPRESSION = 10


@dataclass(frozen=True)
class BodyMesh(TensorRecord):
    """P posed bodies, in the frame of the parameters that made them."""

    vertices: Tensor
    """``P V 3`` metres."""
    joints: Tensor
    """``P 55 3`` metres."""


@dataclass(frozen=True)
class BodyArrays:
    """The validated contents of an SMPL-X-format file; float32, body frame (y up, z forward, x to the left), metres."""

    name: str
    """``human3r-body`` or ``smplx-neutral``."""
    template: np.ndarray
    """``V 3`` rest vertices."""
    shape_directions: np.ndarray
    """``V 3 10`` metres per unit of beta."""
    expression_directions: np.ndarray
    """``V 3 10`` metres per unit of expression coefficient."""
    pose_directions: np.ndarray | None
    """``V 3 486`` pose correctives, or None where the file has none or only zeros."""
    joint_regressor: np.ndarray
    """``55 V``"""
    skinning_weights: np.ndarray
    """``V 55`` rows sum to 1."""
    faces: np.ndarray
    """``F 3`` int64."""
    parents: np.ndarray
    """``55`` int64, -1 for the root."""
    landmark_faces: np.ndarray
    """``51`` int64 rows of ``faces``: the static face landmarks."""
    landmark_weights: np.ndarray
    """``51 3`` barycentric coordinates."""


class BodyModel(Protocol):
    """A body that turns SMPL-X parameters into joints and vertices."""

    name: str
    """Goes into saved files: which body the parameters belong to."""
    is_licensed: bool
    """True for SMPL-X itself: its meshes must not be handed on where the licence forbids it."""
    faces: Tensor
    """``F 3`` int64."""

    def __call__(self, parameters: BodyParameters) -> BodyMesh:
        """Pose P bodies."""
        ...

    def joints(self, parameters: BodyParameters) -> Tensor:
        """Pose P skeletons: ``P 55 3``."""
        ...

    def rest_joints(self, betas: Tensor, expression: Tensor) -> Tensor:
        """Joints of the unposed bodies: ``P 55 3``."""
        ...
