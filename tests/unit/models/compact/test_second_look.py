"""Who gets a second look: everybody, or with little effort those who moved."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.detection.second_look import look_again
from human3r.models.parts import FULL_EFFORT, Effort

OFFSET = 1.0
"""What the stand-in's crops add to every keypoint, pixels."""


class StandIn:
    """Adds ``OFFSET`` to keypoints, and counts the people it was shown."""

    def __init__(self) -> None:
        self.num_seen: list[int] = []

    def __call__(self, image: torch.Tensor, people: ImageKeypoints) -> ImageKeypoints:
        self.num_seen.append(len(people))
        return replace(people, keypoints_px=people.keypoints_px + OFFSET)


def standing(*lefts: float) -> ImageKeypoints:
    """People of 100 pixels, side by side."""
    generator = torch.Generator().manual_seed(0)
    shape = torch.rand(17, 2, generator=generator) * torch.tensor([30.0, 100.0])
    shape[[5, 6], 1], shape[[11, 12], 1] = 20.0, 60.0
    keypoints = torch.stack([shape + torch.tensor([left, 50.0]) for left in lefts])
    count = len(lefts)
    boxes = torch.cat([keypoints.amin(1), keypoints.amax(1)], dim=1)
    return ImageKeypoints(keypoints, torch.full((count, 17), 0.8), torch.ones(count), boxes, keypoints.mean(1))


def test_full_effort_examines_all_people_in_every_frame():
    detector, looks = StandIn(), None
    for _ in range(3):
        second, looks = look_again(detector, torch.zeros(3, 8, 8), standing(10, 90), looks, FULL_EFFORT)
    assert detector.num_seen == [2, 2, 2]
    assert second.keypoints_px.equal(standing(10, 90).keypoints_px + OFFSET)


def test_still_people_are_examined_periodically_and_propagated():
    detector, looks = StandIn(), None
    for frame in range(5):
        people = standing(10 + 0.5 * frame, 90)
        second, looks = look_again(detector, torch.zeros(3, 8, 8), people, looks, Effort(4))
        assert torch.allclose(second.keypoints_px, people.keypoints_px + OFFSET, atol=1e-3)
    assert detector.num_seen == [2, 0, 0, 0, 2]


def test_moving_people_are_examined():
    detector = StandIn()
    _, looks = look_again(detector, torch.zeros(3, 8, 8), standing(10, 90), None, Effort(4))
    waving = standing(10, 100)
    waving.keypoints_px[0, [5, 7, 9]] += 30.0
    look_again(detector, torch.zeros(3, 8, 8), waving, looks, Effort(4))
    assert detector.num_seen == [2, 2]


@pytest.mark.parametrize("lefts", [(), (10.0,)])
def test_people_may_enter_and_leave(lefts):
    detector = StandIn()
    _, looks = look_again(detector, torch.zeros(3, 8, 8), standing(10, 90), None, Effort(4))
    people = standing(*lefts) if lefts else standing(10).select(torch.zeros(0, dtype=torch.int64))
    second, looks = look_again(detector, torch.zeros(3, 8, 8), people, looks, Effort(4))
    assert len(second) == len(looks.age) == len(lefts)
    _, looks = look_again(detector, torch.zeros(3, 8, 8), standing(10, 90), looks, Effort(4))
    assert detector.num_seen[-1] == 2 - len(lefts)


def test_of_many_who_move_those_who_waited_longest_are_examined():
    detector, looks, ages = StandIn(), None, []
    for frame in range(4):
        people = standing(*(200.0 * person + 20.0 * frame for person in range(3)))
        second, looks = look_again(detector, torch.zeros(3, 8, 8), people, looks, Effort(4, 1))
        ages.append(looks.age.tolist())
    assert detector.num_seen == [3, 1, 1, 1]
    assert ages == [[0, 0, 0], [0, 1, 1], [1, 0, 2], [2, 1, 0]]
    # What a crop corrected fades until the next one.
    shift = (second.keypoints_px - people.keypoints_px).mean(dim=(1, 2))
    torch.testing.assert_close(shift, OFFSET * torch.tensor([0.25, 0.5, 1.0]))
