"""When hands are examined, which results are used, and how fingers move from frame to frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from human3r.bodies import SmplxBody, load_body
from human3r.geometry.rigid import axis_angle_from_rotation
from human3r.inference.hands import HandOptions, HandStates, HandTracker, SeenHands, see_hands
from human3r.models.parts import HandPoses
from human3r.records import People, empty_people

_FIST = 1.0


class FakeDetector:
    """Finds the same fist everywhere, as surely as it is told."""

    def __init__(self) -> None:
        self.presence, self.own_side, self.examined = 0.9, 0.9, 0

    def __call__(self, image: Tensor, squares: Tensor, is_right: Tensor) -> HandPoses:
        count = len(squares)
        self.examined += count
        fingers = torch.zeros(count, 15, 3)
        fingers[..., 2] = _FIST
        return HandPoses(torch.full((count,), self.presence), torch.full((count,), self.own_side), fingers)


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
    return SeenHands(place, place + 10, torch.full((count, 2), length_px))


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


def test_small_hands_have_the_mean_pose_and_cost_nothing(body: SmplxBody, detector: FakeDetector) -> None:
    poses, _ = follow(HandTracker(detector, body, HandOptions()), frames(0.2), length_px=44.0)
    torch.testing.assert_close(poses, body.hand_means.expand_as(poses), atol=1e-5, rtol=0)
    assert detector.examined == 0


def test_large_hands_are_examined_ten_times_a_second_and_found_gradually(body, detector) -> None:
    poses, _ = follow(HandTracker(detector, body, HandOptions()), frames(1.0))
    assert 2 * 7 <= detector.examined <= 2 * 8
    assert (poses[-1, ..., 2] - _FIST).abs().max() < 1e-4
    assert poses[..., 2].diff(dim=0).abs().max() < 0.25


def test_a_hand_near_the_threshold_stays_found(body, detector) -> None:
    tracker = HandTracker(detector, body, HandOptions())
    _, states = follow(tracker, frames(1.0))
    detector.presence = 0.5
    poses, _ = follow(tracker, frames(0.5, start=1.0), length_px=40.0, states=states)
    assert (poses[..., 2] - _FIST).abs().max() < 1e-4


@pytest.mark.parametrize("change", [{"presence": 0.3}, {"own_side": 0.1}])
def test_a_lost_hand_returns_to_the_mean_pose_gradually(body, detector, change) -> None:
    tracker = HandTracker(detector, body, HandOptions())
    _, states = follow(tracker, frames(1.0))
    vars(detector).update(change)
    poses, _ = follow(tracker, frames(1.0, start=1.0), states=states)
    torch.testing.assert_close(poses[-1], body.hand_means[None], atol=1e-5, rtol=0)
    assert poses[..., 2].diff(dim=0).abs().max() < 0.25


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
    torch.testing.assert_close(poses[0], body.hand_means[None], atol=1e-5, rtol=0)


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
