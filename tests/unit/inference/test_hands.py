"""When hands are examined, which results are used, and how fingers move from frame to frame."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from human3r.bodies import SmplxBody, load_body
from human3r.bodies.hands import relaxed_hands
from human3r.geometry.rigid import axis_angle_from_rotation, rotation_from_axis_angle
from human3r.inference.hands import HandOptions, HandStates, HandTracker, SeenHands, see_hands
from human3r.models.parts import HandPoses
from human3r.records import People, empty_people
from human3r.skeleton import forward_kinematics

_FIST = 1.0


class FakeDetector:
    """Finds the same fist everywhere, as surely as it is told."""

    def __init__(self) -> None:
        self.presence, self.own_side, self.examined = 0.9, 0.9, 0
        self.R_view_hand = torch.eye(3)

    def __call__(self, image: Tensor, squares: Tensor, is_right: Tensor) -> HandPoses:
        count = len(squares)
        self.examined += count
        fingers = torch.zeros(count, 15, 3)
        fingers[..., 2] = _FIST
        presence, own_side = torch.full((count,), self.presence), torch.full((count,), self.own_side)
        return HandPoses(presence, own_side, fingers, self.R_view_hand.expand(count, 3, 3))


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body()


@pytest.fixture
def detector() -> FakeDetector:
    return FakeDetector()


def people_of(count: int) -> People:
    nobody = empty_people()
    return People(
        track_id=torch.arange(count),
        score=torch.ones(count),
        head_uv_px=torch.zeros(count, 2),
        joint_rotations=torch.eye(3).expand(count, 53, 3, 3).clone(),
        betas=nobody.betas.new_zeros(count, 10),
        expression=nobody.expression.new_zeros(count, 10),
        head_camera=torch.tensor([[0.0, -0.5, 3.0]]).expand(count, 3).clone(),
    )


def hands_of(count: int, length_px: float) -> SeenHands:
    place = torch.zeros(count, 2, 2)
    return SeenHands(place, place + 10, torch.full((count, 2), length_px), torch.eye(3).expand(count, 2, 3, 3))


def follow(
    tracker: HandTracker, times: list[float], length_px: float = 60.0, count: int = 1, states: HandStates | None = None
) -> tuple[Tensor, HandStates | None]:
    """Return rotation vectors ``T count 2 15 3`` of the fingers, and the states."""
    poses, people = [], people_of(count)
    for time_s in times:
        posed, states = tracker.advance(people, hands_of(count, length_px), torch.zeros(8, 8, 3), time_s, states)
        poses.append(axis_angle_from_rotation(posed.joint_rotations[:, 22:52]).view(count, 2, 15, 3))
    return torch.stack(poses), states


def frames(seconds: float, start: float = 0.0) -> list[float]:
    return [start + index / 30 for index in range(round(30 * seconds))]


def test_small_hands_have_the_relaxed_pose_and_cost_nothing(body: SmplxBody, detector: FakeDetector) -> None:
    poses, _ = follow(HandTracker(detector, body, HandOptions()), frames(0.2), length_px=44.0)
    torch.testing.assert_close(poses, relaxed_hands().expand_as(poses), atol=1e-5, rtol=0)
    assert detector.examined == 0


def test_large_hands_are_examined_ten_times_a_second_and_found_gradually(body, detector) -> None:
    poses, _ = follow(HandTracker(detector, body, HandOptions()), frames(1.0))
    assert 2 * 7 <= detector.examined <= 2 * 8
    assert (poses[-1, ..., 2] - _FIST).abs().max() < 1e-4
    assert poses[..., 2].diff(dim=0).abs().max() < 0.3


def test_a_hand_near_the_threshold_stays_found(body, detector) -> None:
    tracker = HandTracker(detector, body, HandOptions())
    _, states = follow(tracker, frames(1.0))
    detector.presence = 0.5
    poses, _ = follow(tracker, frames(0.5, start=1.0), length_px=40.0, states=states)
    assert (poses[..., 2] - _FIST).abs().max() < 1e-4


@pytest.mark.parametrize("change", [{"presence": 0.3}, {"own_side": 0.1}])
def test_a_lost_hand_returns_to_the_relaxed_pose_gradually(body, detector, change) -> None:
    tracker = HandTracker(detector, body, HandOptions())
    _, states = follow(tracker, frames(1.0))
    vars(detector).update(change)
    poses, _ = follow(tracker, frames(1.0, start=1.0), states=states)
    torch.testing.assert_close(poses[-1], relaxed_hands()[None], atol=1e-5, rtol=0)
    assert poses[..., 2].diff(dim=0).abs().max() < 0.3


def wrists_of(people: People) -> Tensor:
    """Return ``P 2 3 3`` orientations of the hands."""
    local = people.joint_rotations[:, :22]
    return forward_kinematics(local, torch.zeros_like(local[..., 0]))[0][:, 20:22]


def test_a_found_hand_turns_the_wrist_gradually_and_a_lost_one_gives_it_back(body, detector) -> None:
    tracker, people, states = HandTracker(detector, body, HandOptions(wrist_error=1e-3)), people_of(1), None
    detector.R_view_hand = rotation_from_axis_angle(torch.tensor([-0.9, 0.1, 0.2]))
    seen: list[Tensor] = []
    for time_s in frames(2.0):
        detector.presence = 0.9 if time_s < 1 else 0.0
        posed, states = tracker.advance(people, hands_of(1, 60.0), torch.zeros(8, 8, 3), time_s, states)
        seen.append(wrists_of(posed))
    torch.testing.assert_close(seen[29][0, 1], detector.R_view_hand, atol=1e-3, rtol=0)
    torch.testing.assert_close(seen[-1], wrists_of(people), atol=1e-5, rtol=0)
    steps = torch.stack([axis_angle_from_rotation(a.mT @ b).norm(dim=-1).max() for a, b in pairwise(seen)])
    assert steps.max() < 0.25


@pytest.mark.parametrize(("turn", "kept"), [(0.1, (0.0, 0.1)), (0.35, (0.45, 0.55)), (1.2, (0.9, 1.0))])
def test_turns_of_wrists_within_the_noise_count_little(body, detector, turn, kept) -> None:
    """The pose of people is at rest, so that the whole turn of the right hand differs from the network's."""
    detector.R_view_hand = rotation_from_axis_angle(torch.tensor([-turn, 0.0, 0.0]))
    tracker, people = HandTracker(detector, body, HandOptions()), people_of(1)
    _, states = follow(tracker, frames(1.0))
    posed, _ = tracker.advance(people, hands_of(1, 60.0), torch.zeros(8, 8, 3), 1.0, states)
    share = axis_angle_from_rotation(wrists_of(posed)[0, 1]).norm() / turn
    assert kept[0] <= share <= kept[1]


def test_one_examination_neither_loses_a_hand_nor_turns_its_wrist_far(body, detector) -> None:
    tracker, people = HandTracker(detector, body, HandOptions()), people_of(1)
    first = rotation_from_axis_angle(torch.tensor([-0.4, 0.0, 0.0]))
    detector.R_view_hand = first
    _, states = follow(tracker, frames(1.0))
    assert states is not None
    steady = states
    far = rotation_from_axis_angle(torch.tensor([-2.2, 0.0, 0.0]))
    for index, found in enumerate([{"presence": 0.0}, {}, {"R_view_hand": far}]):
        vars(detector).update({"presence": 0.9, "R_view_hand": first} | found)
        _, states = tracker.advance(people, hands_of(1, 60.0), torch.zeros(8, 8, 3), 1.1 + 0.14 * index, states)
        assert states.share.min() == 1
        torch.testing.assert_close(states.pose, steady.pose, atol=1e-2, rtol=0)
    # A second one that agrees is believed.
    _, states = follow(tracker, frames(1.0, start=1.5), states=states)
    assert states is not None
    assert states.pose[0, 1, 0].norm() == pytest.approx(2.2, abs=0.05)


@pytest.mark.parametrize("change", [{"own_side": 0.4}, {"R_view_hand": torch.diag(torch.tensor([-1.0, -1.0, 1.0]))}])
def test_a_wrist_that_cannot_be_leaves_the_arm_and_bends_the_fingers(body, detector, change) -> None:
    vars(detector).update(change)
    tracker, people = HandTracker(detector, body, HandOptions()), people_of(1)
    _, states = follow(tracker, frames(1.0))
    posed, _ = tracker.advance(people, hands_of(1, 60.0), torch.zeros(8, 8, 3), 1.0, states)
    torch.testing.assert_close(posed.joint_rotations[:, :22], people.joint_rotations[:, :22], atol=1e-5, rtol=0)
    assert (posed.joint_rotations[:, 22:52] - torch.eye(3)).abs().max() > 0.5


def test_thirty_hands_are_examined_per_second_in_turns(body, detector) -> None:
    tracker = HandTracker(detector, body, HandOptions())
    _, states = follow(tracker, frames(8 / 30), count=4)
    assert detector.examined == 8
    assert states is not None
    assert states.is_found.all()
    follow(tracker, [1.0], count=4, states=states)
    assert detector.examined == 16


def test_people_who_return_late_start_anew_and_zero_people_are_handled(body, detector) -> None:
    tracker = HandTracker(detector, body, HandOptions(length_px=(1e3, 1e3)))
    _, states = follow(HandTracker(detector, body, HandOptions()), frames(1.0))
    nothing, kept = follow(tracker, [1.5], count=0, states=states)
    assert nothing.shape == (1, 0, 2, 15, 3)
    assert kept is not None
    assert len(kept.track_id) == 1
    poses, _ = follow(tracker, [9.0], states=kept)
    torch.testing.assert_close(poses[0], relaxed_hands()[None], atol=1e-5, rtol=0)


def test_hands_are_seen_where_the_forearms_point(body: SmplxBody) -> None:
    people = people_of(1)
    # Upright in front of the camera, arms out to the sides.
    people.joint_rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    K = torch.tensor([[500.0, 0.0, 320.0], [0.0, 500.0, 240.0], [0.0, 0.0, 1.0]])
    seen = see_hands(people, K, (480, 640), body)
    assert seen.wrist_px[0, 0, 0] > seen.elbow_px[0, 0, 0] > 320 > seen.elbow_px[0, 1, 0] > seen.wrist_px[0, 1, 0]
    assert ((seen.length_px > 25) & (seen.length_px < 40)).all()
    aside = see_hands(
        replace(people, head_camera=people.head_camera + torch.tensor([1.5, 0.0, 0.0])), K, (480, 640), body
    )
    assert aside.length_px[0, 0] == 0
