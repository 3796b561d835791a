"""The skeleton of the compact person head: 22 joints and COCO's 17 keypoints, linear in betas, no mesh.

Its tables are weights, taken from the body that the lifter was trained on, so ``models`` needs no body file. Rest axes
are SMPL-X's: x left, y up, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.records import TensorRecord
from human3r.skeleton import bone_vectors, forward_kinematics

NUM_KEYPOINTS = 17
KEYPOINT_JOINTS = (15, 15, 15, 15, 15, 16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)
"""Joint of each COCO keypoint: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles."""
OFFSET_CARRIERS = (15, 15, 15, 15, 15, 9, 9, 18, 19, 20, 21, 0, 0, 4, 5, 7, 8)
"""Joint whose axes a keypoint's constant offset is fixed in: shoulders move with the chest, hips with the pelvis."""
MIRRORED_KEYPOINTS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
MIRRORED_JOINTS = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20)


@dataclass(frozen=True)
class PosedPoints(TensorRecord):
    """P posed skeletons; the frame is that of the root rotation, the origin is the pelvis joint."""

    joints: Tensor
    """``P 22 3`` meters."""
    rotations: Tensor
    """``P 22 3 3`` global."""
    keypoints: Tensor
    """``P 17 3`` meters, where a keypoint detector finds them (annotation offsets included)."""


class BodyPoints(nn.Module):
    """Rest tables, which are buffers of the weights, and forward kinematics."""

    joint_template: Tensor
    """``22 3`` meters."""
    joint_directions: Tensor
    """``22 3 10`` meters per beta."""
    face_template: Tensor
    """``5 3`` nose, eyes, ears from the head joint, meters."""
    face_directions: Tensor
    """``5 3 10`` meters per beta."""
    keypoint_offsets: Tensor
    """``17 3`` from the joint to the annotated point, in the rest axes of ``OFFSET_CARRIERS``, meters."""
    keypoint_joints: Tensor
    carriers: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("joint_template", torch.zeros(22, 3))
        self.register_buffer("joint_directions", torch.zeros(22, 3, 10))
        self.register_buffer("face_template", torch.zeros(5, 3))
        self.register_buffer("face_directions", torch.zeros(5, 3, 10))
        self.register_buffer("keypoint_offsets", torch.zeros(17, 3))
        self.register_buffer("keypoint_joints", torch.tensor(KEYPOINT_JOINTS), persistent=False)
        self.register_buffer("carriers", torch.tensor(OFFSET_CARRIERS), persistent=False)

    def rest(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Return rest joints ``P 22 3`` from the pelvis and face points ``P 5 3`` from the head joint, meters."""
        joints = self.joint_template + torch.einsum("pb,jcb->pjc", betas, self.joint_directions)
        faces = self.face_template + torch.einsum("pb,jcb->pjc", betas, self.face_directions)
        return joints - joints[:, :1], faces

    def forward(self, joint_rotations: Tensor, betas: Tensor) -> PosedPoints:
        """Pose P skeletons from local rotations ``P 22 3 3`` and betas ``P 10``."""
        joints, faces = self.rest(betas)
        return self.pose(joint_rotations, joints, faces)

    def pose(
        self, joint_rotations: Tensor, rest_joints: Tensor, faces: Tensor, offsets: Tensor | None = None
    ) -> PosedPoints:
        """Pose the skeletons of ``rest`` from local rotations ``P 22 3 3``; ``offsets`` (``P 17 3``, meters) replaces
        ``keypoint_offsets``."""
        rotations, joints = forward_kinematics(joint_rotations, bone_vectors(rest_joints))
        offsets = self.keypoint_offsets.expand(joints.shape[0], 17, 3) if offsets is None else offsets
        moved = torch.cat([offsets[:, :5] + faces, offsets[:, 5:]], dim=1)
        carried = (rotations[:, self.carriers] @ moved[..., None])[..., 0]
        return PosedPoints(joints, rotations, joints[:, self.keypoint_joints] + carried)
