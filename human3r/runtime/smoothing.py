"""An optional causal filter over the people of a stream: depth, rotations, and one shape per identity.

Per-frame people shake at 30 fps mostly in depth (1 % of 4 m is 40 mm). Depth, rotations and the line of sight pass
one-pole filters that are slow while little moves and fast when more does: a change of depth is followed about 0.25 s
late, a moving limb 30 ms, a person who walks across by a pixel or so. Nothing waits for later frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import roma
import torch
from torch import Tensor

from human3r.records import People, TensorRecord


@dataclass(frozen=True)
class SmoothingOptions:
    """Time constants; 0 switches a part off."""

    depth_s: float = 0.25
    """Of the logarithm of the head's distance along its line of sight, when it changes."""
    still_depth_s: float = 0.6
    """The same while it stays within ``depth_knee``."""
    depth_knee: float = 0.03
    rotation_s: float = 0.03
    """Of a joint that moves."""
    still_rotation_s: float = 0.12
    """Of a joint that stays within ``rotation_knee`` of its filtered self."""
    rotation_knee: float = 0.08
    """Radians; about the per-frame noise of a joint."""
    still_bearing_s: float = 0.1
    """Of the direction to the head while it stays within ``bearing_knee``; beyond, it is not filtered."""
    bearing_knee: float = 0.003
    """Radians; about a pixel of the network."""
    shape_memory: float = 300.0
    """Observations that the running mean of betas remembers."""
    forget_s: float = 1.0
    """A track unseen for longer starts anew."""


@dataclass(frozen=True)
class SmoothingState(TensorRecord):
    """What is remembered of K identities; frozen, ``smooth_people`` returns a new one."""

    track_id: Tensor
    """``K`` int64."""
    time_s: Tensor
    """``K`` float64, when last seen."""
    log_distance: Tensor
    """``K``"""
    bearing: Tensor
    """``K 3`` unit vector to the head."""
    joint_rotations: Tensor
    """``K J 3 3``"""
    betas: Tensor
    """``K 10`` running mean."""
    count: Tensor
    """``K`` observations in the mean."""


def smooth_people(
    people: People, time_s: float, state: SmoothingState | None, options: SmoothingOptions | None = None
) -> tuple[People, SmoothingState]:
    """Filter the people of one frame; pure.

    Everything is filtered in the camera, so a camera that turns adds to the lag.

    Args:
        people: The frame's people, identities given.
        time_s: Time of the frame, seconds.
        state: What the previous frame returned; None before the first.
        options: Time constants.

    Returns:
        The filtered people, in the same order, and the new state.
    """
    options = options or SmoothingOptions()
    distance = people.head_camera.norm(dim=-1).clamp_min(1e-3)
    known, row, age = _look_up(people.track_id, time_s, state, options)
    fresh = SmoothingState(
        people.track_id,
        torch.full((len(people),), time_s, dtype=torch.float64, device=people.track_id.device),
        distance.log(),
        people.head_camera / distance[:, None],
        people.joint_rotations,
        people.betas,
        torch.ones_like(people.score),
    )
    if state is None or not bool(known.any()):
        return people, _remember(fresh, state, time_s, options)
    old = state.map(lambda values: values[row])
    # A filter of time constant s moves by 1 - exp(-dt / s); newcomers move all the way.
    step = fresh.log_distance - old.log_distance
    along = _gain(age, _constant(step.abs(), options.depth_s, options.still_depth_s, options.depth_knee))
    along = torch.where(known, along, 1.0)
    log_distance = old.log_distance + along * step
    rotations = _turn_towards(old.joint_rotations, people.joint_rotations, age, known, options)
    swing = (fresh.bearing - old.bearing).norm(dim=-1)
    aside = _gain(age, _constant(swing, 0.0, options.still_bearing_s, options.bearing_knee))
    bearing = old.bearing + torch.where(known, aside, 1.0)[:, None] * (fresh.bearing - old.bearing)
    bearing = bearing / bearing.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    count = torch.where(known, (old.count + 1).clamp(max=options.shape_memory), 1.0)
    betas = torch.where(known[:, None], old.betas + (people.betas - old.betas) / count[:, None], people.betas)
    head = bearing * log_distance.exp()[:, None]
    smoothed = replace(people, joint_rotations=rotations, betas=betas, head_camera=head)
    fresh = SmoothingState(fresh.track_id, fresh.time_s, log_distance, bearing, rotations, betas, count)
    return smoothed, _remember(fresh, state, time_s, options)


def _look_up(
    track_id: Tensor, time_s: float, state: SmoothingState | None, options: SmoothingOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Return which people are known, their rows in ``state``, and the seconds since they were seen."""
    if state is None or state.track_id.numel() == 0:
        known = torch.zeros_like(track_id, dtype=torch.bool)
        return known, torch.zeros_like(track_id), torch.zeros(track_id.shape, device=track_id.device)
    same = track_id[:, None] == state.track_id[None]
    row = same.to(torch.uint8).argmax(dim=1)
    age = (time_s - state.time_s[row]).clamp_min(0).to(torch.float32)
    return same.any(dim=1) & (age <= options.forget_s), row, age


def _gain(age: Tensor, constant_s: Tensor | float) -> Tensor:
    """How far a filter of that time constant moves in ``age`` seconds; without a constant, all the way."""
    return 1 - torch.exp(-age / torch.as_tensor(constant_s, device=age.device).clamp_min(1e-6))


def _constant(offset: Tensor, moving_s: float, still_s: float, knee: float) -> Tensor:
    """Time constant for an offset between the filter and what it follows."""
    return moving_s + (still_s - moving_s) * torch.exp(-((offset / knee) ** 2))


def _turn_towards(start: Tensor, end: Tensor, age: Tensor, known: Tensor, options: SmoothingOptions) -> Tensor:
    """Go from rotations ``P J 3 3`` a part of the shortest way to others; newcomers and flips go all of it."""
    way = roma.rotmat_to_rotvec(start.transpose(-1, -2) @ end)
    angle = way.norm(dim=-1)
    constant = _constant(angle, options.rotation_s, options.still_rotation_s, options.rotation_knee)
    share = _gain(age[:, None], constant)
    # Near half a turn the shortest way is a coin toss; a flip is then taken at once instead of spun through.
    share = torch.where((angle > 0.9 * math.pi) | ~known[:, None], 1.0, share)
    return start @ roma.rotvec_to_rotmat(way * share[..., None])


def _remember(
    fresh: SmoothingState, state: SmoothingState | None, time_s: float, options: SmoothingOptions
) -> SmoothingState:
    """Join those seen now with those seen lately: the state never holds more than a second of identities."""
    if state is None:
        return fresh
    gone = (state.track_id[:, None] == fresh.track_id[None]).any(dim=1)
    kept = state.map(lambda values: values[~gone & (time_s - state.time_s <= options.forget_s)])
    joined = {
        name: torch.cat([getattr(fresh, name), getattr(kept, name)]) for name in SmoothingState.__dataclass_fields__
    }
    return SmoothingState(**joined)
