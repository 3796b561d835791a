"""Keypoints rendered as soft limbs: the input from which the mask head predicts outlines. No parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from human3r.models.compact.people.keypoints import ImageKeypoints, person_size

_LIMBS = (
    # (keypoint, keypoint, radius in torso lengths)
    (5, 7, 0.14),
    (7, 9, 0.12),
    (6, 8, 0.14),
    (8, 10, 0.12),
    (5, 6, 0.2),
    (11, 12, 0.2),
    (5, 11, 0.2),
    (6, 12, 0.2),
    (5, 12, 0.25),
    (6, 11, 0.25),
    (11, 13, 0.18),
    (13, 15, 0.14),
    (12, 14, 0.18),
    (14, 16, 0.14),
    (3, 4, 0.25),
    (0, 5, 0.15),
    (0, 6, 0.15),
)
_MIN_SCORE = 0.15
NUM_MAPS = 2
"""Soft limbs, and closeness to the nearest limb."""
_FAR = 3.0
"""Distances are clamped to this many torso lengths."""


def draw_skeletons(people: ImageKeypoints, image_size: tuple[int, int], stride_px: int) -> Tensor:
    """Return ``2 h w`` at the stride: soft limbs in [0, 1], and closeness in [0, 1] of a larger range."""
    rows, columns = image_size[0] // stride_px, image_size[1] // stride_px
    if len(people) == 0:
        return people.score.new_zeros((NUM_MAPS, rows, columns))
    first, second, radius = zip(*_LIMBS, strict=True)
    start, end = people.keypoints_px[:, first], people.keypoints_px[:, second]
    shoulders, hips = people.keypoints_px[:, 5:7].mean(1), people.keypoints_px[:, 11:13].mean(1)
    torso = torch.linalg.vector_norm(shoulders - hips, dim=-1)
    size = torch.maximum(torso, 0.2 * person_size(people)).clamp(min=2.0)
    score = torch.minimum(people.keypoint_score[:, first], people.keypoint_score[:, second])
    x = (torch.arange(columns, device=size.device) + 0.5) * stride_px - 0.5
    y = (torch.arange(rows, device=size.device) + 0.5)[:, None] * stride_px - 0.5
    squared = _squared_gaps(start, end, x, y) / size.square()[:, None, None, None]
    squared = squared.masked_fill((score < _MIN_SCORE)[..., None, None], _FAR**2)
    thick = squared / squared.new_tensor(radius).square()[:, None, None]
    # Minimum first: exponential and root are monotonic, and then evaluated once per cell.
    limbs = torch.exp(-thick.flatten(0, 1).amin(0))
    nearness = 1 - squared.flatten(0, 1).amin(0).sqrt().clamp(max=_FAR) / _FAR
    return torch.stack([limbs, nearness])


def _squared_gaps(start: Tensor, end: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return ``P L h w`` squared distances from cells (columns ``x``, ``w``; rows ``y``, ``h 1``) to segments.

    Segments are ``P L 2`` (x, y) each end. Products split into a row part and a column part, so planes are only added.
    """
    along = end - start
    offset_x, offset_y = x - start[..., 0, None, None], y - start[..., 1, None, None]
    dot = offset_x * along[..., 0, None, None] + offset_y * along[..., 1, None, None]
    length = along.square().sum(-1)[..., None, None]
    share = (dot / length.clamp(min=1e-3)).clamp(0, 1)
    gap = offset_x.square() + offset_y.square() + share * (share * length - 2 * dot)
    return gap.clamp(min=0)
