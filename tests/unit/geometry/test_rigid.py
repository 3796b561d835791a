"""Rotations and transforms against values worked out elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from human3r.geometry.rigid import (
    axis_angle_between,
    axis_angle_from_rotation,
    inverse_transform_points,
    quaternion_from_rotation,
    rigid_transform,
    rotation_from_6d,
    rotation_from_axis_angle,
    rotation_from_quaternion,
    transform_points,
)


@pytest.fixture
def transforms() -> torch.Tensor:
    """Four transforms of which one turns by almost half a circle."""
    axis_angle = torch.tensor([[0.0, 0.0, 0.0], [0.3, -0.2, 0.9], [3.1, 0.0, 0.1], [-1.0, 2.0, 0.5]])
    translation = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [-1.0, 0.0, 4.0], [0.1, 0.2, 0.3]])
    return rigid_transform(rotation_from_axis_angle(axis_angle), translation)


def test_six_numbers_are_read_as_interleaved_columns() -> None:
    rotation = rotation_from_6d(torch.tensor([1, 0.2, 0.1, 0.9, -0.3, 0.4]))
    assert rotation[0].tolist() == pytest.approx([0.9534626, 0.0458290, 0.2980081], abs=1e-6)
    vector = axis_angle_from_rotation(rotation)
    assert vector.tolist() == pytest.approx([0.4705977, 0.3080442, 0.0261169], abs=1e-6)


def test_a_quaternion_of_any_length_gives_the_same_rotation() -> None:
    quaternion = torch.tensor([0.8006408, -0.1601282, -0.3202563, 0.4803845])
    rotation = rotation_from_quaternion(quaternion)
    assert rotation[0].tolist() == pytest.approx([0.3333333, -0.6666667, -0.6666667], abs=1e-6)
    assert torch.allclose(rotation_from_quaternion(-7 * quaternion), rotation, atol=1e-6)


def test_quaternions_come_back_with_a_positive_real_part() -> None:
    quaternion = torch.tensor([-0.5, 0.5, 0.5, 0.5])
    assert torch.allclose(quaternion_from_rotation(rotation_from_quaternion(quaternion)), -quaternion, atol=1e-6)


def test_points_follow_one_transform_or_one_each(transforms: torch.Tensor) -> None:
    points = torch.randn(4, 5, 6, 3, generator=torch.Generator().manual_seed(0))
    each = transform_points(transforms[:, None], points)
    assert torch.allclose(each[2], transform_points(transforms[2], points[2]), atol=1e-6)
    assert torch.allclose(inverse_transform_points(transforms[:, None], each), points, atol=1e-5)
    homogeneous = torch.cat((points[1, 2, 3], torch.ones(1)))
    assert torch.allclose(each[1, 2, 3], (transforms[1] @ homogeneous)[:3], atol=1e-6)


def test_empty_tensors_are_converted() -> None:
    assert axis_angle_from_rotation(torch.zeros(0, 53, 3, 3)).shape == (0, 53, 3)
    assert rotation_from_axis_angle(torch.zeros(0, 53, 3)).shape == (0, 53, 3, 3)
    assert rotation_from_6d(torch.zeros(0, 53, 6)).shape == (0, 53, 3, 3)


def test_directions_are_turned_into_others_the_short_way() -> None:
    start = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
    end = np.array([[0.0, 5.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, -1.0]])
    expected = np.array([[0.0, 0.0, np.pi / 2], [0.0, 0.0, 0.0], [-np.pi / 4, 0.0, 0.0]])
    assert axis_angle_between(start, end) == pytest.approx(expected)
