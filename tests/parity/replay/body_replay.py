"""Replays recorded bodies: parameters to vertices and joints, head-centered, in world, projected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from human3r.bodies.base import BodyArrays
from human3r.bodies.joints import extended_joints
from human3r.bodies.placement import bodies_in_world, head_centered, to_smplx_order
from human3r.bodies.smplx import SmplxBody
from human3r.geometry.camera import project
from human3r.geometry.rigid import axis_angle_from_rotation, rotation_from_axis_angle
from tests.parity.replay.rows import FUNCTION_TOLERANCE, RowCollector

_INPUTS = ("in/K", "in/expression", "in/pose", "in/shape", "in/transl", "world/c2w")
_STRIDE = 25
"""Every 25th vertex was kept."""


def replay_bodies(tensors: Mapping[str, Tensor], body: SmplxBody, arrays: BodyArrays, collector: RowCollector) -> None:
    """Compare every tensor of the file with what our body makes of its inputs."""
    found = _compute(tensors, body) | _body_checks(arrays, body)
    collector.compare_all(tensors, {name: (values, FUNCTION_TOLERANCE) for name, values in found.items()}, _INPUTS)


def _compute(tensors: Mapping[str, Tensor], body: SmplxBody) -> dict[str, Tensor]:
    rotations = rotation_from_axis_angle(tensors["in/pose"])
    betas, expression, head, K = (tensors[f"in/{name}"] for name in ("shape", "expression", "transl", "K"))
    parameters = head_centered(body, rotations, head, betas, expression)
    plain = head_centered(body, rotations, head, betas, torch.zeros_like(expression))
    in_world = bodies_in_world(rotations, head, betas, expression, tensors["world/c2w"][0], body)[0]
    mesh, world = body(parameters), body(in_world)
    standard = body(replace(parameters, transl=head))
    joints = extended_joints(body, mesh)
    return {
        "head_centred/smpl_j3d": joints,
        "head_centred/smpl_v3d_s25": mesh.vertices[:, ::_STRIDE],
        "head_centred/smpl_j2d": project(joints, K),
        "head_centred/smpl_v2d_s25": project(mesh.vertices[:, ::_STRIDE], K),
        "head_centred/smpl_transl_pelvis": mesh.joints[:, :1],
        "head_centred_noexpr/smpl_j3d": extended_joints(body, body(plain)),
        "pelvis_centred/smpl_j3d": extended_joints(body, standard),
        "pelvis_centred/smpl_v3d_s25": standard.vertices[:, ::_STRIDE],
        "vanilla/pose55": axis_angle_from_rotation(to_smplx_order(rotations)),
        "vanilla/solved_transl": parameters.transl,
        "world/j3d": extended_joints(body, world),
        "world/v3d_s25": world.vertices[:, ::_STRIDE],
    }


def _body_checks(arrays: BodyArrays, body: SmplxBody) -> dict[str, Tensor]:
    """Return checksums that identify the recorded body."""
    summed = (
        arrays.shape_directions,
        arrays.expression_directions,
        arrays.pose_directions,
        arrays.joint_regressor,
        arrays.skinning_weights,
    )
    return {
        "body/rest_joints": body.joint_template,
        "body/v_template_first_last": torch.from_numpy(arrays.template[[0, -1]]),
        "body/shapedirs_sum": torch.tensor([float(array.astype("float64").sum()) for array in summed]),
    }
