"""The records of a body model: the contents of its file, and posed bodies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from human3r.records import TensorRecord

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
    """``P V 3`` meters."""
    joints: Tensor
    """``P 55 3`` meters."""


@dataclass(frozen=True)
class BodyArrays:
    """The validated contents of an SMPL-X-format file; float32, body frame (y up, z forward, x to the left), meters."""

    name: str
    """``human3r-body`` or ``smplx-neutral``."""
    template: np.ndarray
    """``V 3`` rest vertices."""
    shape_directions: np.ndarray
    """``V 3 10`` meters per unit of beta."""
    expression_directions: np.ndarray
    """``V 3 10`` meters per unit of expression coefficient."""
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
