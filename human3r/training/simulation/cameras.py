"""Random cameras that look at a person: field of view, image format, tilt, roll, height and distance.

Everything is on the normalized image plane (z = 1); pixels appear only as a noise floor in ``detector``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.records import TensorRecord
from human3r.training.simulation.limbs import degrees
from human3r.training.simulation.rotations import RandomSource, axis_turn

NETWORK_LONG_SIDE_PX = 384
"""Long side of the image that the keypoint detector sees."""
_ASPECTS = (16 / 9, 4 / 3, 3 / 2, 1.0, 3 / 4, 9 / 16, 9 / 16)
_CANDIDATES = 6
"""Places drawn per person; the first whose camera height is allowed is taken."""


@dataclass(frozen=True)
class CameraMix:
    """Ranges of the cameras."""

    fov_deg: tuple[float, float] = (35.0, 75.0)
    """Field of view of the long side."""
    height_m: tuple[float, float] = (0.3, 4.2)
    """Camera height over the floor that the person is on."""
    share_rolled: float = 0.2
    """Share of rolls up to 45 degrees; the others stay within 10."""
    share_close: float = 0.2
    """Share of close views, in which the image cuts people at the knees, hips, or chest."""


@dataclass(frozen=True)
class PlacedCameras(TensorRecord):
    """P cameras, each with one person in front of it."""

    R_camera_gravity: Tensor
    """``P 3 3`` from a y-up frame to OpenCV camera axes."""
    root_camera: Tensor
    """``P 3`` pelvis, meters."""
    borders: Tensor
    """``P 4`` left, top, right, bottom of the image on the normalized plane."""
    pixel: Tensor
    """``P`` size of a network pixel on the normalized plane."""


def place_cameras(rng: RandomSource, mix: CameraMix, points: Tensor) -> PlacedCameras:
    """Put a camera in front of every person; the floor is just below the lowest point.

    Args:
        points: ``P M 3`` of the bodies from the pelvis in the y-up frame, meters.
    """
    low, high = points.amin(dim=1), points.amax(dim=1)
    lowest, center, extent = low[:, 1] - 0.03, (low + high) / 2, (high - low).amax(dim=1).clamp_min(0.4)
    count = len(extent)
    half_long = (degrees(*mix.fov_deg, rng, count) / 2).tan()
    aspect = torch.tensor(_ASPECTS)[rng.choose(torch.ones(len(_ASPECTS)), count)]
    half_width = torch.where(aspect >= 1, half_long, half_long * aspect)
    half_height = torch.where(aspect >= 1, half_long / aspect, half_long)
    shape = (_CANDIDATES, count)
    pitch = torch.where(
        rng.chance(0.7, *shape),
        torch.deg2rad(8 + rng.normal(9, *shape)),
        torch.deg2rad(rng.uniform(-18, 55, *shape)),
    )
    rolls = torch.where(
        rng.chance(mix.share_rolled, *shape),
        torch.deg2rad(rng.uniform(-45, 45, *shape)),
        torch.deg2rad(rng.normal(4, *shape).clamp(-10, 10)),
    )
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    # A camera pitched down by p sees the horizon above its center.
    rotation = axis_turn("z", rolls) @ axis_turn("x", pitch) @ flip
    # Body heights in image heights: whole people to cut shins; from 1.3 the hips go, from 3 the chest.
    whole, close = rng.uniform(-2.4, 0.45, *shape), rng.uniform(0.25, 1.15, *shape)
    share = torch.where(rng.chance(mix.share_close, count), close, whole).exp()
    distance = extent / (2 * half_height * share)
    u = rng.uniform(-1, 1, *shape) * half_width * (1.0 - 0.25 * share.clamp(max=1))
    v = half_height * _vertical_place(rng, share)
    middle = torch.stack([u, v, torch.ones_like(u)], dim=-1) * distance[..., None]
    root = middle - (rotation @ center[..., None])[..., 0]
    # Height of the camera over the floor: minus the root's height in the gravity frame of the camera.
    root_height = (rotation.transpose(-1, -2) @ root[..., None])[..., 1, 0]
    camera_height = -(root_height + lowest)
    low, high = mix.height_m
    allowed = (camera_height > low) & (camera_height < high) & (distance > 0.6) & (distance < 25)
    chosen = (allowed.float() + 1e-3 * torch.arange(_CANDIDATES, 0, -1)[:, None]).argmax(dim=0)
    people = torch.arange(count)
    borders = torch.stack([-half_width, -half_height, half_width, half_height], dim=1)
    return PlacedCameras(rotation[chosen, people], root[chosen, people], borders, 2 * half_long / NETWORK_LONG_SIDE_PX)


def _vertical_place(rng: RandomSource, share: Tensor) -> Tensor:
    """Draw the body's middle in half image heights: mostly with the head in sight, feet cut more often than heads.

    ``share`` is the body's height in image heights, any shape.
    """
    room = (1 - share).clamp_min(0)
    inside = -room + rng.uniform(0, 1, *share.shape) * (2 * room + 0.3 * share)
    from_top = share - 1 + rng.uniform(0.02, 0.3, *share.shape)
    anywhere = rng.uniform(-1, 1, *share.shape) * (1.15 - 0.75 * share.clamp(max=1.2))
    headed = torch.where(share < 1, inside, from_top)
    return torch.where(rng.chance(0.85, *share.shape), headed, anywhere)
