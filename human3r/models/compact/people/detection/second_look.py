"""Reuse of second looks, for late live streams.

People who hardly moved keep the keypoints of an earlier crop for a few frames, shifted with the person. Of the others,
those who have waited longest are examined, and the rest keep a part of what their last crop corrected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.models.compact.matching import mutually_nearest
from human3r.models.compact.people.detection.keypoints import ImageKeypoints, person_size
from human3r.models.compact.people.detection.person_crops import PersonCropDetector, torso_length
from human3r.models.parts import FULL_EFFORT, Effort
from human3r.records import TensorRecord

_MIN_SCORE = 0.2
"""Keypoints of the first look with higher scores are compared; the published crop rule trusts the same ones."""
_MAX_MEDIAN_TORSOS = 0.1
"""Median motion of the keypoints, torso lengths, above which a person is examined again."""
_MAX_LIMB_TORSOS = 0.3
"""The same for the fourth most moved keypoint, relative to the median: a waving arm has three."""
_LIMB_RANK = 3
_MAX_MOVED_TORSOS = 1.5
"""Median motion up to which a person is recognized."""
_CARRIED_SHARE = 0.5
"""Share of the last correction that is kept. Source: a walking and somersaulting woman, ten frames per second, mean
distance to a crop of the frame .067 torso lengths without correction, .063 with half of it, .078 with all of it."""
_NEVER = 1000
"""Age of a look that was not made."""


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
    detector: PersonCropDetector, image: Tensor, people: ImageKeypoints, before: Looks | None, effort: Effort
) -> tuple[ImageKeypoints, Looks]:
    """Return the people with the keypoints of crops, new ones where they moved or their crop is old.

    Args:
        detector: Makes the crops.
        image: ``3 H W`` RGB in [-1, 1].
        people: From the first look.
        before: Crops of the frame before.
        effort: How many crops are made.
    """
    if effort == FULL_EFFORT or before is None or len(before.age) == 0 or len(people) == 0:
        second = detector(image, people)
        return second, Looks(people, second, torch.zeros_like(people.score, dtype=torch.int64))
    row, is_still, shift = _matches(people, before.first)
    age = torch.where(row >= 0, before.age[row] + 1, _NEVER)
    is_kept = is_still & (age < effort.second_look_interval)
    fresh = (~is_kept).nonzero()[:, 0]
    fresh = fresh[age[fresh].argsort(descending=True, stable=True)][: effort.max_second_looks]
    is_moving = ~is_kept
    is_moving[fresh] = False
    kept, moving = is_kept.nonzero()[:, 0], is_moving.nonzero()[:, 0]
    old = before.second.select(row[kept])
    shifted = replace(old, keypoints_px=old.keypoints_px + shift[kept, None])
    carried = _carried(people.select(moving), before, row[moving])
    second = _with_rows(people, fresh, detector(image, people.select(fresh)))
    second = _with_rows(_with_rows(second, kept, shifted), moving, carried)
    age[fresh] = 0
    return second, Looks(_with_rows(people, kept, before.first.select(row[kept])), _with_rows(second, kept, old), age)


def _carried(people: ImageKeypoints, before: Looks, row: Tensor) -> ImageKeypoints:
    """Return people with a share of what the crops at ``row`` corrected; row -1 is none."""
    first, second = before.first.select(row), before.second.select(row)
    share = _CARRIED_SHARE * (row >= 0)[:, None]
    return replace(
        people,
        keypoints_px=people.keypoints_px + share[..., None] * (second.keypoints_px - first.keypoints_px),
        keypoint_score=torch.lerp(people.keypoint_score, second.keypoint_score, share),
    )


def _with_rows(people: ImageKeypoints, rows: Tensor, others: ImageKeypoints) -> ImageKeypoints:
    """Return the people with the keypoints of some rows replaced."""
    return replace(
        people,
        keypoints_px=people.keypoints_px.index_copy(0, rows, others.keypoints_px),
        keypoint_score=people.keypoint_score.index_copy(0, rows, others.keypoint_score),
    )


def _matches(now: ImageKeypoints, then: ImageKeypoints) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``P`` rows of ``then`` with the same person, or -1, who is in nearly the same pose, and ``P 2`` shifts."""
    moved = now.keypoints_px[:, None] - then.keypoints_px[None]
    is_trusted = (now.keypoint_score[:, None] > _MIN_SCORE) & (then.keypoint_score[None] > _MIN_SCORE)
    shift = moved.masked_fill(~is_trusted[..., None], torch.nan).nanmedian(dim=2).values.nan_to_num(torch.inf)
    torso = torso_length(now.keypoints_px, person_size(now))[:, None]
    distance = torch.linalg.vector_norm(shift, dim=-1) / torso
    limbs = torch.linalg.vector_norm((moved - shift[:, :, None]).nan_to_num(torch.inf), dim=-1)
    limb = limbs.masked_fill(~is_trusted, 0.0).topk(_LIMB_RANK, dim=-1).values[..., -1] / torso
    best, row = distance.masked_fill(limb > _MAX_LIMB_TORSOS, torch.inf).min(dim=1)
    is_still = best <= _MAX_MEDIAN_TORSOS
    row = torch.where(is_still, row, mutually_nearest(distance, _MAX_MOVED_TORSOS))
    return row, is_still, shift[torch.arange(len(now), device=row.device), row]
