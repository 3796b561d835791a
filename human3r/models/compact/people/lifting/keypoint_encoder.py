"""Features of a person's 17 keypoints in a virtual camera centered on the person, and their encoder, an MLP.

Rotating the rays so that the person's box lies on the optical axis removes the dependence of perspective on the place
in the image; dividing by the box leaves shape, and the size of the box is one of the features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from human3r.models.layers.casting import Linear
from human3r.records import TensorRecord

NUM_KEYPOINT_FEATURES = 75
"""34 positions, 17 scores, 17 validity bits, log size, 2 of the direction of the box, 4 image borders."""
VALID_SCORE = 0.2
"""Least score of an informative MoveNet keypoint: below it, measured errors are of the order of the body."""
_MAX_BOXES = 4.0
"""Positions are clamped to this many box sizes from the box center."""
_SHOULDERS, _HIPS = (5, 6), (11, 12)
_LEG_BONES = ((11, 13), (12, 14), (13, 15), (14, 16))
"""Hip and knee, then knee and ankle."""
_BORDER_SHARE = 0.045
"""Within this share of the long image side from the lower border a joint is where the image cuts the person."""
_CLEAR_SCORE = 0.6
"""Least score of a knee or an ankle beyond the cut: a raised leg. Imagined ones on real clips have up to .5."""
_LEG_ROOM = 0.8
"""Trunk lengths from the hips to the lower border below which the image cannot hold a thigh that hangs down."""


@dataclass(frozen=True)
class PersonKeypoints(TensorRecord):
    """COCO keypoints of P people on the normalized image plane of the camera (z = 1)."""

    points: Tensor
    """``P 17 2`` (x, y) = ((u - cx) / fx, (v - cy) / fy)."""
    scores: Tensor
    """``P 17`` in [0, 1]."""
    borders: Tensor
    """``4`` or ``P 4`` left, top, right, bottom border of the image on the same plane."""


@dataclass(frozen=True)
class KeypointFeatures(TensorRecord):
    """Input of the encoder, and the virtual camera that it is expressed in."""

    values: Tensor
    """``P 75``"""
    R_camera_virtual: Tensor
    """``P 3 3`` virtual camera (its axis through the box center) to the camera."""
    size: Tensor
    """``P`` longer side of the box on the normalized plane of the virtual camera."""


def normalize_keypoints(
    keypoints_px: Tensor, scores: Tensor, focal_px: Tensor | float, center_px: Tensor, image_size: tuple[int, int]
) -> PersonKeypoints:
    """Map ``P 17 2`` keypoints with ``P 17`` scores to the normalized plane; ``focal_px`` may be ``2`` for (fx, fy)."""
    height, width = image_size
    corners = torch.tensor([[-0.5, -0.5], [width - 0.5, height - 0.5]], device=keypoints_px.device)
    borders = ((corners - center_px) / focal_px).reshape(4)
    return PersonKeypoints((keypoints_px - center_px) / focal_px, scores, borders)


def without_imagined_legs(people: PersonKeypoints) -> PersonKeypoints:
    """Return the people without the knees and ankles that the lower border cuts off: their scores are 0.

    The detector finds them inside the image wherever it ends, often above the hips, as on a seated person: those beyond
    a hip or knee at the border, and all of a leg for which there is no room.
    """
    low, high = people.borders.reshape(-1, 1, 2, 2).unbind(2)
    bottom = high[..., 1] - _BORDER_SHARE * (high - low).amax(-1)
    is_cut = people.points[..., 1] > bottom
    scores = people.scores.clone()
    for upper, lower in _LEG_BONES:
        is_imagined = is_cut[:, upper] & (scores[:, lower] < _CLEAR_SCORE)
        scores[:, lower] = scores[:, lower].masked_fill(is_imagined, 0.0)
        is_cut[:, lower] |= is_imagined
    has_no_room = _has_no_room_for_legs(people, high[:, 0, 1])
    for knee, ankle in _LEG_BONES[2:]:
        is_imagined = has_no_room & (people.scores[:, knee] < _CLEAR_SCORE)
        for joint in (knee, ankle):
            scores[:, joint] = scores[:, joint].masked_fill(is_imagined & (scores[:, joint] < _CLEAR_SCORE), 0.0)
    return replace(people, scores=scores)


def _has_no_room_for_legs(people: PersonKeypoints, bottom: Tensor) -> Tensor:
    """Return ``P`` bool: an upright trunk whose hips are too near the lower border ``bottom`` for a leg."""
    shoulders, hips = people.points[:, _SHOULDERS].mean(1), people.points[:, _HIPS].mean(1)
    is_seen = [people.scores[:, pair].amax(1) > VALID_SCORE for pair in (_SHOULDERS, _HIPS)]
    length = torch.linalg.vector_norm(hips - shoulders, dim=-1)
    is_upright = hips[:, 1] - shoulders[:, 1] > 0.5 * length
    return is_seen[0] & is_seen[1] & is_upright & (bottom - hips[:, 1] < _LEG_ROOM * length)


def keypoint_features(people: PersonKeypoints) -> KeypointFeatures:
    """Compute the features of P people."""
    is_valid = people.scores > VALID_SCORE
    few = is_valid.sum(dim=1, keepdim=True) < 2
    is_valid = is_valid | few
    low, high = _box(people.points, is_valid)
    center = (low + high) / 2
    R_camera_virtual = look_at(center)
    points = _turn(people.points, R_camera_virtual)
    low, high = _box(points, is_valid)
    size = (high - low).amax(dim=1).clamp_min(1e-3)
    middle = (low + high) / 2
    weight = ((people.scores - 0.08) / 0.12).clamp(0, 1)
    positions = ((points - middle[:, None]) / size[:, None, None]).clamp(-_MAX_BOXES, _MAX_BOXES)
    borders = (people.borders - torch.cat([center, center], dim=1)) / size[:, None]
    values = torch.cat(
        [
            (positions * weight[..., None]).flatten(1),
            people.scores,
            (people.scores > VALID_SCORE).to(positions.dtype),
            size.log()[:, None],
            center,
            borders.clamp(-2.0, 2.0),
        ],
        dim=1,
    )
    return KeypointFeatures(values, R_camera_virtual, size)


def look_at(center: Tensor) -> Tensor:
    """Return the smallest rotations ``P 3 3`` that turn the optical axis to the rays of ``center`` (``P 2``, z = 1)."""
    ray = nn.functional.normalize(nn.functional.pad(center, (0, 1), value=1.0), dim=1)
    x, y, z = ray.unbind(1)
    # Rodrigues' formula for the axis z cross ray; 1 + z > 1 because rays point forward.
    shrink = 1.0 / (1.0 + z)
    rows = [1 - x * x * shrink, -x * y * shrink, x, -x * y * shrink, 1 - y * y * shrink, y, -x, -y, z]
    return torch.stack(rows, dim=1).unflatten(1, (3, 3))


def _turn(points: Tensor, R_camera_virtual: Tensor) -> Tensor:
    rays = nn.functional.pad(points, (0, 1), value=1.0) @ R_camera_virtual
    # Rays beside or behind the virtual camera have no projection; the clamp keeps them far outside of the box.
    return rays[..., :2] / rays[..., 2:].clamp_min(0.05)


def _box(points: Tensor, is_valid: Tensor) -> tuple[Tensor, Tensor]:
    outside = ~is_valid[..., None]
    far = torch.finfo(points.dtype).max
    return points.masked_fill(outside, far).amin(dim=1), points.masked_fill(outside, -far).amax(dim=1)


class ResidualBlock(nn.Module):
    """Residual two-layer perceptron with pre-normalization."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen = Linear(dim, dim)
        self.narrow = Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``P D`` to ``P D``."""
        return features + self.narrow(nn.functional.gelu(self.widen(self.norm(features))))


class KeypointEncoder(nn.Module):
    """Residual MLP on keypoint features."""

    def __init__(self, dim: int = 640, depth: int = 4) -> None:
        super().__init__()
        self.embed = Linear(NUM_KEYPOINT_FEATURES, dim)
        self.blocks = nn.ModuleList(ResidualBlock(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``P 75`` to ``P dim``."""
        features = self.embed(features)
        for block in self.blocks:
            features = block(features)
        return self.norm(features)
