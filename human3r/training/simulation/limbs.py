"""Procedural arms and legs from anatomical angles, as local rotations in SMPL-X's rest axes.

Side is +1 for the body's left and -1 for its right; ranges are in degrees.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from human3r.training.simulation.rotations import RandomSource, axis_turn, minimal_turn

COLLAR_SHARE = 0.3
"""Share of an arm's raise that the collar joint carries (scapulo-humeral rhythm, about one third)."""
_REST_ARM_DEG = -16.0
"""Elevation of the upper arm in SMPL-X's rest pose."""


def degrees(low: float, high: float, rng: RandomSource, count: int) -> Tensor:
    """Angles uniform in a range of degrees, returned in radians: ``count``."""
    return rng.uniform(math.radians(low), math.radians(high), count)


def leg(side: int, flexion: Tensor, abduction: Tensor, twist: Tensor, knee: Tensor) -> tuple[Tensor, Tensor]:
    """Local rotations of one hip and knee, each ``P 3 3``.

    Args:
        side: +1 left, -1 right.
        flexion: Thigh forwards, ``P`` radians.
        abduction: Thigh outwards.
        twist: Thigh about itself, toes outwards.
        knee: Shin backwards.
    """
    hip = axis_turn("x", -flexion) @ axis_turn("z", side * abduction) @ axis_turn("y", side * twist)
    return hip, axis_turn("x", knee)


def arm(side: int, elevation: Tensor, azimuth: Tensor, twist: Tensor, elbow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Local rotations of one collar, shoulder and elbow, each ``P 3 3``.

    Args:
        side: +1 left, -1 right.
        elevation: 0 hangs, 90 degrees is level, 180 overhead; ``P`` radians.
        azimuth: 0 forwards, 90 degrees sideways, negative across the body.
        twist: Upper arm about itself; 0 bends the elbow forwards when the arm hangs.
    """
    rest_angle = math.radians(_REST_ARM_DEG)
    rest = torch.tensor([side * math.cos(rest_angle), math.sin(rest_angle), 0.0])
    target = torch.stack(
        [side * elevation.sin() * azimuth.sin(), -elevation.cos(), elevation.sin() * azimuth.cos()], dim=-1
    )
    # Through the hanging arm first: a direct turn from the T pose would twist arms that point forwards.
    hanging = torch.tensor([0.0, -1.0, 0.0])
    down = minimal_turn(rest, hanging.expand_as(target))
    axis_angle = minimal_turn(hanging, _avoid_poles(target))
    about_bone = axis_turn("y", -side * twist)
    wanted = axis_angle @ about_bone @ down
    lift = torch.asin(target[..., 1].clamp(-0.999, 0.999)) - rest_angle
    collar = axis_turn("z", side * COLLAR_SHARE * torch.where(lift > 0, lift, 0.25 * lift))
    return collar, collar.transpose(-1, -2) @ wanted, axis_turn("y", -side * elbow)


def _avoid_poles(target: Tensor) -> Tensor:
    """Nudge directions away from straight up, where the minimal rotation from straight down is undefined."""
    nudged = target + torch.tensor([0.0, 0.0, 1e-3])
    return torch.nn.functional.normalize(nudged, dim=-1)


def set_leg(rotations: Tensor, side: int, hip: Tensor, knee: Tensor) -> None:
    """Write one leg into ``P 22 3 3``."""
    offset = 0 if side > 0 else 1
    rotations[:, 1 + offset], rotations[:, 4 + offset] = hip, knee


def set_arm(rotations: Tensor, side: int, parts: tuple[Tensor, Tensor, Tensor], where: Tensor | None = None) -> None:
    """Write one arm into ``P 22 3 3``, for all people or for those of ``where`` (``P`` bool)."""
    offset = 0 if side > 0 else 1
    for joint, part in zip((13, 16, 18), parts, strict=True):
        if where is None:
            rotations[:, joint + offset] = part
        else:
            rotations[where, joint + offset] = part[where]


def random_arm(side: int, rng: RandomSource, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Arms anywhere within rough joint limits."""
    elevation = degrees(0, 170, rng, count) * rng.uniform(0.3, 1.0, count).sqrt()
    return arm(
        side,
        elevation,
        degrees(-35, 120, rng, count),
        degrees(-60, 80, rng, count),
        degrees(0, 145, rng, count),
    )


def resting_arm(side: int, rng: RandomSource, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Arms that hang, fold, rest on the hips or hold something in front of the body."""
    kind = rng.uniform(0, 1, count)
    hangs, is_folded = kind < 0.5, kind > 0.75
    elevation = torch.where(hangs, degrees(0, 22, rng, count), degrees(10, 60, rng, count))
    azimuth = torch.where(hangs, degrees(20, 140, rng, count), degrees(-20, 95, rng, count))
    twist = torch.where(is_folded, degrees(-70, -20, rng, count), degrees(-40, 50, rng, count))
    elbow = torch.where(hangs, degrees(0, 40, rng, count), degrees(50, 135, rng, count))
    return arm(side, elevation, azimuth, twist, elbow)


def desk_arm(side: int, rng: RandomSource, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Arms of a seated person: on the table, typing, in the lap, at the chin."""
    at_chin = rng.chance(0.15, count)
    elevation = torch.where(at_chin, degrees(35, 75, rng, count), degrees(2, 60, rng, count))
    elbow = torch.where(at_chin, degrees(110, 145, rng, count), degrees(35, 115, rng, count))
    return arm(side, elevation, degrees(-15, 70, rng, count), degrees(-60, 25, rng, count), elbow)
