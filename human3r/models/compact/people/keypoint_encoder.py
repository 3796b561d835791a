"""17 keypoints of a person as the input of the lifter: a virtual camera that looks at the person, and an MLP on it.

Turning the rays so that the person's box lies on the optical axis removes perspective's dependence on where in the
image the person stands; dividing by the box leaves shape, and the box's size is given beside it. No image is read here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.models.layers.casting import Linear
from human3r.records import TensorRecord

NUM_CUES = 75
"""34 positions, 17 scores, 17 validity bits, log size, 2 of the box's direction, 4 image borders."""
VALID_SCORE = 0.2
"""Below it a MoveNet keypoint says nothing about its joint (measured: error of the order of the body)."""
_MAX_BOXES = 4.0
"""Positions are clamped to this many box sizes from the box centre."""


@dataclass(frozen=True)
class PersonKeypoints(TensorRecord):
    """COCO keypoints of P people on the normalised image plane of the camera (z = 1)."""

    points: Tensor
    """``P 17 2`` (x, y) = ((u - cx) / fx, (v - cy) / fy)."""
    scores: Tensor
    """``P 17`` in [0, 1]."""
    borders: Tensor
    """``4`` or ``P 4`` left, top, right, bottom border of the image on the same plane."""


@dataclass(frozen=True)
class KeypointCues(TensorRecord):
    """What the lifter sees, and how to come back from its virtual camera."""

    values: Tensor
    """``P 75``"""
    R_camera_virtual: Tensor
    """``P 3 3`` virtual camera (its axis through the box centre) to the camera."""
    size: Tensor
    """``P`` longer side of the box on the virtual camera's normalised plane."""


def normalised_keypoints(
    keypoints_px: Tensor, scores: Tensor, focal_px: Tensor, centre_px: Tensor, image_size: tuple[int, int]
) -> PersonKeypoints:
    """Put pixel keypoints onto the normalised plane.

    Args:
        keypoints_px: ``P 17 2``.
        scores: ``P 17``.
        focal_px: Scalar, or ``2`` for (fx, fy).
        centre_px: ``2`` principal point.
        image_size: (height, width), pixels.
    """
    height, width = image_size
    corners = torch.tensor([[-0.5, -0.5], [width - 0.5, height - 0.5]], device=keypoints_px.device)
    borders = ((corners - centre_px) / focal_px).reshape(4)
    return PersonKeypoints((keypoints_px - centre_px) / focal_px, scores, borders)


def keypoint_cues(people: PersonKeypoints) -> KeypointCues:
    """Look at every person through a camera that is turned towards them. P = 0 is no special case."""
    is_valid = people.scores > VALID_SCORE
    few = is_valid.sum(dim=1, keepdim=True) < 2
    is_valid = is_valid | few
    low, high = _box(people.points, is_valid)
    centre = (low + high) / 2
    R_camera_virtual = look_at(centre)
    points = _turn(people.points, R_camera_virtual)
    low, high = _box(points, is_valid)
    size = (high - low).amax(dim=1).clamp_min(1e-3)
    middle = (low + high) / 2
    weight = ((people.scores - 0.08) / 0.12).clamp(0, 1)
    positions = ((points - middle[:, None]) / size[:, None, None]).clamp(-_MAX_BOXES, _MAX_BOXES)
    borders = (people.borders - torch.cat([centre, centre], dim=1)) / size[:, None]
    values = torch.cat(
        [
            (positions * weight[..., None]).flatten(1),
            people.scores,
            (people.scores > VALID_SCORE).to(positions.dtype),
            size.log()[:, None],
            centre,
            borders.clamp(-2.0, 2.0),
        ],
        dim=1,
    )
    return KeypointCues(values, R_camera_virtual, size)


def look_at(centre: Tensor) -> Tensor:
    """Return the smallest rotations ``P 3 3`` that turn the optical axis to the rays of ``centre`` (``P 2``, z = 1)."""
    ray = nn.functional.normalize(nn.functional.pad(centre, (0, 1), value=1.0), dim=1)
    x, y, z = ray.unbind(1)
    # Rodrigues' formula for the axis z cross ray; 1 + z > 1 because rays point forwards.
    shrink = 1.0 / (1.0 + z)
    rows = [1 - x * x * shrink, -x * y * shrink, x, -x * y * shrink, 1 - y * y * shrink, y, -x, -y, z]
    return torch.stack(rows, dim=1).unflatten(1, (3, 3))


def _turn(points: Tensor, R_camera_virtual: Tensor) -> Tensor:
    rays = nn.functional.pad(points, (0, 1), value=1.0) @ R_camera_virtual
    # Rays beside or behind the virtual camera have no image; the clamp keeps them far outside of the box.
    return rays[..., :2] / rays[..., 2:].clamp_min(0.05)


def _box(points: Tensor, is_valid: Tensor) -> tuple[Tensor, Tensor]:
    outside = ~is_valid[..., None]
    far = torch.finfo(points.dtype).max
    return points.masked_fill(outside, far).amin(dim=1), points.masked_fill(outside, -far).amax(dim=1)


class ResidualBlock(nn.Module):
    """Pre-normalised two-layer perceptron beside the identity, ``P D`` to ``P D``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen = Linear(dim, dim)
        self.narrow = Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Add what the perceptron says."""
        return features + self.narrow(nn.functional.gelu(self.widen(self.norm(features))))


class KeypointEncoder(nn.Module):
    """Cues to person features: ``P 75`` to ``P dim``.

    Args:
        dim: Width.
        depth: Number of residual blocks.
    """

    def __init__(self, dim: int = 640, depth: int = 4) -> None:
        super().__init__()
        self.embed = Linear(NUM_CUES, dim)
        self.blocks = nn.ModuleList(ResidualBlock(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, cues: Tensor) -> Tensor:
        """Encode ``P 75``."""
        features = self.embed(cues)
        for block in self.blocks:
            features = block(features)
        return self.norm(features)
