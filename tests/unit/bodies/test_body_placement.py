"""Placement: the head stands where the network says, and rigid motion commutes with posing."""

from __future__ import annotations

import pytest
import roma
import torch

from human3r.bodies import (
    SmplxBody,
    bodies_in_world,
    from_joint_rotations,
    head_centered,
    to_joint_rotations,
    transform_parameters,
)
from human3r.bodies.placement import from_smplx_order, to_smplx_order
from human3r.records import BodyParameters


@pytest.fixture
def rotations() -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return roma.rotvec_to_rotmat(0.6 * torch.randn(4, 53, 3, generator=generator))


@pytest.fixture
def shape() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    return torch.randn(4, 10, generator=generator), torch.randn(4, 10, generator=generator)


@pytest.fixture
def head_camera() -> torch.Tensor:
    return torch.tensor([[0.1, 0.2, 3.0], [-1.0, 0.0, 5.0], [0.0, 0.0, 0.5], [2.0, -1.0, 9.0]])


@pytest.fixture
def T_world_camera() -> torch.Tensor:
    transform = torch.eye(4)
    transform[:3, :3] = roma.rotvec_to_rotmat(torch.tensor([0.3, -1.2, 2.0]))
    transform[:3, 3] = torch.tensor([1.0, -2.0, 0.5])
    return transform


def _apply(transform: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    return points @ transform[:3, :3].T + transform[:3, 3]


def test_the_head_joint_stands_at_the_predicted_point(
    synthetic_body: SmplxBody, rotations: torch.Tensor, head_camera: torch.Tensor, shape: tuple
) -> None:
    parameters = head_centered(synthetic_body, rotations, head_camera, *shape)
    torch.testing.assert_close(synthetic_body.joints(parameters)[:, 15], head_camera, atol=1e-5, rtol=0)


def test_world_parameters_are_the_camera_parameters_moved(
    synthetic_body: SmplxBody,
    rotations: torch.Tensor,
    head_camera: torch.Tensor,
    shape: tuple,
    T_world_camera: torch.Tensor,
) -> None:
    camera = head_centered(synthetic_body, rotations, head_camera, *shape)
    world = bodies_in_world(rotations, head_camera, *shape, T_world_camera, synthetic_body)[0]
    expected = _apply(T_world_camera, synthetic_body(camera).vertices)
    torch.testing.assert_close(synthetic_body(world).vertices, expected, atol=2e-5, rtol=0)


def test_a_rigid_transform_commutes_with_posing(
    synthetic_body: SmplxBody, parameters: BodyParameters, T_world_camera: torch.Tensor
) -> None:
    moved = transform_parameters(parameters, T_world_camera, synthetic_body)
    expected = _apply(T_world_camera, synthetic_body(parameters).vertices)
    torch.testing.assert_close(synthetic_body(moved).vertices, expected, atol=2e-5, rtol=0)


def test_transforms_compose(
    synthetic_body: SmplxBody, parameters: BodyParameters, T_world_camera: torch.Tensor
) -> None:
    twice = transform_parameters(
        transform_parameters(parameters, T_world_camera, synthetic_body), T_world_camera, synthetic_body
    )
    at_once = transform_parameters(parameters, T_world_camera @ T_world_camera, synthetic_body)
    torch.testing.assert_close(synthetic_body.joints(twice), synthetic_body.joints(at_once), atol=2e-5, rtol=0)


def test_one_transform_per_person_is_taken(
    synthetic_body: SmplxBody, parameters: BodyParameters, T_world_camera: torch.Tensor
) -> None:
    per_person = transform_parameters(parameters, T_world_camera.expand(3, 4, 4), synthetic_body)
    shared = transform_parameters(parameters, T_world_camera, synthetic_body)
    torch.testing.assert_close(per_person.transl, shared.transl)


def test_rotations_survive_the_way_to_axis_angle_and_back(rotations: torch.Tensor, shape: tuple) -> None:
    parameters = from_joint_rotations(rotations, *shape, torch.zeros(4, 3))
    torch.testing.assert_close(to_joint_rotations(parameters), rotations, atol=1e-5, rtol=0)


def test_the_jaw_moves_between_body_and_eyes(rotations: torch.Tensor) -> None:
    ordered = to_smplx_order(rotations)
    torch.testing.assert_close(ordered[:, 22], rotations[:, 52])
    torch.testing.assert_close(ordered[:, 23:25], torch.eye(3).expand(4, 2, 3, 3))
    torch.testing.assert_close(ordered[:, 25:], rotations[:, 22:52])
    torch.testing.assert_close(from_smplx_order(ordered), rotations)


def test_zero_people_can_be_placed(synthetic_body: SmplxBody) -> None:
    nobody = bodies_in_world(
        torch.zeros(0, 53, 3, 3),
        torch.zeros(0, 3),
        torch.zeros(0, 10),
        torch.zeros(0, 10),
        torch.eye(4),
        synthetic_body,
    )[0]
    assert len(nobody) == 0
    assert synthetic_body.joints(nobody).shape == (0, 55, 3)
