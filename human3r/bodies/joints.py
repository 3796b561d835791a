"""Named points of a posed body: COCO's keypoints among SMPL-X's joints and vertices, and the smplx package's list."""

from __future__ import annotations

import torch
from smplx.vertex_ids import vertex_ids
from torch import Tensor

from human3r.bodies.base import BodyMesh
from human3r.bodies.smplx import SmplxBody

COCO17_JOINTS: tuple[int, ...] = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)
"""SMPL-X joints of COCO's last twelve keypoints: shoulders, elbows, wrists, hips, knees, ankles, left before right."""

_SLOTS = vertex_ids["smplx"]
COCO17_HEAD_VERTICES: tuple[int, ...] = tuple(_SLOTS[name] for name in ("nose", "leye", "reye", "lear", "rear"))
"""SMPL-X vertices of COCO's first five keypoints."""

_EXTRA_VERTICES: tuple[int, ...] = tuple(
    _SLOTS[name]
    for name in (
        *("nose", "reye", "leye", "rear", "lear"),
        *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
        *(f"{side}{finger}" for side in "lr" for finger in ("thumb", "index", "middle", "ring", "pinky")),
    )
)
"""The 21 vertices that the smplx package appends to the joints. Source: smplx, VertexJointSelector."""


def extended_joints(body: SmplxBody, mesh: BodyMesh) -> Tensor:
    """Return the smplx package's 127 points ``P 127 3``: 55 joints, 21 vertices, 51 static face landmarks."""
    triangles = mesh.vertices[:, body.faces[body.landmark_faces]]
    landmarks = (triangles * body.landmark_weights[..., None]).sum(dim=-2)
    return torch.cat([mesh.joints, mesh.vertices[:, list(_EXTRA_VERTICES)], landmarks], dim=1)
