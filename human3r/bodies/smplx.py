"""An SMPL-X-format body as a module: shape, pose, skin.

Blend shapes and joint regression are the ``smplx`` package's, forward kinematics ``human3r.skeleton``'s. Skeletons are
posed without their meshes. Differentiable, any device, P = 0 included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from smplx import lbs
from torch import Tensor, nn
from torch.nn import functional

from human3r.bodies.base import EMBEDDED_BODY_NAME, BodyArrays, BodyMesh
from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.records import BodyParameters
from human3r.skeleton import bone_vectors, forward_kinematics

_LBS: Any = lbs
"""The package annotates its functions with its own ``Tensor`` type."""
_STORED = (
    "template", "shape_directions", "expression_directions", "pose_directions", "skinning_weights", "faces",
    "landmark_faces", "landmark_weights",
)  # fmt: skip


class SmplxBody(nn.Module):
    """P bodies from SMPL-X parameters (flat hand mean, no hand PCA, 10 betas, 10 expression coefficients).

    The buffers are not part of ``state_dict``: a body is an asset, not a weight.
    """

    template: Tensor
    """``V 3`` rest vertices, meters, body frame (y up, z forward, x to the body's left)."""
    shape_directions: Tensor
    """``V 3 10``"""
    expression_directions: Tensor
    """``V 3 10``"""
    pose_directions: Tensor | None
    """``V 3 486``, or None where all are zero, which skips the largest product of the layer."""
    joint_template: Tensor
    """``55 3`` rest joints of the mean body."""
    joint_shape_directions: Tensor
    """``55 3 10``"""
    joint_expression_directions: Tensor
    """``55 3 10``"""
    skinning_weights: Tensor
    """``V 55``"""
    faces: Tensor
    """``F 3`` int64."""
    landmark_faces: Tensor
    """``51`` int64, rows of ``faces``."""
    landmark_weights: Tensor
    """``51 3``"""

    def __init__(self, arrays: BodyArrays) -> None:
        super().__init__()
        self.name = arrays.name
        self.is_licensed = arrays.name != EMBEDDED_BODY_NAME
        self.parents: tuple[int, ...] = tuple(arrays.parents.tolist())

        buffers = {name: getattr(arrays, name) for name in _STORED}
        regressor = arrays.joint_regressor
        buffers["joint_template"] = _regress_joints(regressor, arrays.template[..., None])[..., 0]
        buffers["joint_shape_directions"] = _regress_joints(regressor, arrays.shape_directions)
        buffers["joint_expression_directions"] = _regress_joints(regressor, arrays.expression_directions)
        for name, array in buffers.items():
            self.register_buffer(name, None if array is None else torch.as_tensor(array), persistent=False)

    def forward(self, parameters: BodyParameters) -> BodyMesh:
        """Pose P bodies; the result is in the frame of ``global_orient`` and ``transl``."""
        return self.mesh(local_rotations(parameters), parameters.betas, parameters.expression, parameters.transl)

    def joints(self, parameters: BodyParameters) -> Tensor:
        """Pose P skeletons without their meshes: ``P 55 3``, equal to ``forward(...).joints``."""
        rest = self.rest_joints(parameters.betas, parameters.expression)
        joints, _ = self.forward_kinematics(local_rotations(parameters), rest)
        return joints + parameters.transl[:, None]

    def rest_joints(self, betas: Tensor, expression: Tensor) -> Tensor:
        """Return joints of the unposed bodies, ``P 55 3``; linear in ``betas`` and ``expression`` (``P 10`` each)."""
        shaped = functional.linear(betas, self.joint_shape_directions.flatten(0, 1), self.joint_template.flatten())
        shaped = shaped + functional.linear(expression, self.joint_expression_directions.flatten(0, 1))
        return shaped.unflatten(1, self.joint_template.shape)

    def rest_vertices(self, betas: Tensor, expression: Tensor) -> Tensor:
        """Return vertices of the unposed bodies, ``P V 3``."""
        shaped = self.template + _LBS.blend_shapes(betas, self.shape_directions)
        return shaped + _LBS.blend_shapes(expression, self.expression_directions)

    def forward_kinematics(self, rotations: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor]:
        """Pose a skeleton about its resting pelvis.

        Args:
            rotations: ``P 55 3 3`` rotation of each joint relative to its parent, SMPL-X order, root first.
            rest_joints: ``P 55 3``.

        Returns:
            Joints ``P 55 3`` and the joints' global rotations ``P 55 3 3``.
        """
        bones = bone_vectors(rest_joints, self.parents)
        bones = torch.cat([rest_joints[:, :1], bones[:, 1:]], dim=1)
        orientation, joints = forward_kinematics(rotations, bones, self.parents)
        return joints, orientation

    def mesh(self, rotations: Tensor, betas: Tensor, expression: Tensor, transl: Tensor) -> BodyMesh:
        """Pose P bodies given as rotation matrices.

        Args:
            rotations: ``P 55 3 3`` local rotations, SMPL-X order (root, body, jaw, eyes, left hand, right hand).
            betas: ``P 10``.
            expression: ``P 10``.
            transl: ``P 3`` meters, as in SMPL-X: added after posing about the resting pelvis.
        """
        rest_joints = self.rest_joints(betas, expression)
        joints, orientation = self.forward_kinematics(rotations, rest_joints)
        vertices = self.rest_vertices(betas, expression)
        if self.pose_directions is not None:
            identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
            pose_feature = (rotations[:, 1:] - identity).flatten(start_dim=1)
            vertices = vertices + (pose_feature @ self.pose_directions.flatten(end_dim=1).T).view_as(vertices)
        posed = self.skin(vertices, rest_joints, joints, orientation)
        return BodyMesh(vertices=posed + transl[:, None], joints=joints + transl[:, None])

    def skin(self, vertices: Tensor, rest_joints: Tensor, joints: Tensor, orientation: Tensor) -> Tensor:
        """Move rest vertices ``P V 3`` with the joints that ``forward_kinematics`` returned: ``P V 3``."""
        offset = joints - (orientation @ rest_joints[..., None])[..., 0]
        transforms = torch.cat([orientation, offset[..., None]], dim=-1).flatten(start_dim=2)
        per_vertex = (self.skinning_weights @ transforms).unflatten(-1, (3, 4))
        return (per_vertex[..., :3] @ vertices[..., None])[..., 0] + per_vertex[..., 3]


def local_rotations(parameters: BodyParameters) -> Tensor:
    """Return local rotation matrices ``P 55 3 3`` in SMPL-X order: root, 21 body, jaw, eyes, left hand, right hand."""
    axis_angle = torch.cat(
        [
            parameters.global_orient[:, None],
            parameters.body_pose,
            parameters.jaw_pose[:, None],
            parameters.leye_pose[:, None],
            parameters.reye_pose[:, None],
            parameters.left_hand_pose,
            parameters.right_hand_pose,
        ],
        dim=1,
    )
    return rotation_from_axis_angle(axis_angle)


def _regress_joints(regressor: np.ndarray, vertices: np.ndarray) -> Tensor:
    """Apply the regressor to ``V 3 C`` columns in float64: it runs once, and all later results inherit its error."""
    columns = torch.as_tensor(vertices, dtype=torch.float64).permute(2, 0, 1)
    joints = _LBS.vertices2joints(torch.as_tensor(regressor, dtype=torch.float64), columns)
    return joints.permute(1, 2, 0).float().contiguous()
