"""Pairs of people in two frames: each the other's nearest."""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_FEATURE_DISTANCE = 10.0
"""Largest distance between features of one person. Source: the tracker's dustbin; features have its unit."""


def mutually_nearest(distance: Tensor, limit: float) -> Tensor:
    """Return for every row of ``P M`` distances its column, -1 unless each is the other's nearest within the limit."""
    if 0 in distance.shape:
        return torch.full((len(distance),), -1, dtype=torch.int64, device=distance.device)
    nearest, columns = distance.min(dim=1)
    is_mutual = distance.argmin(dim=0)[columns] == torch.arange(len(distance), device=columns.device)
    return torch.where(is_mutual & (nearest < limit), columns, -1)


def alike(features: Tensor, before: Tensor) -> Tensor:
    """Return the row of each of ``P F`` features of people among the ``M F`` before, -1 for new people: ``P`` int64."""
    distance = torch.cdist(features, before, compute_mode="donot_use_mm_for_euclid_dist")
    return mutually_nearest(distance, _MAX_FEATURE_DISTANCE)
