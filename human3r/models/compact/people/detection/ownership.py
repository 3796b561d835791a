"""Whose keypoint it is: where one person hides another, the detector gives both the joints of the one it sees."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from human3r.models.compact.people.detection.keypoints import ImageKeypoints, person_size
from human3r.models.compact.people.lifting.body_points import MIRRORED_KEYPOINTS, NUM_KEYPOINTS

_SAME_PLACE = 0.12
"""Largest distance of one joint in two detections, over the smaller person's size."""
_INSIDE, _OUTSIDE = 1.0, 1.1
"""Distances from the middle of a box, in halves of its sides, up to which it holds a joint, and beyond which not."""


def without_foreign_keypoints(people: ImageKeypoints) -> ImageKeypoints:
    """Return the people with score 0 for keypoints that are those of somebody else.

    A foreign keypoint is outside of the box that was predicted with the person, and at the same joint of a person, of
    either side, whose box holds it.
    """
    if len(people) < 2:
        return people
    eccentricity = _eccentricity(people)
    size = person_size(people)
    limit = _SAME_PLACE * torch.minimum(size[:, None], size[None]).clamp(min=1.0)
    is_foreign = torch.zeros_like(people.keypoint_score, dtype=torch.bool)
    for joints in (list(range(NUM_KEYPOINTS)), list(MIRRORED_KEYPOINTS)):
        distance = torch.linalg.vector_norm(people.keypoints_px[:, None] - people.keypoints_px[None, :, joints], dim=-1)
        is_shared = distance < limit[..., None]
        holds = (eccentricity <= _INSIDE)[:, joints] & (people.keypoint_score > 0)[:, joints]
        is_foreign |= (is_shared & holds[None]).any(dim=1)
    is_foreign &= eccentricity > _OUTSIDE
    return replace(people, keypoint_score=people.keypoint_score.masked_fill(is_foreign, 0.0))


def _eccentricity(people: ImageKeypoints) -> Tensor:
    """Return ``P 17`` distances of the keypoints from the middle of the person's box, in halves of its sides."""
    low, high = people.box_px[:, None, :2], people.box_px[:, None, 2:]
    half = ((high - low) / 2).clamp(min=1.0)
    return ((people.keypoints_px - (low + high) / 2).abs() / half).amax(-1)
