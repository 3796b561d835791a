"""An optional causal filter over the people of a stream: depth, rotations, and one shape per identity.

Per-frame people shake at 30 fps mostly in depth (1 % of 4 m is 40 mm). One-pole filters with fixed constants follow
a steady motion late by about that constant: 0.25 s in depth, 30 ms in rotation. Nothing waits for later frames.
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
    """Of the logarithm of the head's distance along its line of sight."""
    rotation_s: float = 0.03
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

    Only distance along the line of sight is filtered: the image fixes the other two directions. Rotations are filtered
    in the camera, so a camera that turns fast adds to their lag.

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
        people.joint_rotations,
        people.betas,
        torch.ones_like(people.score),
    )
    if state is None or not bool(known.any()):
        return people, _remember(fresh, state, time_s, options)
    old = state.map(lambda values: values[row])
    # A filter of time constant s moves by 1 - exp(-dt / s); newcomers move all the way.
    along = torch.where(known, _gain(age, options.depth_s), 1.0)
    turn = torch.where(known, _gain(age, options.rotation_s), 1.0)
    log_distance = old.log_distance + along * (fresh.log_distance - old.log_distance)
    rotations = _turn_towards(old.joint_rotations, people.joint_rotations, turn)
    count = torch.where(known, (old.count + 1).clamp(max=options.shape_memory), 1.0)
    betas = torch.where(known[:, None], old.betas + (people.betas - old.betas) / count[:, None], people.betas)
    head = people.head_camera * (log_distance.exp() / distance)[:, None]
    smoothed = replace(people, joint_rotations=rotations, betas=betas, head_camera=head)
    fresh = SmoothingState(fresh.track_id, fresh.time_s, log_distance, rotations, betas, count)
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


def _gain(age: Tensor, constant_s: float) -> Tensor:
    return 1 - torch.exp(-age / constant_s) if constant_s > 0 else torch.ones_like(age)


def _turn_towards(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Go from rotations ``P J 3 3`` the ``share`` (``P``) of the shortest way to others."""
    way = roma.rotmat_to_rotvec(start.transpose(-1, -2) @ end)
    angle = way.norm(dim=-1)
    # Near half a turn the shortest way is a coin toss; a flip is then taken at once instead of spun through.
    share = torch.where(angle > 0.9 * math.pi, 1.0, share[:, None])
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
