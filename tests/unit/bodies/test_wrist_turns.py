"""Turns of wrists: back and forth, limits, mirror images; and the relaxed hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from human3r.bodies import SmplxBody, load_body
from human3r.bodies.hands import WristTurns, limit_turns, relaxed_hands
from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.skeleton import JOINT_NAMES, NUM_JOINTS, Joint

_EXACT = 1e-5
"""Rounding of a dozen products of rotations in fp32."""
_MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body()


@pytest.fixture
def wrists(body: SmplxBody) -> WristTurns:
    return WristTurns(body)


@pytest.fixture
def elbow() -> Tensor:
    """``6 2 3 3``"""
    return rotation_from_axis_angle(0.6 * torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def turns() -> Tensor:
    """``6 2 3`` within the limits."""
    return limit_turns(torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_turns_survive_the_way_to_rotations_and_back(
    wrists: WristTurns, elbow: Tensor, turns: Tensor, share: float
) -> None:
    turned = wrists.turned(elbow, turns, torch.full((6, 2), share))
    torch.testing.assert_close(wrists.turns(*turned), turns, atol=_EXACT, rtol=0)


def test_a_hand_that_is_not_turned_keeps_its_arm(wrists: WristTurns, elbow: Tensor) -> None:
    wrist = elbow.flip(0)
    turned = wrists.turned(elbow, wrists.turns(elbow, wrist), torch.zeros(6, 2))
    torch.testing.assert_close(torch.stack(turned), torch.stack([elbow, wrist]), atol=_EXACT, rtol=0)


def test_elbow_and_wrist_share_the_twist(wrists: WristTurns, elbow: Tensor, turns: Tensor) -> None:
    _, wrist = wrists.turned(elbow, turns, torch.ones(6, 2))
    of_wrist = wrists.turns(torch.eye(3).expand_as(wrist), wrist)
    torch.testing.assert_close(of_wrist[..., 0], turns[..., 0] / 2, atol=_EXACT, rtol=0)
    torch.testing.assert_close(of_wrist[..., 1:], turns[..., 1:], atol=_EXACT, rtol=0)


def test_the_twist_of_the_elbow_moves_no_wrist(
    wrists: WristTurns, body: SmplxBody, elbow: Tensor, turns: Tensor
) -> None:
    forearm = body.joint_template[[Joint.LEFT_WRIST, Joint.RIGHT_WRIST]]
    forearm = (forearm - body.joint_template[[Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW]])[..., None]
    twisted, _ = wrists.turned(elbow, turns, torch.ones(6, 2))
    torch.testing.assert_close(twisted @ forearm, elbow @ forearm, atol=1e-3, rtol=0)


def test_mirrored_arms_have_the_same_turns(wrists: WristTurns) -> None:
    rotation = rotation_from_axis_angle(torch.tensor([[0.5, -0.2, 0.4]])).expand(1, 2, 3, 3).clone()
    rotation[:, 0] *= _MIRROR[:, None] * _MIRROR
    left, right = wrists.turns(rotation, rotation)[0]
    torch.testing.assert_close(left, right, atol=_EXACT, rtol=0)


def test_a_palm_that_turns_up_is_supinated(wrists: WristTurns) -> None:
    """At rest palms are down and thumbs forward: supination turns thumbs up."""
    up = rotation_from_axis_angle(torch.tensor([[-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]))
    assert (wrists.turns(torch.eye(3).expand_as(up), up)[:, 0] < -0.9).all()
    assert (up @ torch.tensor([0.0, 0.0, 1.0]))[:, 1].min() > 0


def test_limits_are_those_of_each_turn() -> None:
    limited = torch.rad2deg(limit_turns(torch.tensor([[-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]])))
    torch.testing.assert_close(limited, torch.tensor([[-165.0, -35.0, -70.0], [20.0, 25.0, 75.0]]))


def test_the_relaxed_thumb_lies_beside_the_index_finger(body: SmplxBody) -> None:
    def gap_m(hands: Tensor) -> Tensor:
        rotations = torch.eye(3).repeat(1, NUM_JOINTS, 1, 1)
        rotations[:, 25:] = rotation_from_axis_angle(hands.flatten(0, 1))
        joints, _ = body.forward_kinematics(rotations, body.joint_template[None])
        ends = [JOINT_NAMES.index(f"{side}_{name}") for side in ("left", "right") for name in ("thumb3", "index1")]
        return (joints[0, ends[::2]] - joints[0, ends[1::2]]).norm(dim=-1)

    relaxed, flat = gap_m(relaxed_hands()), gap_m(torch.zeros(2, 15, 3))
    torch.testing.assert_close(relaxed[0], relaxed[1], atol=1e-3, rtol=0)
    assert (relaxed < 0.7 * flat).all()
