"""Squares around people, the way back to the picture, and the guard of the closer look."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from human3r.models.compact.people.detection import person_crops
from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.detection.person_crops import (
    CropOptions,
    PersonCropDetector,
    cut_square,
    keep_apart,
    person_squares,
)
from human3r.records import concatenate

# Nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles of somebody who stands upright, pixels.
STANDING = torch.tensor(
    [
        [100, 40], [103, 38], [97, 38], [106, 40], [94, 40], [115, 60], [85, 60], [120, 85], [80, 85], [122, 105],
        [78, 105], [110, 110], [90, 110], [110, 150], [90, 150], [110, 190], [90, 190],
    ],
    dtype=torch.float32,
)  # fmt: skip


def people_at(*offsets: tuple[float, float], score: float = 0.9) -> ImageKeypoints:
    count = len(offsets)
    keypoints = STANDING + torch.tensor(offsets).reshape(count, 1, 2)
    return ImageKeypoints(
        keypoints_px=keypoints,
        keypoint_score=torch.full((count, 17), score),
        score=torch.full((count,), 0.9),
        box_px=torch.cat([keypoints.amin(1), keypoints.amax(1)], dim=1),
        center_px=keypoints.mean(1),
    )


@pytest.fixture
def look(monkeypatch) -> PersonCropDetector:
    """A closer look whose network gives the answers that ``answer`` has laid ready, one by one."""
    look = PersonCropDetector(max_people=4)
    look.network.forward = lambda crops: crops  # type: ignore[method-assign]
    monkeypatch.setattr(person_crops, "decode_single", lambda crops: look.answers.pop(0))
    return look


def answer(look: PersonCropDetector, people: ImageKeypoints, offset_px: float, scale: float = 1.0) -> None:
    """Let the network find everyone ``offset_px`` pixels of ``people`` to the right, with scores of .5."""
    first = (people.keypoints_px + 0.5) * scale
    squares = person_squares(first, people.keypoint_score, look.options)
    moved = first + torch.tensor([offset_px * scale, 0.0])
    pixels = (moved - squares[:, None, :2]) * 256 / squares[:, None, 2:] - 0.5
    look.answers = [(one[None], torch.full((1, 17), 0.5)) for one in pixels]


def test_the_square_follows_the_published_rule() -> None:
    people = people_at((0.0, 0.0))

    ((left, top, side),) = person_squares(people.keypoints_px, people.keypoint_score, CropOptions()).tolist()

    # The hips are at (100, 110); the shoulders 50 away, the ankles 80: max(1.9 x 50, 1.2 x 80) = 96.
    assert (left, top, side) == (4, 14, 192)


def test_untrusted_keypoints_do_not_widen_the_square() -> None:
    people = people_at((0.0, 0.0))
    people.keypoints_px[0, 15] = torch.tensor([500.0, 500.0])
    people.keypoint_score[0, 15] = 0.1

    assert person_squares(people.keypoints_px, people.keypoint_score, CropOptions())[0, 2] == 192


def test_a_square_over_the_border_is_black_outside() -> None:
    picture = torch.ones(3, 100, 80)

    square = cut_square(picture, -64.0, -64.0, 128.0)

    assert square.shape == (1, 3, 256, 256)
    assert (square[..., :120, :] == -1).all()
    assert (square[..., 136:, 136:] == 1).all()


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_keypoints_come_back_to_the_pixels_they_were_asked_in(look: PersonCropDetector, scale: float) -> None:
    people = people_at((0.0, 0.0), (150.0, 10.0))
    answer(look, people, offset_px=3.0, scale=scale)

    closer = look(torch.zeros(3, int(240 * scale), int(320 * scale)), people, torch.tensor([scale, scale]))

    torch.testing.assert_close(closer.keypoints_px, people.keypoints_px + torch.tensor([3.0, 0.0]), atol=1e-3, rtol=0)
    assert (closer.keypoint_score == 0.5).all()


def test_a_crop_of_another_person_is_discarded(look: PersonCropDetector) -> None:
    people = people_at((0.0, 0.0))
    answer(look, people, offset_px=20.0)  # .4 of the torso of 50 pixels

    closer = look(torch.zeros(3, 240, 320), people)

    assert torch.equal(closer.keypoints_px, people.keypoints_px)
    assert torch.equal(closer.keypoint_score, people.keypoint_score)


def test_two_crops_that_show_one_person_leave_the_other_as_found(look: PersonCropDetector) -> None:
    people = people_at((0.0, 0.0), (17.0, 0.0))
    found = people_at((2.0, 0.0), (3.0, 0.0))
    squares = person_squares(people.keypoints_px + 0.5, people.keypoint_score, look.options)
    pixels = (found.keypoints_px + 0.5 - squares[:, None, :2]) * 256 / squares[:, None, 2:] - 0.5
    look.answers = [(one[None], torch.full((1, 17), 0.5)) for one in pixels]

    closer = look(torch.zeros(3, 240, 320), people)

    torch.testing.assert_close(closer.keypoints_px[0], found.keypoints_px[0], atol=1e-3, rtol=0)
    assert torch.equal(closer.keypoints_px[1], people.keypoints_px[1])
    assert closer.keypoint_score[:, 0].tolist() == pytest.approx([0.5, 0.9])


def test_a_crop_with_the_torso_of_somebody_else_leaves_the_person_as_found() -> None:
    front, hidden = people_at((0.0, 0.0)), people_at((40.0, 0.0))
    borrowed = hidden.keypoints_px.clone()
    borrowed[:, [5, 6, 11, 12]] = front.keypoints_px[:, [5, 6, 11, 12]]
    crops = concatenate([front, replace(hidden, keypoints_px=borrowed)])

    kept = keep_apart(concatenate([front, hidden]), crops, CropOptions())

    assert torch.equal(kept.keypoints_px, concatenate([front, hidden]).keypoints_px)


def test_only_the_largest_people_are_examined(look: PersonCropDetector) -> None:
    look.max_people = 1
    people = people_at((0.0, 0.0), (150.0, 10.0))
    people.keypoints_px[0] = people.keypoints_px[0] / 2
    answer(look, people.select(torch.tensor([1])), offset_px=3.0)

    closer = look(torch.zeros(3, 240, 320), people)

    assert torch.equal(closer.keypoints_px[0], people.keypoints_px[0])
    torch.testing.assert_close(closer.keypoints_px[1], people.keypoints_px[1] + torch.tensor([3.0, 0.0]))


def test_zero_people_are_handled(look: PersonCropDetector) -> None:
    nobody = people_at((0.0, 0.0)).select(torch.zeros(0, dtype=torch.int64))

    assert len(look(torch.zeros(3, 64, 64), nobody)) == 0
