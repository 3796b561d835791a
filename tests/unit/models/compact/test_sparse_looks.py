"""Second looks between two examined frames: who is interpolated, and who is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.detection.person_crops import CropOptions
from human3r.models.compact.people.detection.sparse_looks import interpolated, look_between, same_people
from tests.unit.models.compact.test_second_look import standing


class Detector:
    """Finds everybody one pixel further down, and counts whom it is shown."""

    def __init__(self) -> None:
        self.options = CropOptions()
        self.num_looks: list[int] = []

    def __call__(self, image: torch.Tensor, people: ImageKeypoints) -> ImageKeypoints:
        self.num_looks.append(len(people))
        return replace(people, keypoints_px=people.keypoints_px + torch.tensor([0.0, 1.0]))


@pytest.fixture
def detector() -> Detector:
    return Detector()


def looked(detector: Detector, frames: list[ImageKeypoints]) -> list[ImageKeypoints]:
    """Return the people of all frames but the first and the last, which are examined without being counted."""
    first, last = (detector(torch.zeros(3, 8, 8), frames[index]) for index in (0, -1))
    detector.num_looks.clear()
    images = [torch.zeros(3, 8, 8)] * (len(frames) - 2)
    return look_between(detector, images, frames, (first, last))  # type: ignore[arg-type]


def test_uniform_motion_is_not_examined_again(detector) -> None:
    frames = [standing(10 + index, 90 + index) for index in range(5)]

    found = looked(detector, frames)

    assert detector.num_looks == []
    for now, before in zip(found, frames[1:-1], strict=True):
        torch.testing.assert_close(now.keypoints_px, before.keypoints_px + torch.tensor([0.0, 1.0]))


def test_fast_people_are_examined_in_every_frame_and_still_ones_are_not(detector) -> None:
    looked(detector, [standing(10, 90 + 30 * index) for index in range(5)])

    assert detector.num_looks == [1, 1, 1]


def test_a_raised_arm_in_a_middle_frame_is_examined(detector) -> None:
    frames = [standing(10, 90) for _ in range(3)]
    waving = frames[1].keypoints_px.clone()
    waving[0, [7, 9], 1] -= 25.0
    frames[1] = replace(frames[1], keypoints_px=waving)

    found = looked(detector, frames)

    assert detector.num_looks == [1]
    torch.testing.assert_close(found[0].keypoints_px[0], waving[0] + torch.tensor([0.0, 1.0]))


def test_newcomers_within_a_group_are_examined_and_empty_groups_are_not(detector) -> None:
    one, two = standing(10), standing(10, 90)

    found = looked(detector, [one, two, two, one])
    counts = list(detector.num_looks)
    nobody = looked(detector, [two.select(torch.zeros(0, dtype=torch.int64))] * 3)

    assert counts == [1, 1]
    assert detector.num_looks == []
    assert [len(people) for people in found] == [2, 2]
    assert [len(people) for people in nobody] == [0]


def test_the_same_people_are_recognized_in_another_order_and_others_are_not() -> None:
    one, two, swapped = standing(10), standing(10, 90), standing(94, 12)

    rows = same_people(two, swapped)

    assert rows is not None
    assert rows.tolist() == [1, 0]
    torch.testing.assert_close(interpolated(two, swapped.select(rows), 0.5).keypoints_px, standing(11, 92).keypoints_px)
    assert same_people(one, two) is None
    assert same_people(one, standing(70)) is None


def test_a_swift_limb_between_two_frames_makes_its_person_another() -> None:
    one = standing(10)
    waving = one.keypoints_px.clone()
    waving[0, [7, 9], 1] -= 80.0

    assert same_people(one, replace(one, keypoints_px=waving)) is None
