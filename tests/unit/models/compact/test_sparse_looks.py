"""Second looks at a group of frames: who is interpolated, and who is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from human3r.models.compact.people.keypoints import ImageKeypoints
from human3r.models.compact.people.person_crops import CropOptions
from human3r.models.compact.people.sparse_looks import look_at_group
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
    return look_at_group(detector, [torch.zeros(3, 8, 8)] * len(frames), frames)  # type: ignore[arg-type]


def test_uniform_motion_is_examined_in_the_first_and_last_frame_only(detector) -> None:
    frames = [standing(10 + index, 90 + index) for index in range(5)]

    found = looked(detector, frames)

    assert detector.num_looks == [2, 2]
    for now, before in zip(found, frames, strict=True):
        torch.testing.assert_close(now.keypoints_px, before.keypoints_px + torch.tensor([0.0, 1.0]))


def test_fast_people_are_examined_in_every_frame_and_still_ones_are_not(detector) -> None:
    looked(detector, [standing(10, 90 + 30 * index) for index in range(5)])

    assert detector.num_looks == [2, 2, 1, 1, 1]


def test_a_raised_arm_in_a_middle_frame_is_examined(detector) -> None:
    frames = [standing(10, 90) for _ in range(3)]
    waving = frames[1].keypoints_px.clone()
    waving[0, [7, 9], 1] -= 25.0
    frames[1] = replace(frames[1], keypoints_px=waving)

    found = looked(detector, frames)

    assert detector.num_looks == [2, 2, 1]
    torch.testing.assert_close(found[1].keypoints_px[0], waving[0] + torch.tensor([0.0, 1.0]))


def test_newcomers_within_a_group_are_examined_and_empty_groups_are_not(detector) -> None:
    one, two = standing(10), standing(10, 90)

    found = looked(detector, [one, two, two, one])
    nobody = looked(detector, [two.select(torch.zeros(0, dtype=torch.int64))] * 3)

    assert detector.num_looks == [1, 1, 1, 1]
    assert [len(people) for people in found] == [1, 2, 2, 1]
    assert [len(people) for people in nobody] == [0, 0, 0]


def test_a_single_frame_is_examined_once(detector) -> None:
    looked(detector, [standing(10, 90)])

    assert detector.num_looks == [2]
