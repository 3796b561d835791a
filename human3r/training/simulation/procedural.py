"""Poses that free motion files lack: mostly seated people, then standing, squats, lunges, bends, lying.

Every function returns ``P 22 3 3`` local rotations whose root is upright and faces +z, before yaw and joint noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from human3r.training.simulation.limbs import (
    degrees,
    desk_arm,
    leg,
    random_arm,
    resting_arm,
    set_arm,
    set_leg,
)
from human3r.training.simulation.rotations import RandomSource, axis_turn


def _identity(count: int) -> Tensor:
    return torch.eye(3).expand(count, 22, 3, 3).clone()


def _bend_spine(rotations: Tensor, flexion: Tensor, twist: Tensor, side_bend: Tensor) -> None:
    """Distribute a trunk bend (``P`` radians each) over the three spine joints."""
    for joint, share in ((3, 0.35), (6, 0.35), (9, 0.3)):
        turn = axis_turn("x", share * flexion) @ axis_turn("y", share * twist) @ axis_turn("z", share * side_bend)
        rotations[:, joint] = turn


def _turn_head(rotations: Tensor, pitch: Tensor, yaw: Tensor) -> None:
    for joint in (12, 15):
        rotations[:, joint] = axis_turn("y", 0.5 * yaw) @ axis_turn("x", 0.5 * pitch)


def _tilt_root(rotations: Tensor, pitch: Tensor) -> None:
    rotations[:, 0] = axis_turn("x", pitch)


def _mixed_arms(rotations: Tensor, rng: RandomSource, shares: tuple[float, float]) -> None:
    """Write both arms: at a desk, anywhere, or resting; ``shares`` are those of the first two."""
    count = rotations.shape[0]
    for side in (1, -1):
        kind = rng.uniform(0, 1, count)
        set_arm(rotations, side, resting_arm(side, rng, count))
        set_arm(rotations, side, desk_arm(side, rng, count), kind < shares[0])
        set_arm(rotations, side, random_arm(side, rng, count), (kind >= shares[0]) & (kind < sum(shares)))


def seated(rng: RandomSource, count: int) -> Tensor:
    """People on chairs, stools and floors: thighs about level, shins down, under the seat or stretched."""
    rotations = _identity(count)
    tilt = degrees(-28, 12, rng, count)
    _tilt_root(rotations, tilt)
    on_floor, on_stool = rng.chance(0.06, count), rng.chance(0.10, count)
    level = torch.where(on_stool, degrees(45, 70, rng, count), degrees(74, 100, rng, count))
    level = torch.where(on_floor, degrees(80, 125, rng, count), level)
    stretched, tucked = rng.chance(0.2, count), rng.chance(0.2, count)
    spread = degrees(-4, 24, rng, count)
    for side in (1, -1):
        thigh = level + rng.normal(0.08, count)
        # The thigh's angle is relative to the world, the hip's to the tilted pelvis.
        flexion = thigh + tilt
        shin = torch.where(stretched, degrees(20, 60, rng, count), degrees(78, 102, rng, count))
        shin = torch.where(tucked, degrees(100, 130, rng, count), shin)
        shin = torch.where(on_floor, degrees(0, 130, rng, count), shin) + rng.normal(0.08, count)
        hip, knee = leg(side, flexion, spread + rng.normal(0.06, count), degrees(-12, 22, rng, count), shin)
        set_leg(rotations, side, hip, knee)
        offset = 0 if side > 0 else 1
        rotations[:, 7 + offset] = axis_turn("x", (shin - thigh).clamp(-0.5, 0.5) + rng.normal(0.12, count))
    crossed = rng.chance(0.12, count)
    hip, knee = leg(1, level + tilt + 0.25, degrees(-22, -8, rng, count), degrees(0, 10, rng, count), level * 0.9)
    rotations[crossed, 1], rotations[crossed, 4] = hip[crossed], knee[crossed]
    forwards = degrees(-6, 50, rng, count) * rng.uniform(0.2, 1.0, count) - 0.6 * tilt
    _bend_spine(rotations, forwards, degrees(-25, 25, rng, count), degrees(-12, 12, rng, count))
    _turn_head(rotations, degrees(-20, 45, rng, count), degrees(-60, 60, rng, count))
    _mixed_arms(rotations, rng, (0.65, 0.15))
    return rotations


def standing(rng: RandomSource, count: int) -> Tensor:
    """Standing people: weight on one leg, feet apart, sometimes one knee raised."""
    rotations = _identity(count)
    _tilt_root(rotations, degrees(-4, 8, rng, count))
    lifted = rng.chance(0.18, count)
    for side in (1, -1):
        raised = lifted & (side > 0)
        flexion = torch.where(raised, degrees(0, 110, rng, count), degrees(-8, 12, rng, count))
        bend = torch.where(raised, degrees(10, 130, rng, count), degrees(0, 18, rng, count))
        abduction = torch.where(raised, degrees(-5, 50, rng, count), degrees(-10, 10, rng, count))
        hip, knee = leg(side, flexion, abduction, degrees(-10, 25, rng, count), bend)
        set_leg(rotations, side, hip, knee)
    _bend_spine(rotations, degrees(-6, 22, rng, count), degrees(-25, 25, rng, count), degrees(-10, 10, rng, count))
    _turn_head(rotations, degrees(-20, 45, rng, count), degrees(-65, 65, rng, count))
    _mixed_arms(rotations, rng, (0.1, 0.25))
    return rotations


def squatting(rng: RandomSource, count: int) -> Tensor:
    """Knees and hips bent over the feet, half to full depth, symmetric or as a lunge."""
    rotations = _identity(count)
    lean = degrees(0, 45, rng, count)
    _tilt_root(rotations, lean)
    depth = rng.uniform(0.2, 1.0, count)
    is_lunge = rng.chance(0.3, count)
    spread, toes = degrees(2, 28, rng, count), degrees(0, 30, rng, count)
    for side in (1, -1):
        thigh = depth * degrees(75, 115, rng, count)
        shin_lean = depth * degrees(5, 35, rng, count)
        thigh = torch.where(is_lunge & (side < 0), degrees(-45, 5, rng, count), thigh)
        shin_lean = torch.where(is_lunge & (side < 0), degrees(30, 90, rng, count), shin_lean)
        hip, knee = leg(side, thigh + lean, spread, toes, (thigh + shin_lean).clamp_min(0))
        set_leg(rotations, side, hip, knee)
        rotations[:, (7 if side > 0 else 8)] = axis_turn("x", -shin_lean.clamp(-0.2, 0.7))
    _bend_spine(rotations, degrees(-15, 25, rng, count), degrees(-15, 15, rng, count), degrees(-8, 8, rng, count))
    _turn_head(rotations, degrees(-40, 25, rng, count), degrees(-40, 40, rng, count))
    _mixed_arms(rotations, rng, (0.2, 0.35))
    return rotations


def bending(rng: RandomSource, count: int) -> Tensor:
    """People who bend down, reach or kneel: straight or half bent legs, trunk leaning forward, hands low."""
    rotations = _identity(count)
    tilt = degrees(10, 65, rng, count)
    _tilt_root(rotations, tilt)
    bend = degrees(0, 60, rng, count)
    kneels = rng.chance(0.25, count)
    for side in (1, -1):
        thigh = torch.where(kneels, degrees(-5, 60, rng, count), 0.45 * bend + rng.normal(0.08, count))
        shin = torch.where(kneels, degrees(85, 140, rng, count), bend + rng.normal(0.08, count).abs())
        hip, knee = leg(side, thigh + tilt, degrees(-3, 18, rng, count), degrees(-5, 20, rng, count), shin)
        set_leg(rotations, side, hip, knee)
    _bend_spine(rotations, degrees(0, 55, rng, count), degrees(-30, 30, rng, count), degrees(-15, 15, rng, count))
    _turn_head(rotations, degrees(-55, 20, rng, count), degrees(-45, 45, rng, count))
    _mixed_arms(rotations, rng, (0.2, 0.6))
    return rotations


def lying(rng: RandomSource, count: int) -> Tensor:
    """Relaxed poses, lying on the back, belly or side."""
    rotations = standing(rng, count)
    roll = rng.uniform(-3.1416, 3.1416, count)
    lay = axis_turn("x", torch.full((count,), -1.5708) + rng.normal(0.25, count))
    rotations[:, 0] = lay @ axis_turn("y", roll) @ rotations[:, 0]
    return rotations
