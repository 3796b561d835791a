"""Products along a kinematic tree, by doubling."""

from __future__ import annotations

import pytest
import torch

from human3r.bodies import load_body
from human3r.geometry.chain import ancestor_table, is_few, multiply_chain
from human3r.models.compact.people.body_points import posed_by_levels, posed_chain


def turns(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    rotations, _ = torch.linalg.qr(torch.randn(*shape, 3, 3, generator=generator))
    return rotations


def test_ancestors_double_until_all_are_above_the_root():
    table = ancestor_table([-1, 0, 1, 2, 0])

    assert table.tolist() == [[5, 0, 1, 2, 0, 5], [5, 5, 0, 1, 5, 5]]


def test_a_chain_is_the_product_of_its_motions():
    rotations, offsets = turns(2, 3), torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(5))

    turned, places = multiply_chain(rotations, offsets, ancestor_table([-1, 0, 1]))

    second = rotations[:, 0] @ rotations[:, 1]
    expected = offsets[:, 0] + (rotations[:, 0] @ offsets[:, 1, :, None] + second @ offsets[:, 2, :, None])[..., 0]
    torch.testing.assert_close(turned[:, 2], second @ rotations[:, 2])
    torch.testing.assert_close(places[:, 2], expected)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_doubling_poses_skeletons_as_levels_do(count: int):
    rotations = turns(count, 22)
    bones = torch.randn(count, 22, 3, generator=torch.Generator().manual_seed(6)) * 0.3

    with torch.inference_mode():
        assert is_few(rotations)
        found = posed_chain(rotations, bones)

    for one, other in zip(found, posed_by_levels(rotations, bones), strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=0)


def test_doubling_poses_the_whole_body_as_levels_do():
    body = load_body()
    rotations, rest = turns(3, 55), body.rest_joints(torch.randn(3, 10), torch.zeros(3, 10))

    with torch.inference_mode():
        found = body.forward_kinematics(rotations, rest)

    for one, other in zip(found, body.kinematics_by_levels(rotations, rest), strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=0)


def test_gradients_and_crowds_go_by_levels():
    assert not is_few(turns(3, 22))
    with torch.inference_mode():
        assert not is_few(turns(65, 22))
