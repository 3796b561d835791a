"""Laws of bodies: rigid motion commutes with posing, shape is linear, and nobody is as good as anybody."""

from __future__ import annotations

import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from human3r.bodies import SmplxBody, from_joint_rotations, head_centered, load_body, transform_parameters
from human3r.records import BodyParameters

_angle = st.floats(-3.25, 3.25, width=32)
_meters = st.floats(-20, 20, width=32)
_coefficient = st.floats(-3, 3, width=32)


def _tensors(shape: tuple[int, ...], elements: st.SearchStrategy[float]) -> st.SearchStrategy[torch.Tensor]:
    return hnp.arrays("float32", shape, elements=elements).map(torch.from_numpy)


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body()


@st.composite
def people(draw: st.DrawFn) -> BodyParameters:
    count = draw(st.integers(0, 3))
    rotations = roma.rotvec_to_rotmat(0.2 * draw(_tensors((count, 53, 3), _angle)))
    shape = draw(_tensors((count, 10), _coefficient))
    return from_joint_rotations(rotations, shape, shape.flip(1), draw(_tensors((count, 3), _meters)))


@st.composite
def rigid_transforms(draw: st.DrawFn) -> torch.Tensor:
    transform = torch.eye(4)
    scale = draw(st.sampled_from([0.0, 1e-6, 1.0]))
    transform[:3, :3] = roma.rotvec_to_rotmat(scale * draw(_tensors((3,), _angle)))
    transform[:3, 3] = draw(_tensors((3,), _meters))
    return transform


@given(parameters=people(), transform=rigid_transforms())
@settings(max_examples=25, deadline=None)
def test_moving_the_parameters_moves_the_skeleton(
    body: SmplxBody, parameters: BodyParameters, transform: torch.Tensor
) -> None:
    moved = body.joints(transform_parameters(parameters, transform, body))
    expected = body.joints(parameters) @ transform[:3, :3].T + transform[:3, 3]
    torch.testing.assert_close(moved, expected, atol=2e-4, rtol=0)


@given(parameters=people(), transform=rigid_transforms())
@settings(max_examples=25, deadline=None)
def test_a_transform_and_its_inverse_leave_parameters_unchanged(
    body: SmplxBody, parameters: BodyParameters, transform: torch.Tensor
) -> None:
    there = transform_parameters(parameters, transform, body)
    back = transform_parameters(there, torch.linalg.inv(transform), body)
    torch.testing.assert_close(body.joints(back), body.joints(parameters), atol=4e-4, rtol=0)


@given(
    first=_tensors((1, 10), _coefficient), second=_tensors((1, 10), _coefficient), expression=_tensors((1, 10), _angle)
)
@settings(max_examples=25, deadline=None)
def test_shape_and_expression_add_up(
    body: SmplxBody, first: torch.Tensor, second: torch.Tensor, expression: torch.Tensor
) -> None:
    nothing = torch.zeros(1, 10)
    parts = [body.rest_joints(first, nothing), body.rest_joints(second, nothing), body.rest_joints(nothing, expression)]
    together = body.rest_joints(first + second, expression)
    torch.testing.assert_close(together, sum(parts) - 2 * body.joint_template, atol=1e-5, rtol=0)


@given(rotations=_tensors((2, 53, 3), _angle), head=_tensors((2, 3), _meters), betas=_tensors((2, 10), _coefficient))
@settings(max_examples=25, deadline=None)
def test_the_head_is_placed_at_the_given_point(
    body: SmplxBody, rotations: torch.Tensor, head: torch.Tensor, betas: torch.Tensor
) -> None:
    parameters = head_centered(body, roma.rotvec_to_rotmat(rotations), head, betas, 0.1 * betas)
    torch.testing.assert_close(body.joints(parameters)[:, 15], head, atol=1e-4, rtol=0)
