from __future__ import annotations

import math

import pytest
import roma
import torch

from human3r.records import People, empty_people
from human3r.runtime.smoothing import SmoothingOptions, smooth_people


def _person(track_id: int, depth: float, turn: float = 0.0, beta: float = 0.0) -> People:
    rotations = roma.rotvec_to_rotmat(torch.tensor([0.0, turn, 0.0])).expand(1, 53, 3, 3).clone()
    return People(
        track_id=torch.tensor([track_id]),
        score=torch.ones(1),
        head_uv_px=torch.zeros(1, 2),
        joint_rotations=rotations,
        betas=torch.full((1, 10), beta),
        expression=torch.zeros(1, 10),
        head_camera=torch.tensor([[0.1 * depth, -0.2 * depth, depth]]),
    )


def test_a_person_seen_for_the_first_time_is_not_changed():
    person = _person(4, 3.0, 0.3)

    smoothed, _ = smooth_people(person, 0.0, None)

    assert torch.equal(smoothed.head_camera, person.head_camera)


def test_a_jump_in_depth_is_followed_by_one_time_constant():
    _, state = smooth_people(_person(4, 3.0), 0.0, None)

    smoothed, _ = smooth_people(_person(4, 6.0), 0.25, state)

    expected = 3.0 * 2.0 ** (1 - math.exp(-1))
    assert float(smoothed.head_camera[0, 2]) == pytest.approx(expected, rel=1e-4)


def test_a_change_of_depth_leaves_the_direction_to_the_head():
    _, state = smooth_people(_person(4, 3.0), 0.0, None)

    smoothed, _ = smooth_people(_person(4, 6.0), 0.05, state)

    torch.testing.assert_close(smoothed.head_camera[0, :2] / smoothed.head_camera[0, 2], torch.tensor([0.1, -0.2]))


def test_rotations_lag_and_arrive():
    _, state = smooth_people(_person(4, 3.0, 0.0), 0.0, None)

    near, state = smooth_people(_person(4, 3.0, 0.4), 0.03, state)
    late, _ = smooth_people(_person(4, 3.0, 0.4), 0.5, state)

    angle = roma.rotmat_to_rotvec(near.joint_rotations)[0, 7, 1]
    assert float(angle) == pytest.approx(0.4 * (1 - math.exp(-1)), abs=1e-4)
    assert float(roma.rotmat_to_rotvec(late.joint_rotations)[0, 7, 1]) == pytest.approx(0.4, abs=1e-4)


def test_betas_become_the_mean_of_the_track():
    state = None
    for index, beta in enumerate((0.0, 1.0, 2.0)):
        smoothed, state = smooth_people(_person(4, 3.0, beta=beta), 0.1 * index, state)

    assert float(smoothed.betas[0, 0]) == pytest.approx(1.0)


def test_identities_do_not_mix_and_old_ones_are_forgotten():
    _, state = smooth_people(_person(4, 3.0), 0.0, None)

    other, state = smooth_people(_person(5, 9.0), 0.1, state)
    back, state = smooth_people(_person(4, 6.0), 5.0, state)

    assert float(other.head_camera[0, 2]) == pytest.approx(9.0)
    assert float(back.head_camera[0, 2]) == pytest.approx(6.0)
    assert state.track_id.tolist() == [4]


def test_a_frame_without_people_keeps_the_memory():
    _, state = smooth_people(_person(4, 3.0), 0.0, None)

    nobody, state = smooth_people(empty_people(), 0.1, state)
    smoothed, _ = smooth_people(_person(4, 6.0), 0.2, state, SmoothingOptions(depth_s=1e9, still_depth_s=1e9))

    assert len(nobody) == 0
    assert float(smoothed.head_camera[0, 2]) == pytest.approx(3.0, rel=1e-4)


def test_small_shaking_is_damped_more_than_large_motion():
    _, state = smooth_people(_person(4, 3.0, 0.0), 0.0, None)

    small, _ = smooth_people(_person(4, 3.0, 0.02), 0.033, state)
    large, _ = smooth_people(_person(4, 3.0, 0.6), 0.033, state)

    moved_small = float(roma.rotmat_to_rotvec(small.joint_rotations)[0, 7, 1]) / 0.02
    moved_large = float(roma.rotmat_to_rotvec(large.joint_rotations)[0, 7, 1]) / 0.6
    assert moved_small < 0.35
    assert moved_large > 0.6


def test_a_noisy_depth_of_someone_who_stands_becomes_steady():
    generator = torch.Generator().manual_seed(0)
    noisy = 4.0 * torch.exp(0.01 * torch.randn(90, generator=generator))
    state, depths = None, []
    for index, depth in enumerate(noisy.tolist()):
        smoothed, state = smooth_people(_person(4, depth), index / 30, state)
        depths.append(float(smoothed.head_camera[0, 2]))

    steady = torch.tensor(depths[30:])
    assert float(steady.std()) < 0.25 * float(noisy[30:].std())
    assert float(steady.mean()) == pytest.approx(float(noisy.mean()), rel=0.01)
