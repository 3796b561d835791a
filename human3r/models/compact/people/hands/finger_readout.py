"""From the points of hands to rotations of SMPL-X's finger joints: a linear map with joint limits.

Points are aligned by the palm, whose orientation is that of the hand, and divided by its length; left hands are
mirrored. The map was fitted to rendered hands (``human3r.training.hands``), so it also takes back what the points have
in common with no hand at rest.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from human3r.models.compact.convnets.hand_landmarks import NUM_POINTS
from human3r.models.layers.casting import Linear

NUM_FINGER_JOINTS = 15
_PALM_POINTS = (0, 5, 9, 13, 17)
_MIRROR = (-1.0, 1.0, 1.0)
_THUMB_ROWS = slice(12, 15)
_BEND_DEG = ((-25.0, 95.0), (-5.0, 110.0), (-5.0, 80.0))
"""Of the three joints of a finger, from the palm. Source: ranges of motion in anatomy textbooks."""
_SPREAD_DEG = 22.0
"""Of the joint at the palm, to either side; the others are hinges."""
_THUMB_DEG = (45.0, 60.0, 85.0)
"""Largest rotation of the thumb's joints."""


class FingerReadout(nn.Module):
    """A linear map from 21 points to 15 rotation vectors of a right hand.

    SMPL-X's right hand at rest points to -x, its palm to -y: fingers bend about +z and spread about y.
    """

    palm: Tensor
    """``5 3`` wrist and joints at the palm (index to pinky) of the right hand at rest, body frame."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("palm", torch.zeros(len(_PALM_POINTS), 3))
        self.map = Linear(3 * NUM_POINTS, 3 * NUM_FINGER_JOINTS)

    def forward(self, points: Tensor, is_right: Tensor) -> Tensor:
        """Return rotation vectors ``H 15 3`` in SMPL-X's order of fingers.

        Args:
            points: ``H 21 3`` in any right-handed frame, any unit.
            is_right: ``H`` bool, which hand each is.
        """
        vectors = self.map(self.features(points, is_right)).float().unflatten(1, (NUM_FINGER_JOINTS, 3))
        return mirror_left(limit_fingers(vectors), is_right)

    def features(self, points: Tensor, is_right: Tensor) -> Tensor:
        """Return ``H 63``: the points about the middle finger's first joint, in the body frame of a right hand."""
        one_sided = torch.where(is_right[:, None, None], points, points * points.new_tensor(_MIRROR))
        aligned = (one_sided - one_sided[:, 9:10]) @ _palm_rotation(one_sided[:, _PALM_POINTS], self.palm)
        return (aligned / aligned[:, 0].norm(dim=-1).clamp_min(1e-6)[:, None, None]).flatten(1)

    def orientation(self, points: Tensor, is_right: Tensor) -> Tensor:
        """Return ``H 3 3``: the rotations of SMPL-X's hands, from the body frame to that of the points."""
        seen = points[:, _PALM_POINTS]
        right = _palm_rotation(seen, self.palm)
        left = _palm_rotation(seen, self.palm * points.new_tensor(_MIRROR))
        return torch.where(is_right[:, None, None], right, left)


def mirror_left(vectors: Tensor, is_right: Tensor) -> Tensor:
    """Mirror the rotation vectors ``H 15 3`` of left hands, from left to right or back."""
    return torch.where(is_right[:, None, None], vectors, vectors * vectors.new_tensor([1.0, -1.0, -1.0]))


def limit_fingers(vectors: Tensor) -> Tensor:
    """Limit rotation vectors ``H 15 3`` of right hands to the ranges of the joints."""
    low, high = torch.deg2rad(vectors.new_tensor(_BEND_DEG)).T
    bend = vectors[..., 2].unflatten(1, (5, 3)).clamp(low, high).flatten(1)
    most = math.radians(_SPREAD_DEG)
    is_first = torch.arange(NUM_FINGER_JOINTS, device=vectors.device) % 3 == 0
    spread = vectors[..., 1].clamp(-most, most) * is_first
    limited = torch.stack([torch.zeros_like(bend), spread, bend], dim=-1)
    thumb, largest = vectors[:, _THUMB_ROWS], torch.deg2rad(vectors.new_tensor(_THUMB_DEG))[:, None]
    angle = thumb.norm(dim=-1, keepdim=True)
    limited[:, _THUMB_ROWS] = thumb * (largest / torch.maximum(angle, largest))
    return limited


def _palm_rotation(seen: Tensor, palm: Tensor) -> Tensor:
    """Return ``H 3 3``: a row vector in the frame of the palms ``H 5 3`` times it is in that of ``palm`` (``5 3``)."""
    seen, known = seen - seen.mean(1, keepdim=True), palm - palm.mean(0)
    # Source: Kabsch 1976; the last singular vector is turned so that the result is no reflection.
    left, _, right = torch.linalg.svd(seen.transpose(-1, -2) @ known)
    sign = torch.linalg.det(left @ right).sign()
    return torch.cat([left[..., :2], left[..., 2:] * sign[:, None, None]], dim=-1) @ right
