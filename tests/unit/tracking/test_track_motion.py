"""Identities that move: crossings, absences, new people, appearance behind another person."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from human3r.tracking.motion import MotionOptions, begin_motion, expected_distance, update_tracks
from human3r.tracking.tracks import TrackBank

_STEP_S = 0.1
RED, BLUE, GREEN = 0, 1, 2


def _person(x: float, appearance: int, y: float = 0.0) -> list[float]:
    """A feature of ``compact``: position in sixtieths of the long side, size, appearance of length 6."""
    return [60 * x, 60 * y, 0.0, *[6.0 if appearance == index else 0.0 for index in range(3)]]


def _track(frames: list[list[list[float]]], options: MotionOptions | None) -> list[list[int]]:
    """Return the identities of everybody in every frame; a frame may be empty."""
    bank, found = TrackBank.empty(options=options), []
    for index, people in enumerate(frames):
        ids, bank = bank.assign(torch.tensor(people).reshape(-1, 6), index * _STEP_S)
        found.append(ids.tolist())
    return found


def _crossing_pair(x: float) -> list[list[float]]:
    """Two people of equal appearance and walk toward each other along one line, 0.4 apart at first."""
    return [_person(0.2 + x, RED), _person(0.6 - x, RED, y=0.002)]


def test_people_who_look_alike_keep_their_identities_when_they_cross() -> None:
    frames = [_crossing_pair(0.03 * index) for index in range(14)]
    assert _track(frames, MotionOptions()) == [[0, 1]] * 14


def test_without_motion_the_same_crossing_exchanges_them() -> None:
    frames = [_crossing_pair(0.03 * index) for index in range(14)]
    assert _track(frames, None)[-1] == [1, 0]


def test_a_briefly_hidden_walker_is_matched_at_the_predicted_position() -> None:
    walk = [[_person(0.02 * index, RED)] for index in range(10)]
    frames = walk + [[]] * 4 + [[_person(0.02 * 14, RED), _person(0.18, RED)]]
    assert _track(frames, MotionOptions())[-1] == [0, 1]


def test_another_person_at_the_position_of_one_who_left_is_new() -> None:
    frames = [[_person(0.5, RED)]] * 5 + [[]] * 20 + [[_person(0.5, BLUE)]]
    assert _track(frames, None)[-1] == [0]
    assert _track(frames, MotionOptions())[-1] == [1]


def test_a_person_who_returns_elsewhere_is_recognized_by_appearance() -> None:
    frames = [[_person(0.2, RED), _person(0.8, BLUE)]] * 5 + [[_person(0.8, BLUE)]] * 20
    frames.append([_person(0.8, BLUE), _person(0.5, RED)])
    assert _track(frames, MotionOptions())[-1] == [1, 0]


def test_lost_identities_expire_after_the_limit() -> None:
    seen, gone = [[_person(0.5, RED)]] * 5, [[]] * 148
    assert _track([*seen, *gone, [_person(0.5, RED)]], MotionOptions())[-1] == [0]
    assert _track([*seen, *gone, [], [], [_person(0.5, RED)]], MotionOptions())[-1] == [1]


def test_a_false_detection_does_not_pass_its_number_to_a_later_person() -> None:
    frames = [[_person(0.5, RED)]] * 4 + [[]] * 20 + [[_person(0.5, RED)]]
    assert _track(frames, MotionOptions())[-1] == [1]


def test_half_a_second_of_wrong_appearance_does_not_exchange_two_people() -> None:
    both = [*_person(0.44, GREEN)[:3], 3.0, 0.0, 5.2]
    before, hidden = [_person(0.42, RED), _person(0.47, GREEN)], [both, _person(0.45, GREEN)]
    frames = [before] * 10 + [hidden] * 5 + [[_person(0.46, RED), _person(0.43, GREEN)]] * 2
    assert _track(frames, MotionOptions()) == [[0, 1]] * 17


def test_a_frame_seen_twice_leaves_the_rate_alone() -> None:
    options = MotionOptions()
    first, second = torch.tensor([_person(0.1, RED)]), torch.tensor([_person(0.2, RED)])
    motion = begin_motion(1, 1.0, options, first.device)
    _, after = update_tracks(first, motion, second, 1.0, options)
    assert after.rate.tolist() == [[0.0, 0.0, 0.0]]


def test_appearance_features_keep_their_length() -> None:
    options = MotionOptions()
    red, blue = torch.tensor([_person(0.1, RED)]), torch.tensor([_person(0.1, BLUE)])
    features, _ = update_tracks(red, begin_motion(1, 0.0, options, red.device), blue, 0.1, options)
    assert float(features[:, 3:].norm()) == pytest.approx(6.0, abs=1e-4)


def test_the_weight_of_position_decreases_with_time() -> None:
    options = MotionOptions()
    here, there = torch.tensor([_person(0.1, RED)]), torch.tensor([_person(0.3, RED)])
    motion = begin_motion(1, 0.0, options, here.device)
    distances = [float(expected_distance(here, motion, there, time_s, options)) for time_s in (0.0, 0.5, 1.0, 60.0)]
    assert distances == pytest.approx([12.0, 6.0, 4.0, 2.4])


def test_motion_follows_the_rows_of_the_bank() -> None:
    options = MotionOptions()
    _, bank = TrackBank.empty(options=options).assign(_people(0.1, 0.5, 0.9), 0.0)
    _, bank = bank.assign(_people(0.9), 0.1)
    assert bank.motion is not None
    assert bank.track_id.tolist() == [2, 0, 1]
    assert bank.motion.seen_s.tolist() == [0.1, 0.0, 0.0]
    assert bank.motion.count.tolist() == [2, 1, 1]


def _people(*places: float) -> Tensor:
    return torch.tensor([_person(x, index % 3) for x, index in zip(places, (2, 1, 0), strict=False)])


def test_a_stream_of_one_frame_in_two_seconds_keeps_its_people_and_forgets_false_detections() -> None:
    bank, found = TrackBank.empty(options=MotionOptions()), []
    frames = [[_person(0.2, RED)]] * 3 + [[_person(0.2, RED), _person(0.8, BLUE)], [_person(0.2, RED)]]
    for index, people in enumerate([*frames, [_person(0.2, RED), _person(0.8, BLUE)]]):
        ids, bank = bank.assign(torch.tensor(people), 2.0 * index)
        found.append(ids.tolist())
    assert found == [[0], [0], [0], [0, 1], [0], [0, 2]]
