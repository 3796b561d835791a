"""Reuse of second looks: people who hardly moved keep the keypoints of an earlier crop.

For late live streams. A look is kept for a few frames and shifted with the person.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.models.compact.people.keypoints import ImageKeypoints, person_size
from human3r.models.compact.people.person_crops import PersonCropDetector, torso_length
from human3r.records import TensorRecord

_MIN_SCORE = 0.2
"""Keypoints of the first look with higher scores are compared; the published crop rule trusts the same ones."""
_MAX_MEDIAN_TORSOS = 0.1
"""Median motion of the keypoints, torso lengths, above which a person is examined again."""
_MAX_LIMB_TORSOS = 0.3
"""The same for the fourth most moved keypoint, relative to the median: a waving arm has three."""
_LIMB_RANK = 3


@dataclass(frozen=True)
class Looks(TensorRecord):
    """The crops that the people of one frame rest on, in their order."""

    first: ImageKeypoints
    """What the first look saw in the frame of the crop."""
    second: ImageKeypoints
    """What the crop showed."""
    age: Tensor
    """``P`` int64 frames since the crop."""


def look_again(
    detector: PersonCropDetector, image: Tensor, people: ImageKeypoints, before: Looks | None, interval: int
) -> tuple[ImageKeypoints, Looks]:
    """Return the people with the keypoints of crops, new ones where they moved or their crop is old.

    Args:
        detector: Makes the crops.
        image: ``3 H W`` RGB in [-1, 1].
        people: From the first look.
        before: Crops of the frame before.
        interval: Largest number of frames between two crops of a person; 1 crops all people.
    """
    if interval <= 1 or before is None or len(before.age) == 0 or len(people) == 0:
        second = detector(image, people)
        return second, Looks(people, second, torch.zeros_like(people.score, dtype=torch.int64))
    match, shift = _matches(people, before.first)
    is_kept = (match >= 0) & (before.age[match.clamp_min(0)] + 1 < interval)
    fresh = (~is_kept).nonzero()[:, 0]
    kept, source = is_kept.nonzero()[:, 0], match[is_kept]
    cropped = detector(image, people.select(fresh))
    old = before.second.select(source)
    second = replace(
        people,
        keypoints_px=people.keypoints_px.index_copy(0, fresh, cropped.keypoints_px).index_copy(
            0, kept, old.keypoints_px + shift[is_kept][:, None]
        ),
        keypoint_score=people.keypoint_score.index_copy(0, fresh, cropped.keypoint_score).index_copy(
            0, kept, old.keypoint_score
        ),
    )
    age = torch.zeros_like(people.score, dtype=torch.int64)
    age[kept] = before.age[source] + 1
    seen_then, shown_then = before.first.select(source), old
    return second, Looks(_with_rows(people, kept, seen_then), _with_rows(second, kept, shown_then), age)


def _with_rows(people: ImageKeypoints, rows: Tensor, others: ImageKeypoints) -> ImageKeypoints:
    """Return the people with the keypoints of some rows replaced."""
    return replace(
        people,
        keypoints_px=people.keypoints_px.index_copy(0, rows, others.keypoints_px),
        keypoint_score=people.keypoint_score.index_copy(0, rows, others.keypoint_score),
    )


def _matches(now: ImageKeypoints, then: ImageKeypoints) -> tuple[Tensor, Tensor]:
    """Return ``P`` rows of ``then`` with the same person in nearly the same pose, or -1, and ``P 2`` their shift."""
    moved = now.keypoints_px[:, None] - then.keypoints_px[None]
    is_trusted = (now.keypoint_score[:, None] > _MIN_SCORE) & (then.keypoint_score[None] > _MIN_SCORE)
    shift = moved.masked_fill(~is_trusted[..., None], torch.nan).nanmedian(dim=2).values.nan_to_num(torch.inf)
    torso = torso_length(now.keypoints_px, person_size(now))[:, None]
    distance = torch.linalg.vector_norm(shift, dim=-1) / torso
    limbs = torch.linalg.vector_norm((moved - shift[:, :, None]).nan_to_num(torch.inf), dim=-1)
    limb = limbs.masked_fill(~is_trusted, 0.0).topk(_LIMB_RANK, dim=-1).values[..., -1] / torso
    best, row = distance.masked_fill(limb > _MAX_LIMB_TORSOS, torch.inf).min(dim=1)
    match = torch.where(best <= _MAX_MEDIAN_TORSOS, row, -1)
    return match, shift[torch.arange(len(now), device=row.device), row]
