"""Joints of the person in front, which the detector gives to the one behind as well, belong to one of them only."""

from __future__ import annotations

import torch

from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.detection.ownership import without_foreign_keypoints

_LEFT_HIP, _RIGHT_KNEE, _LEFT_KNEE = 11, 14, 13


def _two_people() -> ImageKeypoints:
    generator = torch.Generator().manual_seed(0)
    keypoints = torch.rand(2, 17, 2, generator=generator) * torch.tensor([40.0, 160.0]) + 100
    keypoints[1] += torch.tensor([120.0, 0.0])
    box = torch.cat([keypoints.amin(1), keypoints.amax(1)], dim=1)
    return ImageKeypoints(keypoints, torch.full((2, 17), 0.8), torch.tensor([0.9, 0.7]), box, keypoints.mean(1))


def test_a_joint_of_somebody_else_outside_of_the_own_box_is_not_believed() -> None:
    people = _two_people()
    people.keypoints_px[1, _LEFT_HIP] = people.keypoints_px[0, _LEFT_HIP] + 2
    score = without_foreign_keypoints(people).keypoint_score
    assert score[1, _LEFT_HIP] == 0
    assert (score > 0).sum() == 33


def test_it_may_be_the_joint_of_the_other_side() -> None:
    people = _two_people()
    people.keypoints_px[0, _RIGHT_KNEE] = people.keypoints_px[1, _LEFT_KNEE]
    assert without_foreign_keypoints(people).keypoint_score[0, _RIGHT_KNEE] == 0


def test_people_side_by_side_keep_what_is_theirs() -> None:
    people = _two_people()
    people.keypoints_px[1], people.box_px[1] = people.keypoints_px[0], people.box_px[0]
    assert torch.equal(without_foreign_keypoints(people).keypoint_score, people.keypoint_score)


def test_a_far_joint_that_nobody_else_has_stays() -> None:
    people = _two_people()
    people.keypoints_px[1, _LEFT_HIP] += 300
    assert torch.equal(without_foreign_keypoints(people).keypoint_score, people.keypoint_score)


def test_nobody_and_one_person_are_handled() -> None:
    people = _two_people()
    for count in (0, 1):
        few = people.select(torch.arange(count))
        assert torch.equal(without_foreign_keypoints(few).keypoint_score, few.keypoint_score)
