"""Find the points of hands in the source picture: a rotated square around each hand, and a second one from its points.

Owns squares and crops. From points to rotations of fingers: ``finger_readout``; which hands are examined and which
results are used: ``human3r.inference.hands``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.compact.convnets.hand_landmarks import CROP_PX, HandLandmarkNet, HandLandmarks
from human3r.models.compact.people.hands.finger_readout import FingerReadout
from human3r.models.parts import HandPoses
from human3r.records import concatenate

HAND_PER_FOREARM = 0.75
"""Length of a hand, wrist to fingertip, over that of a forearm."""
_CENTER_LENGTHS, _SIDE_LENGTHS = 0.3, 1.5
"""Center of the first square beyond the wrist, and its side, in lengths of the hand. Source: measured on real clips."""
_PALM_POINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
_FORWARD_POINTS = (6, 10, 14)
_SECOND_SCALE, _SECOND_SHIFT = 2.0, 0.1
"""Side of the second square over that of the box around the palm's points, and its shift toward the fingers, in sides
of the box. Source: MediaPipe, hand_landmark_landmarks_to_roi."""


class CropHandDetector(nn.Module):
    """A ``signatures.HandDetector``: a landmark network on one crop after the other, and a readout of the fingers."""

    def __init__(self) -> None:
        super().__init__()
        self.network = HandLandmarkNet()
        self.network.requires_grad_(False)
        self.fingers = FingerReadout()

    def forward(self, image: Tensor, squares: Tensor, is_right: Tensor) -> HandPoses:
        """Find one hand in each square and read its fingers; see ``signatures.HandDetector``."""
        found = self.find(image, squares)
        own_side = torch.where(is_right, found.is_right, 1 - found.is_right)
        fingers = self.fingers(found.points, is_right)
        return HandPoses(found.presence, own_side, fingers, self.fingers.orientation(_as_seen(found), is_right))

    def find(self, image: Tensor, squares: Tensor) -> HandLandmarks:
        """Find one hand in each square, twice: the second time in a square from the points of the first.

        Args:
            image: ``H W 3`` uint8 RGB.
            squares: ``H 4`` from ``forearm_squares``.

        Returns:
            Points in pixels of ``image``; axes of ``points`` are those of the camera.
        """
        first = self._look(image, squares)
        return self._look(image, point_squares(first.points_px))

    def _look(self, image: Tensor, squares: Tensor) -> HandLandmarks:
        # On a CPU a batch saves no time, and packed weights are kept for one shape only.
        device = self.network.presence.weight.device
        found = concatenate([self.network(cut_rotated(image, square)[None].to(device)) for square in squares]).to("cpu")
        center, side, turn = squares[:, None, :2], squares[:, 2, None, None], rotations_2d(squares[:, 3])
        points_px = (found.points_px / CROP_PX - 0.5) * side @ turn.transpose(-1, -2) + center
        across = found.points[..., :2] @ turn.transpose(-1, -2)
        return replace(found, points_px=points_px, points=torch.cat([across, found.points[..., 2:]], dim=-1))


def _as_seen(found: HandLandmarks) -> Tensor:
    """Return points ``H 21 3`` whose x and y are the pixels, to scale, by which a hand is turned less wrongly."""
    px, meters = (points - points.mean(1, keepdim=True) for points in (found.points_px, found.points))
    scale = meters[..., :2].norm(dim=(1, 2)) / px.norm(dim=(1, 2)).clamp_min(1e-6)
    return torch.cat([px * scale[:, None, None], meters[..., 2:]], dim=-1)


def rotations_2d(angle: Tensor) -> Tensor:
    """Return ``H 2 2`` matrices that take axes of a crop to those of the picture (x right, y down)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], dim=-1), torch.stack([sin, cos], dim=-1)], dim=-2)


def forearm_squares(elbow_px: Tensor, wrist_px: Tensor, hand_px: Tensor) -> Tensor:
    """Return ``H 4`` squares (center x and y, side, clockwise turn): the hand upright, beyond the wrist.

    Args:
        elbow_px: ``H 2`` pixels.
        wrist_px: ``H 2``
        hand_px: ``H`` length of the hand if it were parallel to the picture.
    """
    forearm = wrist_px - elbow_px
    center = wrist_px + _CENTER_LENGTHS * HAND_PER_FOREARM * forearm
    turn = torch.atan2(forearm[:, 0], -forearm[:, 1])
    return torch.cat([center, torch.stack([_SIDE_LENGTHS * hand_px, turn], dim=-1)], dim=-1)


def point_squares(points_px: Tensor) -> Tensor:
    """Return ``H 4`` squares around found points ``H 21 2``, turned so that the fingers point up."""
    forward = points_px[:, _FORWARD_POINTS].mean(1) - points_px[:, 0]
    turn = torch.atan2(forward[:, 0], -forward[:, 1])
    rotation = rotations_2d(turn)
    upright = points_px[:, _PALM_POINTS] @ rotation
    low, high = upright.amin(1), upright.amax(1)
    size = high - low
    middle = (low + high) / 2 - size * size.new_tensor([0.0, _SECOND_SHIFT])
    center = (rotation @ middle[..., None])[..., 0]
    side = _SECOND_SCALE * size.amax(-1).clamp(min=4.0)
    return torch.cat([center, side[:, None], turn[:, None]], dim=-1)


def cut_rotated(image: Tensor, square: Tensor) -> Tensor:
    """Return the crop ``3 224 224`` in [0, 1] of ``H W 3`` uint8 inside a square ``4``, black outside of the image."""
    x, y, side, turn = square.tolist()
    height, width = image.shape[:2]
    reach = side * 0.5 * (abs(math.cos(turn)) + abs(math.sin(turn))) + 2
    left, right = max(int(x - reach), 0), min(int(x + reach) + 1, width)
    top, bottom = max(int(y - reach), 0), min(int(y + reach) + 1, height)
    if left >= right or top >= bottom:
        return torch.zeros(3, CROP_PX, CROP_PX, device=image.device)
    part = image[top:bottom, left:right].permute(2, 0, 1)[None].float() / 255
    shrink = min(max(int(side / CROP_PX), 1), part.shape[-2], part.shape[-1])
    if shrink > 1:
        part = functional.avg_pool2d(part, shrink)
    # From corner-based coordinates of the crop in [-1, 1] to those of the part.
    span = part.new_tensor([part.shape[-1] * shrink, part.shape[-2] * shrink])
    rotation = rotations_2d(part.new_tensor([turn]))[0]
    place = (part.new_tensor([x - left, y - top]) * 2 / span - 1)[:, None]
    affine = torch.cat([rotation * side / span[:, None], place], dim=1)
    grid = functional.affine_grid(affine[None], [1, 3, CROP_PX, CROP_PX], align_corners=False)
    return functional.grid_sample(part, grid, align_corners=False)[0]
