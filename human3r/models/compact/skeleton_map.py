"""Where bodies are, roughly: keypoints drawn as thick soft limbs. No parameters.

Keypoints hold on real pictures, so a mask that starts from them does too; what is learnt is only the outline.
"""

from __future__ import annotations

import torch
from torch import Tensor

from human3r.models.compact.keypoints import ImageKeypoints, person_size

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
_LEAST_SCORE = 0.15
NUM_MAPS = 2
"""Limbs, and their shortest distance in torso lengths."""
_FAR = 3.0
"""Distances beyond this many torso lengths are all the same."""


def draw_skeletons(people: ImageKeypoints, image_size: tuple[int, int], stride_px: int) -> Tensor:
    """Return ``2 h w`` at the stride: soft limbs in [0, 1], and closeness in [0, 1] that reaches farther.

    Args:
        people: Keypoints in network pixels.
        image_size: (height, width), network pixels.
        stride_px: Pixels per cell.
    """
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
    y = (torch.arange(rows, device=size.device) + 0.5) * stride_px - 0.5
    cells = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    along = end - start
    offset = cells[:, :, None, None] - start
    share = (offset * along).sum(-1) / along.square().sum(-1).clamp(min=1e-3)
    gap = torch.linalg.vector_norm(offset - share.clamp(0, 1)[..., None] * along, dim=-1) / size[:, None]
    gap = gap.masked_fill(score < _LEAST_SCORE, _FAR)
    thick = gap / gap.new_tensor(radius)
    limbs = torch.exp(-thick.square()).flatten(2).amax(-1)
    nearness = 1 - gap.clamp(max=_FAR).flatten(2).amin(-1) / _FAR
    return torch.stack([limbs, nearness])
