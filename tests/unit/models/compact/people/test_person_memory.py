"""The lifter's memory: whose state is whose, and that frames at once are frames one by one."""

from __future__ import annotations

import pytest
import torch

from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import PersonKeypoints
from human3r.models.compact.people.lifting.lifter import BodyLifter
from human3r.models.compact.people.lifting.person_memory import PersonStates

WIDTH = 16


@pytest.fixture
def lifter() -> BodyLifter:
    torch.manual_seed(0)
    lifter = BodyLifter(BodyPoints(), dim=32, depth=1, memory_width=WIDTH)
    assert lifter.memory is not None
    torch.nn.init.normal_(lifter.memory.leave.weight, std=0.3)
    return lifter.eval()


def keypoints(count: int, seed: int = 0) -> PersonKeypoints:
    generator = torch.Generator().manual_seed(seed)
    points = 0.3 * torch.randn(count, 17, 2, generator=generator)
    return PersonKeypoints(points, torch.full((count, 17), 0.8), torch.tensor([-0.6, -0.4, 0.6, 0.4]))


def test_an_untrained_memory_changes_nobody() -> None:
    lifter = BodyLifter(BodyPoints(), dim=32, depth=1, memory_width=WIDTH).eval()
    people = keypoints(3)

    with torch.inference_mode():
        alone = lifter(people)
        followed, _ = lifter.follow(people, torch.randn(3, WIDTH))

    assert torch.equal(alone.joint_rotations, followed.joint_rotations)
    assert torch.equal(alone.root_camera, followed.root_camera)


def test_frames_at_once_are_frames_one_by_one(lifter: BodyLifter) -> None:
    people, frames = keypoints(6), 3
    with torch.inference_mode():
        at_once, last = lifter.follow(people, torch.zeros(2, WIDTH), frames=frames)
        state, one_by_one = torch.zeros(2, WIDTH), []
        for frame in range(frames):
            rows = PersonKeypoints(people.points[frame::frames], people.scores[frame::frames], people.borders)
            lifted, state = lifter.follow(rows, state)
            one_by_one.append(lifted.joint_rotations)

    torch.testing.assert_close(at_once.joint_rotations, torch.stack(one_by_one, dim=1).flatten(0, 1))
    torch.testing.assert_close(last, state)


def test_unseen_people_keep_their_state_and_forgotten_ones_start_anew(lifter: BodyLifter) -> None:
    people, before = keypoints(2), torch.randn(1, WIDTH)
    with torch.inference_mode():
        first = PersonKeypoints(people.points[:1], people.scores[:1], people.borders)
        after_one = lifter.follow(first, before)[1]
        unseen = lifter.follow(people, before, frames=2, is_seen=torch.tensor([True, False]))[1]
        fresh = lifter.follow(first, torch.zeros(1, WIDTH))[1]
        forgotten = lifter.follow(first, before, is_new=torch.tensor([True]))[1]

    torch.testing.assert_close(unseen, after_one)
    torch.testing.assert_close(forgotten, fresh)


def test_zero_people_are_handled(lifter: BodyLifter) -> None:
    nobody = PersonStates.nobody(torch.zeros(0, 5), WIDTH)
    rows = nobody.recall(torch.zeros(0, 5))
    with torch.inference_mode():
        lifted, state = lifter.follow(keypoints(0), nobody.states_of(rows))

    assert len(lifted.betas) == 0
    assert len(nobody.updated(rows, torch.zeros(0, 5), state).features) == 0


def remembered() -> PersonStates:
    features = torch.tensor([[0.0, 0.0], [30.0, 0.0], [60.0, 0.0]])
    return PersonStates(features, torch.arange(3.0)[:, None].expand(3, WIDTH) + 1, torch.tensor([0, 0, 4]))


def test_people_are_recalled_by_their_features_in_any_order() -> None:
    rows = remembered().recall(torch.tensor([[58.0, 1.0], [90.0, 0.0], [1.0, 1.0]]))

    assert rows.tolist() == [2, -1, 0]
    assert remembered().states_of(rows)[:, 0].tolist() == [3.0, 0.0, 1.0]


def test_two_people_never_share_a_state() -> None:
    assert remembered().recall(torch.tensor([[2.0, 0.0], [1.0, 0.0]])).tolist() == [-1, 0]


def test_unseen_people_are_remembered_for_a_while() -> None:
    memory = remembered()
    rows = torch.tensor([2, -1])
    after = memory.updated(rows, torch.tensor([[58.0, 1.0], [90.0, 0.0]]), torch.zeros(2, WIDTH))

    assert after.features[:, 0].tolist() == [58.0, 90.0, 0.0, 30.0]
    assert after.unseen.tolist() == [0, 0, 1, 1]

    none = torch.zeros(0, dtype=torch.int64)
    for _ in range(200):
        after = after.updated(none, torch.zeros(0, 2), torch.zeros(0, WIDTH))
    assert len(after.features) == 0
