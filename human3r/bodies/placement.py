"""Convert the network's head-centered people to standard SMPL-X parameters, and these to other frames.

Owns the order of the rotations: 53 of the network, 55 of SMPL-X. Poses skeletons, not meshes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from human3r.bodies.smplx import SmplxBody, local_rotations
from human3r.geometry.rigid import axis_angle_from_rotation, rotation_from_axis_angle
from human3r.records import BodyParameters
from human3r.skeleton import NUM_JOINT_ROTATIONS, Joint

_BODY, _LEFT_HAND, _RIGHT_HAND, _JAW = slice(1, 22), slice(22, 37), slice(37, 52), 52
"""Rows of the network's 53 rotations. Source: Human3R (arXiv 2510.06219), SMPL-X read-out."""


def to_smplx_order(joint_rotations: Tensor) -> Tensor:
    """Reorder 53 rotations (root, body, left hand, right hand, jaw) to SMPL-X's 55, eyes at rest.

    Args:
        joint_rotations: ``P 53 3 3``.

    Returns:
        ``P 55 3 3``: root, 21 body, jaw, left eye, right eye, 15 left hand, 15 right hand.
    """
    eyes = torch.eye(3, dtype=joint_rotations.dtype, device=joint_rotations.device)
    eyes = eyes.expand(joint_rotations.shape[0], 2, 3, 3)
    body, jaw = joint_rotations[:, :22], joint_rotations[:, _JAW:]
    return torch.cat([body, jaw, eyes, joint_rotations[:, 22:_JAW]], dim=1)


def from_smplx_order(rotations: Tensor) -> Tensor:
    """Undo ``to_smplx_order``: ``P 55 3 3`` to ``P 53 3 3``, dropping the eyes."""
    return torch.cat([rotations[:, :22], rotations[:, 25:], rotations[:, 22:23]], dim=1)


def from_joint_rotations(joint_rotations: Tensor, betas: Tensor, expression: Tensor, transl: Tensor) -> BodyParameters:
    """Convert 53 rotation matrices to standard SMPL-X parameters (axis-angle, angles in [0, pi], eyes at rest).

    Args:
        joint_rotations: ``P 53 3 3`` root, 21 body, 15 left hand, 15 right hand, jaw.
        betas: ``P 10``.
        expression: ``P 10``.
        transl: ``P 3`` SMPL-X translation, meters, in the frame of the root rotation.
    """
    if joint_rotations.shape[1] != NUM_JOINT_ROTATIONS:
        raise ValueError(f"expected {NUM_JOINT_ROTATIONS} rotations per person, got {joint_rotations.shape[1]}")
    axis_angle = axis_angle_from_rotation(joint_rotations)
    return BodyParameters(
        global_orient=axis_angle[:, Joint.PELVIS],
        transl=transl,
        body_pose=axis_angle[:, _BODY],
        left_hand_pose=axis_angle[:, _LEFT_HAND],
        right_hand_pose=axis_angle[:, _RIGHT_HAND],
        jaw_pose=axis_angle[:, _JAW],
        leye_pose=torch.zeros_like(transl),
        reye_pose=torch.zeros_like(transl),
        betas=betas,
        expression=expression,
    )


def to_joint_rotations(parameters: BodyParameters) -> Tensor:
    """Return the 53 rotation matrices of standard parameters, ``P 53 3 3``, without the eyes."""
    return from_smplx_order(local_rotations(parameters))


def head_centered(
    body: SmplxBody, joint_rotations: Tensor, head: Tensor, betas: Tensor, expression: Tensor
) -> BodyParameters:
    """Return standard parameters of bodies with the head joint at a given point.

    Source: Human3R (arXiv 2510.06219), head-anchored people: ``transl = t - (R0 (J15 - J0) + J0)``, J of the
    unrotated root.

    Args:
        body: The body of the parameters.
        joint_rotations: ``P 53 3 3``, root in the frame of ``head``.
        head: ``P 3`` position of SMPL-X joint 15, meters, any frame.
        betas: ``P 10``.
        expression: ``P 10``.
    """
    _, transl = _posed_at_head(body, joint_rotations, head, betas, expression)
    return from_joint_rotations(joint_rotations, betas, expression, transl)


def joints_at_head(body: SmplxBody, joint_rotations: Tensor, head: Tensor, betas: Tensor, expression: Tensor) -> Tensor:
    """Return the joints ``P 55 3`` of the bodies of ``head_centered``, whose arguments these are."""
    return _posed_at_head(body, joint_rotations, head, betas, expression)[0]


def _posed_at_head(
    body: SmplxBody, joint_rotations: Tensor, head: Tensor, betas: Tensor, expression: Tensor
) -> tuple[Tensor, Tensor]:
    """Return joints ``P 55 3`` and translations ``P 3`` of bodies with the head joint at ``head``."""
    rest = body.rest_joints(betas, expression)
    posed, _ = body.forward_kinematics(to_smplx_order(joint_rotations), rest)
    transl = head - posed[:, Joint.HEAD]
    return posed + transl[:, None], transl


def transform_parameters(parameters: BodyParameters, T_target_source: Tensor, body: SmplxBody) -> BodyParameters:
    """Move posed bodies rigidly from one frame to another.

    SMPL-X rotates a body about its pelvis at rest, not about the origin, so the translation changes with the rotation.

    Args:
        parameters: P bodies in the source frame.
        T_target_source: ``4 4`` or ``P 4 4`` rigid transform, meters.
        body: The body model of the parameters.
    """
    rotation, translation = T_target_source[..., :3, :3], T_target_source[..., :3, 3]
    pelvis = body.rest_joints(parameters.betas, parameters.expression)[:, Joint.PELVIS]
    orient = rotation @ rotation_from_axis_angle(parameters.global_orient)
    moved = (rotation @ (pelvis + parameters.transl)[..., None])[..., 0] + translation
    return replace(parameters, global_orient=axis_angle_from_rotation(orient), transl=moved - pelvis)


def bodies_in_world(
    joint_rotations: Tensor,
    head_camera: Tensor,
    betas: Tensor,
    expression: Tensor,
    T_world_camera: Tensor,
    body: SmplxBody,
) -> tuple[BodyParameters, Tensor]:
    """Return standard SMPL-X parameters in world of the network's people, and their joints ``P 55 3``.

    Args:
        joint_rotations: ``P 53 3 3`` root (in the camera frame), 21 body, 15 left hand, 15 right hand, jaw.
        head_camera: ``P 3`` head joint in the camera frame, meters.
        betas: ``P 10``.
        expression: ``P 10``.
        T_world_camera: ``4 4`` or ``P 4 4``.
        body: The body model the parameters are for.
    """
    rotation, translation = T_world_camera[..., :3, :3], T_world_camera[..., :3, 3]
    head_world = (rotation @ head_camera[..., None])[..., 0] + translation
    root_world = (rotation @ joint_rotations[:, Joint.PELVIS])[:, None]
    rotations_world = torch.cat([root_world, joint_rotations[:, 1:]], dim=1)
    joints, transl = _posed_at_head(body, rotations_world, head_world, betas, expression)
    return from_joint_rotations(rotations_world, betas, expression, transl), joints
