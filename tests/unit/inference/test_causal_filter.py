"""The causal filter over people: no lag for steady motion, less shaking, one shape, nothing mixed up."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch

from human3r.bodies import SmplxBody, load_body
from human3r.bodies.placement import bodies_in_world
from human3r.inference.causal_filter import CausalFilterOptions, CausalFilterState, filter_people
from human3r.records import People, empty_people


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body(None)


def _person(track_id: int, depth: float, turn: float = 0.0, beta: float = 0.0) -> People:
    rotations = torch.eye(3).expand(1, 53, 3, 3).clone()
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotations[:, 16] = roma.rotvec_to_rotmat(torch.tensor([0.0, turn, 0.0]))
    betas = torch.zeros(1, 10)
    betas[:, 0] = beta
    return People(
        track_id=torch.tensor([track_id]),
        score=torch.ones(1),
        head_uv_px=torch.zeros(1, 2),
        joint_rotations=rotations,
        betas=betas,
        expression=torch.zeros(1, 10),
        head_camera=torch.tensor([[0.1 * depth, -0.2 * depth, depth]]),
    )


def _run(
    people: list[People], body: SmplxBody, step_s: float, options: CausalFilterOptions | None = None
) -> list[People]:
    state: CausalFilterState | None = None
    smoothed = []
    for index, one in enumerate(people):
        result, state = filter_people(one, index * step_s, state, body, options)
        smoothed.append(result)
    return smoothed


def _joints(people: People, body: SmplxBody) -> torch.Tensor:
    parameters = bodies_in_world(
        people.joint_rotations, people.head_camera, people.betas, people.expression, torch.eye(4), body
    )[0]
    return body.joints(parameters)[:, :22]


def _arm_turn(people: People) -> float:
    return float(roma.rotmat_to_rotvec(people.joint_rotations)[0, 16, 1])


def test_a_person_seen_for_the_first_time_is_not_changed(body: SmplxBody) -> None:
    person = _person(4, 3.0, 0.3)

    smoothed, _ = filter_people(person, 0.0, None, body)

    assert torch.equal(smoothed.head_camera, person.head_camera)


def test_a_person_who_does_not_move_stays_exactly_there(body: SmplxBody) -> None:
    last = _run([_person(4, 3.0, 0.3)] * 20, body, 1 / 30)[-1]

    torch.testing.assert_close(last.head_camera, _person(4, 3.0).head_camera, atol=1e-4, rtol=0)
    assert _arm_turn(last) == pytest.approx(0.3, abs=1e-4)


def test_a_person_who_comes_nearer_steadily_is_followed_without_lag(body: SmplxBody) -> None:
    depths = [8.0 * math.exp(-0.01 * index) for index in range(90)]

    last = _run([_person(4, depth) for depth in depths], body, 1 / 30)[-1]

    assert float(last.head_camera[0, 2]) == pytest.approx(depths[-1], rel=0.005)


def test_an_arm_that_turns_steadily_is_followed_without_lag(body: SmplxBody) -> None:
    last = _run([_person(4, 3.0, 0.03 * index) for index in range(40)], body, 1 / 30)[-1]

    assert _arm_turn(last) == pytest.approx(0.03 * 39, abs=0.01)


def test_shaking_is_damped(body: SmplxBody) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(90, 2, generator=generator)
    people = [_person(4, 4.0 * math.exp(0.01 * float(a)), 0.03 * float(b)) for a, b in noise]

    def shaking(frames: list[People]) -> float:
        joints = torch.stack([_joints(frame, body)[0] for frame in frames[30:]])
        return float((joints[2:] - 2 * joints[1:-1] + joints[:-2]).norm(dim=-1).mean())

    assert shaking(_run(people, body, 1 / 30)) < 0.15 * shaking(people)


def test_betas_become_the_mean_of_the_track_and_the_image_stays(body: SmplxBody) -> None:
    people = [_person(4, 3.0, beta=beta) for beta in (0.0, 1.0, 2.0)]

    last = _run(people, body, 0.1, CausalFilterOptions(rotation_s=0.0, bearing_s=0.0, distance_s=0.0))[-1]

    assert float(last.betas[0, 0]) == pytest.approx(1.0)
    joints, expected = _joints(last, body), _joints(people[-1], body)
    # A smaller body at the same place would look smaller: it has to come nearer.
    difference = joints[..., :2] / joints[..., 2:] - expected[..., :2] / expected[..., 2:]
    assert float(difference.abs().max()) < 0.01


def test_one_detector_error_does_not_move_an_arm(body: SmplxBody) -> None:
    turns = [0.0] * 20 + [2.0] + [0.0] * 5

    smoothed = _run([_person(4, 3.0, turn) for turn in turns], body, 1 / 30)

    assert abs(_arm_turn(smoothed[-1])) < 0.3


def test_a_body_that_appears_elsewhere_starts_anew(body: SmplxBody) -> None:
    far = _person(4, 3.0)
    moved = replace(far, head_camera=torch.tensor([[2.2, 0.6, 3.0]]))

    last = _run([far, far, moved], body, 1 / 30)[-1]

    assert torch.equal(last.head_camera, moved.head_camera)


def test_identities_do_not_mix_and_old_ones_are_forgotten(body: SmplxBody) -> None:
    _, state = filter_people(_person(4, 3.0), 0.0, None, body)

    other, state = filter_people(_person(5, 9.0), 0.1, state, body)
    back, state = filter_people(_person(4, 6.0), 5.0, state, body)

    assert float(other.head_camera[0, 2]) == pytest.approx(9.0)
    assert float(back.head_camera[0, 2]) == pytest.approx(6.0)
    assert state.track_id.tolist() == [4]


def test_a_frame_without_people_keeps_the_memory(body: SmplxBody) -> None:
    people = [_person(4, 3.0)] * 10 + [empty_people(), _person(4, 3.3)]

    smoothed = _run(people, body, 1 / 30)

    assert len(smoothed[10]) == 0
    assert 3.0 < float(smoothed[-1].head_camera[0, 2]) < 3.2


def test_the_filter_is_the_same_whether_people_come_alone_or_together(body: SmplxBody) -> None:
    near = [_person(1, 3.0 + 0.05 * (index % 3)) for index in range(6)]
    far = [_person(2, 9.0 - 0.1 * index, 0.1 * index) for index in range(6)]
    both = [
        People(**{name: torch.cat([getattr(a, name), getattr(b, name)]) for name in People.__dataclass_fields__})
        for a, b in zip(far, near, strict=True)
    ]

    together, alone = _run(both, body, 0.05)[-1], _run(near, body, 0.05)[-1]

    torch.testing.assert_close(together.head_camera[1:], alone.head_camera)
    torch.testing.assert_close(together.joint_rotations[1:], alone.joint_rotations)


def test_an_arm_that_is_not_shown_rests_where_it_was_shown_last(body: SmplxBody) -> None:
    shown = torch.ones(1, 17, 3)
    hidden = shown.clone()
    # The left elbow shows the shoulder's rotation.
    hidden[:, 7, 2] = 0.0
    state = None
    for index in range(30):
        _, state = filter_people(_person(4, 3.0, 0.3), index / 30, state, body, None, shown)
    turns = []
    for index in range(30, 36):
        guess = _person(4, 3.0, 0.3 + 0.8 * (-1) ** index)
        person, state = filter_people(guess, index / 30, state, body, None, hidden)
        turns.append(_arm_turn(person))

    assert turns == pytest.approx([0.3] * 6, abs=0.06)


def test_joints_that_are_all_shown_are_filtered_as_without_scores(body: SmplxBody) -> None:
    people = [_person(4, 3.0, turn) for turn in (0.1, 0.5, 0.2)]
    state = None
    for index, person in enumerate(people):
        last, state = filter_people(person, index / 30, state, body, None, torch.ones(1, 17, 3))

    assert torch.equal(last.joint_rotations, _run(people, body, 1 / 30)[-1].joint_rotations)
