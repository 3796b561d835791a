"""Posing against the smplx package's own layers, for the licensed layout and for our body."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import smplx
import torch

from human3r.bodies import EMBEDDED_BODY_PATH, SmplxBody, extended_joints, load_body
from human3r.records import BodyParameters

_TOLERANCE = 1e-5
"""Meters; float32 rounding of a two-meter body is 1e-6."""


def _reference(path: Path, parameters: BodyParameters) -> tuple[torch.Tensor, torch.Tensor]:
    layer = smplx.create(
        str(path), model_type="smplx", ext="npz", use_pca=False, flat_hand_mean=True, batch_size=len(parameters)
    )
    arguments = {field.name: getattr(parameters, field.name) for field in fields(parameters)}
    output = layer(**{name: value.flatten(start_dim=1) for name, value in arguments.items()})
    return output.vertices.detach(), output.joints.detach()


@pytest.fixture(params=["licensed layout", "embedded"])
def body_path(request: pytest.FixtureRequest, synthetic_file: Path) -> Path:
    return synthetic_file if request.param == "licensed layout" else EMBEDDED_BODY_PATH


def test_mesh_and_points_equal_those_of_the_smplx_package(body_path: Path, parameters: BodyParameters) -> None:
    body = load_body(body_path)
    vertices, points = _reference(body_path, parameters)
    mesh = body(parameters)
    torch.testing.assert_close(mesh.vertices, vertices, atol=_TOLERANCE, rtol=0)
    torch.testing.assert_close(extended_joints(body, mesh), points, atol=_TOLERANCE, rtol=0)


def test_the_skeleton_alone_equals_the_skeleton_of_the_mesh(body_path: Path, parameters: BodyParameters) -> None:
    body = load_body(body_path)
    torch.testing.assert_close(body.joints(parameters), body(parameters).joints, atol=1e-6, rtol=0)


def test_rest_joints_are_the_joints_of_the_unposed_body(embedded_body: SmplxBody, parameters: BodyParameters) -> None:
    resting = parameters.map(torch.zeros_like)
    resting = type(resting)(**{**vars(resting), "betas": parameters.betas, "expression": parameters.expression})
    rest = embedded_body.rest_joints(parameters.betas, parameters.expression)
    torch.testing.assert_close(embedded_body.joints(resting), rest, atol=1e-6, rtol=0)


def test_zero_people_are_an_empty_mesh(synthetic_body: SmplxBody, parameters: BodyParameters) -> None:
    mesh = synthetic_body(parameters.map(lambda tensor: tensor[:0]))
    assert mesh.vertices.shape == (0, 10475, 3)
    assert extended_joints(synthetic_body, mesh).shape == (0, 127, 3)


def test_gradients_reach_every_parameter_through_the_skeleton(
    embedded_body: SmplxBody, parameters: BodyParameters
) -> None:
    leaves = parameters.map(lambda tensor: tensor.clone().requires_grad_())
    embedded_body.joints(leaves).square().sum().backward()
    moving = {field.name: getattr(leaves, field.name).grad for field in fields(leaves)}
    assert all(torch.isfinite(gradient).all() for gradient in moving.values())
    for name in ("global_orient", "transl", "body_pose", "betas"):
        assert moving[name].abs().amax() > 0, name


def test_gradients_at_the_rest_pose_are_finite(embedded_body: SmplxBody, parameters: BodyParameters) -> None:
    leaves = parameters.map(lambda tensor: torch.zeros_like(tensor).requires_grad_())
    embedded_body(leaves).vertices.square().sum().backward()
    assert all(torch.isfinite(getattr(leaves, field.name).grad).all() for field in fields(leaves))


def test_a_body_keeps_nothing_in_a_checkpoint(embedded_body: SmplxBody) -> None:
    assert embedded_body.state_dict() == {}
