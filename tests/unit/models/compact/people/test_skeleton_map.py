"""Keypoints rendered as soft limbs."""

from __future__ import annotations

import torch

from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.skeleton_map import draw_skeletons


def standing_person() -> ImageKeypoints:
    x = [60, 62, 58, 64, 56, 70, 50, 74, 46, 76, 44, 66, 54, 66, 54, 66, 54]
    y = [20, 18, 18, 20, 20, 34, 34, 52, 52, 68, 68, 70, 70, 95, 95, 120, 120]
    keypoints = torch.tensor([x, y], dtype=torch.float32).T[None]
    score = torch.full((1, 17), 0.8)
    return ImageKeypoints(keypoints, score, torch.ones(1), torch.zeros(1, 4), torch.zeros(1, 2))


def test_limbs_are_marked_and_far_places_are_not() -> None:
    limbs, nearness = draw_skeletons(standing_person(), (128, 128), 4)

    assert limbs[13, 15] > 0.8
    assert limbs[5, 28] < 1e-3
    assert nearness[13, 15] > nearness[5, 28]


def test_untrusted_keypoints_draw_nothing() -> None:
    person = standing_person()
    person.keypoint_score.zero_()

    limbs, nearness = draw_skeletons(person, (128, 128), 4)

    assert limbs.max() < 1e-3
    assert nearness.max() == 0


def test_no_people_give_an_empty_map() -> None:
    no_people = standing_person().select(torch.zeros(0, dtype=torch.int64))

    assert draw_skeletons(no_people, (64, 96), 4).shape == (2, 16, 24)
    assert draw_skeletons(no_people, (64, 96), 4).max() == 0


def test_closeness_is_the_distance_to_the_nearest_limb() -> None:
    person = standing_person()
    _, nearness = draw_skeletons(person, (128, 128), 4)

    # Cell (17, 29) has its center at (117.5, 69.5); the nearest keypoint of all limbs is the left wrist at (76, 68).
    torso = torch.linalg.vector_norm(person.keypoints_px[0, 5:7].mean(0) - person.keypoints_px[0, 11:13].mean(0))
    distance = torch.linalg.vector_norm(torch.tensor([117.5, 69.5]) - person.keypoints_px[0, 9]) / torso
    torch.testing.assert_close(nearness[17, 29], 1 - distance / 3, atol=1e-4, rtol=0)
