"""The skeleton's tables, and forward kinematics beside the joint-by-joint reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from smplx.joint_names import JOINT_NAMES as SMPLX_JOINT_NAMES

from human3r.bodies import load_body
from human3r.skeleton import (
    BODY_PARENTS,
    JOINT_NAMES,
    NUM_JOINTS,
    PARENTS,
    Joint,
    body_size,
    bone_vectors,
    forward_kinematics,
    kinematics_by_doubling,
    kinematics_by_levels,
    to_local_rotations,
)
from tests.reference_kinematics import joint_by_joint

SMPL_PARENTS = (*BODY_PARENTS, 20, 21)


def turns(count: int, joints: int) -> torch.Tensor:
    rotations = Rotation.random(max(count * joints, 1), rng=np.random.default_rng(4)).as_matrix()
    return torch.from_numpy(rotations[: count * joints].reshape(count, joints, 3, 3)).float()


def test_names_and_parents_are_those_of_smplx():
    assert tuple(SMPLX_JOINT_NAMES[:NUM_JOINTS]) == JOINT_NAMES
    assert load_body().parents == PARENTS
    assert JOINT_NAMES[Joint.LEFT_WRIST] == "left_wrist"


@pytest.mark.parametrize("way", [kinematics_by_doubling, kinematics_by_levels])
@pytest.mark.parametrize("parents", [PARENTS, BODY_PARENTS, SMPL_PARENTS, (-1, 0, 1), (-1,)])
@pytest.mark.parametrize("count", [0, 1, 70])
def test_both_algorithms_equal_joint_by_joint_kinematics(
    way: Callable[..., tuple], parents: tuple[int, ...], count: int
):
    rotations = turns(count, len(parents))
    rest = torch.randn(len(parents), 3, generator=torch.Generator().manual_seed(6)) * 0.3
    bones = bone_vectors(rest, parents).expand(count, -1, -1)

    orientation, joints = way(rotations, bones, parents)

    expected = joint_by_joint(rotations.double().numpy(), rest.double().numpy(), parents)
    np.testing.assert_allclose(orientation, expected[0], atol=3e-6)
    np.testing.assert_allclose(joints, expected[1], atol=3e-6)


def test_a_roots_bone_is_its_position():
    rotations, bones = turns(2, 22), torch.randn(2, 22, 3, generator=torch.Generator().manual_seed(7))

    with torch.inference_mode():
        _, few = forward_kinematics(rotations, bones)
    _, many = forward_kinematics(rotations, bones)

    assert torch.equal(few[:, 0], bones[:, 0])
    torch.testing.assert_close(few, many, atol=5e-6, rtol=0)


def test_local_rotations_undo_the_chain():
    rotations = turns(2, 55).double()

    orientation, _ = forward_kinematics(rotations, torch.zeros(2, 55, 3, dtype=torch.float64))

    torch.testing.assert_close(to_local_rotations(orientation), rotations, atol=1e-6, rtol=0)
    np.testing.assert_allclose(to_local_rotations(orientation.numpy()), rotations, atol=1e-6)


def test_size_is_measured_along_the_bones_in_any_pose():
    rest = torch.zeros(55, 3)
    rest[[Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.LEFT_ANKLE], 1] = torch.tensor([-0.1, -0.5, -0.9])
    rest[[Joint.SPINE1, Joint.SPINE2, Joint.SPINE3, Joint.NECK, Joint.HEAD], 1] = torch.tensor(
        [0.1, 0.2, 0.3, 0.5, 0.6]
    )

    assert body_size(bone_vectors(rest)).item() == pytest.approx(1.5)


def test_gradients_pass_after_inference_filled_the_caches():
    rotations, rest = turns(3, 22), torch.randn(3, 22, 3, generator=torch.Generator().manual_seed(8))
    with torch.inference_mode():
        forward_kinematics(rotations, bone_vectors(rest))

    rest.requires_grad_()
    forward_kinematics(rotations, bone_vectors(rest))[1].sum().backward()

    assert rest.grad is not None
    assert torch.isfinite(rest.grad).all()
