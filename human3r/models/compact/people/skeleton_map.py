"""Keypoints rendered as soft limbs: the input from which the mask head predicts outlines. No parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from human3r.models.compact.people.detection.keypoints import ImageKeypoints, person_size

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
    thinnest = size.new_full((rows, columns), torch.inf)
    nearest = size.new_full((rows, columns), _FAR**2)
    thickness = size.new_tensor(radius).square()[:, None, None]
    for person, window in enumerate(_windows(people.keypoints_px, size, (rows, columns), stride_px)):
        here = slice(person, person + 1)
        squared = _squared_gaps(start[here], end[here], x[window[1]], y[window[0]])[0] / size[person].square()
        squared = squared.masked_fill((score[person] < _MIN_SCORE)[:, None, None], _FAR**2)
        # Minimum first: exponential and root are monotonic, and then evaluated once per cell.
        thinnest[window] = torch.minimum(thinnest[window], (squared / thickness).amin(0))
        nearest[window] = torch.minimum(nearest[window], squared.amin(0))
    return torch.stack([torch.exp(-thinnest), 1 - nearest.sqrt() / _FAR])


def _windows(keypoints_px: Tensor, size: Tensor, shape: tuple[int, int], stride_px: int) -> list[tuple[slice, slice]]:
    """Return (rows, columns) of the cells in which each of ``P 17 2`` people may matter."""
    reach = _FAR * size[:, None]
    low = ((keypoints_px.amin(1) - reach) / stride_px).floor().clamp(min=0)
    high = ((keypoints_px.amax(1) + reach) / stride_px).ceil().clamp(min=0) + 1
    corners = torch.cat([low, high], dim=1).nan_to_num().long().tolist()
    return [
        (slice(min(top, shape[0]), min(bottom, shape[0])), slice(min(left, shape[1]), min(right, shape[1])))
        for left, top, right, bottom in corners
    ]


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
