"""Laws of rotations and transforms, near the identity and near half a turn included."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from human3r.geometry.rigid import (
    axis_angle_from_rotation,
    invert_rigid,
    quaternion_from_rotation,
    rigid_transform,
    rotation_from_6d,
    rotation_from_axis_angle,
    rotation_from_quaternion,
    transform_points,
)

coordinate = st.floats(-5, 5, width=32)
vector = st.tuples(coordinate, coordinate, coordinate).map(torch.tensor)
# The smallest angles are those at which a careless formula divides by zero.
angle = st.one_of(st.floats(0, 3.140625, width=32), st.sampled_from([0.0, 1e-7, 1e-4, math.pi - 1e-3, math.pi]))


@st.composite
def rotations(draw: st.DrawFn) -> Tensor:
    axis = torch.nn.functional.normalize(draw(vector) + torch.tensor([0.0, 0.0, 1e-3]), dim=0)
    return rotation_from_axis_angle(axis * draw(angle))


@st.composite
def transforms(draw: st.DrawFn) -> Tensor:
    return rigid_transform(draw(rotations()), draw(vector))


def _near(first: Tensor, second: Tensor, tolerance: float = 1e-4) -> bool:
    return torch.allclose(first, second, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(rotations())
def test_every_rotation_representation_round_trips(rotation: Tensor) -> None:
    assert _near(rotation @ rotation.T, torch.eye(3))
    assert _near(rotation_from_quaternion(quaternion_from_rotation(rotation)), rotation)
    assert _near(rotation_from_axis_angle(axis_angle_from_rotation(rotation)), rotation, 1e-3)
    assert _near(rotation_from_6d(rotation[:, :2].flatten()), rotation)


@settings(max_examples=40, deadline=None)
@given(rotations())
def test_angles_stay_within_half_a_turn(rotation: Tensor) -> None:
    assert axis_angle_from_rotation(rotation).norm() <= math.pi + 1e-4
    assert quaternion_from_rotation(rotation)[0] >= 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6))
def test_any_six_numbers_give_a_rotation_without_reflection(numbers: list[float]) -> None:
    rotation = rotation_from_6d(torch.tensor(numbers))
    assert torch.isfinite(rotation).all()
    x, y, z = rotation.unbind(-1)
    assert (x * torch.linalg.cross(y, z)).sum() > -1e-3


@settings(max_examples=40, deadline=None)
@given(transforms(), transforms(), vector)
def test_transforms_form_a_group_that_acts_on_points(first: Tensor, second: Tensor, point: Tensor) -> None:
    point = point[None]
    assert _near(first @ invert_rigid(first), torch.eye(4))
    together = transform_points(first @ second, point)
    assert _near(together, transform_points(first, transform_points(second, point)), 1e-3)
    assert _near(transform_points(invert_rigid(first), transform_points(first, point)), point, 1e-3)
