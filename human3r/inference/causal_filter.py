"""Causal filter over the people of a stream: position, distance, orientation of every bone, one shape each.

Per-frame predictions are noisy: at 30 fps their acceleration is 60 to 170 m/s², an athlete's true one 8. Every quantity
passes a g-h filter (fading memory of order one: value and rate), which follows steady motion without lag and a change
of speed about one time constant late. Bones are filtered by their orientation in the camera, because errors of
neighboring joints cancel there, and the body is placed by the mean of its trunk, where they average out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.bodies import SmplxBody
from human3r.geometry.rigid import axis_angle_from_rotation, rotation_from_axis_angle
from human3r.inference.hidden_joints import rest_weight, resting, shown_in
from human3r.inference.steady_facing import steadily_facing
from human3r.records import People, TensorRecord, concatenate
from human3r.skeleton import (
    NUM_BODY_JOINTS,
    TRUNK_JOINTS,
    Joint,
    body_size,
    bone_vectors,
    forward_kinematics,
    to_local_rotations,
)

_METERS_PER_SIZE = 1.4
"""From head to ankle of an adult: converts distances over sizes to approximate meters."""


@dataclass(frozen=True)
class CausalFilterOptions:
    """Time constants of the filters, the lag after a change of speed; 0 switches a part off."""

    rotation_s: float = 0.1
    bearing_s: float = 0.08
    """Of the direction to the body."""
    distance_s: float = 0.4
    """Of the logarithm of the distance over the body's size: 1 % of 4 m is 40 mm, but no pixel."""
    near_m: float = 4.0
    """Distance from which the time constants grow like the noise, up to ``far_factor``."""
    far_factor: float = 1.5
    rotation_knee: float = 0.5
    """Radians: a bone this far from its prediction halves its time constant, so that fast limbs do not lag."""
    bearing_knee: float = 0.02
    """The same of the direction to the body."""
    max_step_s: float = 0.2
    """Rates are extrapolated for at most this long."""
    max_turn: float = 0.5
    """Radians by which one frame may change a bone's prediction for the rate; false detections differ by more."""
    log_distance_knee: float = 0.25
    """A logarithmic distance this far from its prediction halves the time constant."""
    max_speed: float = 4.0
    """Meters per second of the distance's rate at most: a run."""
    jump_m: float = 1.0
    """A body this far sideways from its prediction is another person: its filters restart."""
    shape_memory: float = 300.0
    """Length of the running mean of betas, observations."""
    forget_s: float = 1.0
    """The filters of a track restart after a longer absence."""


@dataclass(frozen=True)
class CausalFilterState(TensorRecord):
    """State of the filters of K identities; ``filter_people`` returns a new one."""

    track_id: Tensor
    """``K`` int64."""
    time_s: Tensor
    """``K`` float64, time of the last observation."""
    since_s: Tensor
    """``K`` float64, start of the filter."""
    log_distance: Tensor
    """``K`` logarithm of the anchor's distance over the body's size."""
    log_distance_rate: Tensor
    """``K`` per second."""
    bearing: Tensor
    """``K 3`` unit vector to the anchor."""
    bearing_rate: Tensor
    """``K 3`` per second."""
    orientation: Tensor
    """``K 22 3 3`` bones in the camera."""
    orientation_rate: Tensor
    """``K 22 3`` radians per second, in each bone's own axes."""
    betas: Tensor
    """``K 10`` running mean."""
    count: Tensor
    """``K`` observations in the mean."""
    rest: Tensor
    """``K 22 3 3`` mean of recent local rotations, for joints that are not shown."""
    rest_weight: Tensor
    """``K 22`` observations in it."""
    facing_doubt: Tensor
    """``K`` how sure it is who faces the camera; see ``steadily_facing``."""


def filter_people(
    people: People,
    time_s: float,
    state: CausalFilterState | None,
    body: SmplxBody,
    options: CausalFilterOptions | None = None,
    keypoints: Tensor | None = None,
) -> tuple[People, CausalFilterState]:
    """Filter the people of one frame; pure.

    Everything is filtered in the camera: a camera that turns steadily adds no lag.

    Args:
        people: The frame's people, identities given.
        time_s: Time of the frame, seconds.
        state: What the previous frame returned; None before the first.
        body: Whose bones the rotations turn.
        options: Time constants.
        keypoints: ``P 17 3`` with scores: joints that they do not show rest, and nobody turns around for a moment;
            None leaves both to the people.

    Returns:
        The filtered people, in the same order, and the new state.
    """
    options = options or CausalFilterOptions()
    if state is None or len(people) == 0 or state.track_id.numel() == 0:
        local, weight, doubt = _body(people), rest_weight(_shown(people, keypoints)), torch.zeros_like(people.score)
        return people, _remember(_observe(people, time_s, body, local, weight, doubt), state, time_s, options)
    known, row = _look_up(people.track_id, time_s, state, options)
    old = state.map(lambda values: values[row])
    age_s, doubt = (time_s - old.time_s).to(people.score), old.facing_doubt
    if keypoints is not None:
        people, keypoints, doubt = steadily_facing(people, keypoints, known, old.orientation, doubt, age_s)
    local, shown = _body(people), _shown(people, keypoints)
    calm, rest, weight = resting(local, shown, old.rest, old.rest_weight, age_s)
    rest, weight = _where(known, rest, local), _where(known, weight, rest_weight(shown))
    observed = torch.cat([_where(known, calm, local), people.joint_rotations[:, NUM_BODY_JOINTS:]], dim=1)
    fresh = _observe(replace(people, joint_rotations=observed), time_s, body, rest, weight, doubt)
    filtered, expected_aside = _advance(old, fresh, options)
    distance = old.log_distance.exp() * _size(_bones(body, old.betas))
    known &= expected_aside * distance < options.jump_m
    mixed = {
        name: _where(known, getattr(filtered, name), getattr(fresh, name))
        for name in CausalFilterState.__dataclass_fields__
    }
    after = CausalFilterState(**mixed)
    return _to_people(people, after, body, known), _remember(after, state, time_s, options)


def _body(people: People) -> Tensor:
    return people.joint_rotations[:, :NUM_BODY_JOINTS]


def _shown(people: People, keypoints: Tensor | None) -> Tensor:
    """Return ``P 22`` in [0, 1], how well the picture shows each joint."""
    return shown_in(keypoints) if keypoints is not None else torch.ones_like(_body(people)[..., 0, 0])


def _observe(
    people: People, time_s: float, body: SmplxBody, rest: Tensor, weight: Tensor, facing_doubt: Tensor
) -> CausalFilterState:
    """Write one frame's people as the state of filters that start with it."""
    bones = _bones(body, people.betas)
    orientation, joints = forward_kinematics(_body(people), bones)
    anchor = people.head_camera + joints[:, TRUNK_JOINTS].mean(1) - joints[:, Joint.HEAD]
    distance = anchor.norm(dim=-1).clamp_min(1e-3)
    time = torch.full((len(people),), time_s, dtype=torch.float64, device=people.track_id.device)
    return CausalFilterState(
        track_id=people.track_id,
        time_s=time,
        since_s=time,
        log_distance=distance.log() - _size(bones).log(),
        log_distance_rate=torch.zeros_like(distance),
        bearing=anchor / distance[:, None],
        bearing_rate=torch.zeros_like(anchor),
        orientation=orientation,
        orientation_rate=torch.zeros_like(orientation[..., 0]),
        betas=people.betas,
        count=torch.ones_like(people.score),
        rest=rest,
        rest_weight=weight,
        facing_doubt=facing_doubt,
    )


def _bones(body: SmplxBody, betas: Tensor) -> Tensor:
    """Return ``P 22 3`` vectors from each joint's parent at rest."""
    return bone_vectors(body.rest_joints(betas, torch.zeros_like(betas))[:, :NUM_BODY_JOINTS])


def _size(bones: Tensor) -> Tensor:
    """Return ``P`` lengths from head to ankle along ``P 22 3`` bones, meters."""
    return body_size(bones).clamp_min(0.1)


def _advance(
    old: CausalFilterState, fresh: CausalFilterState, options: CausalFilterOptions
) -> tuple[CausalFilterState, Tensor]:
    """Predict each filter to the new time and correct it; returns also how far aside each body came, radians."""
    age = (fresh.time_s - old.time_s).clamp_min(1e-4).to(torch.float32)
    elapsed = (fresh.time_s - old.since_s).to(torch.float32)
    ahead = age.clamp_max(options.max_step_s)
    slower = (old.log_distance.exp() * _METERS_PER_SIZE / options.near_m).clamp(1.0, options.far_factor)

    def gains(constant_s: Tensor) -> tuple[Tensor, Tensor]:
        # A new filter follows fast at first, since its rate is unknown.
        shape = (-1, *[1] * (constant_s.ndim - 1))
        constant = torch.minimum(constant_s * slower.view(shape), 0.5 * elapsed.view(shape)).clamp_min(1e-6)
        keep = torch.exp(-age.view(shape) / constant)
        return 1 - keep.square(), (1 - keep).square() / age.view(shape)

    log_distance = old.log_distance + ahead * old.log_distance_rate
    miss = fresh.log_distance - log_distance
    astray = 1 + (miss / options.log_distance_knee).square()
    position_gain, rate_gain = gains(options.distance_s / astray)
    log_distance = log_distance + position_gain * miss
    fastest = options.max_speed / (log_distance.exp() * _METERS_PER_SIZE)
    log_distance_rate = (old.log_distance_rate + rate_gain * miss / astray).clamp(-fastest, fastest)

    bearing = old.bearing + ahead[:, None] * old.bearing_rate
    aside = fresh.bearing - bearing
    astray = 1 + (aside.norm(dim=-1) / options.bearing_knee).square()
    position_gain, rate_gain = (gain[:, None] for gain in gains(options.bearing_s / astray))
    bearing, bearing_rate = bearing + position_gain * aside, old.bearing_rate + rate_gain * aside

    orientation = old.orientation @ rotation_from_axis_angle(ahead[:, None, None] * old.orientation_rate)
    turn = axis_angle_from_rotation(orientation.transpose(-1, -2) @ fresh.orientation)
    angle = turn.norm(dim=-1, keepdim=True)
    astray = 1 + (angle[..., 0] / options.rotation_knee).square()
    position_gain, rate_gain = (gain[..., None] for gain in gains(options.rotation_s / astray))
    # Near half a turn the shortest path is arbitrary; a flip is applied at once instead of rotated through.
    flips = angle > 0.9 * math.pi
    limited = turn * (options.max_turn / angle.clamp_min(options.max_turn))
    corrected = orientation @ rotation_from_axis_angle(position_gain * turn)
    rate = torch.where(flips, torch.zeros_like(turn), old.orientation_rate + rate_gain * limited)

    count = (old.count + 1).clamp(max=options.shape_memory)
    filtered = CausalFilterState(
        track_id=fresh.track_id,
        time_s=fresh.time_s,
        since_s=old.since_s,
        log_distance=log_distance,
        log_distance_rate=log_distance_rate,
        bearing=bearing / bearing.norm(dim=-1, keepdim=True).clamp_min(1e-6),
        bearing_rate=bearing_rate,
        orientation=torch.where(flips[..., None], fresh.orientation, corrected),
        orientation_rate=rate,
        betas=old.betas + (fresh.betas - old.betas) / count[:, None],
        count=count,
        rest=fresh.rest,
        rest_weight=fresh.rest_weight,
        facing_doubt=fresh.facing_doubt,
    )
    return filtered, aside.norm(dim=-1)


def _to_people(people: People, after: CausalFilterState, body: SmplxBody, known: Tensor) -> People:
    """Write filtered bodies as people; newcomers are unchanged to the bit."""
    local = to_local_rotations(after.orientation)
    rotations = torch.cat([local, people.joint_rotations[:, NUM_BODY_JOINTS:]], dim=1)
    bones = _bones(body, after.betas)
    _, joints = forward_kinematics(local, bones)
    distance = after.log_distance.exp() * _size(bones)
    head = after.bearing * distance[:, None] + joints[:, Joint.HEAD] - joints[:, TRUNK_JOINTS].mean(1)
    return replace(
        people,
        joint_rotations=_where(known, rotations, people.joint_rotations),
        betas=_where(known, after.betas, people.betas),
        head_camera=_where(known, head, people.head_camera),
    )


def _where(chosen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(chosen.reshape(-1, *[1] * (first.ndim - 1)), first, second)


def _look_up(
    track_id: Tensor, time_s: float, state: CausalFilterState, options: CausalFilterOptions
) -> tuple[Tensor, Tensor]:
    """Return which people have filters, and their rows in ``state``."""
    same = track_id[:, None] == state.track_id[None]
    row = same.to(torch.uint8).argmax(dim=1)
    return same.any(dim=1) & (time_s - state.time_s[row] <= options.forget_s), row


def _remember(
    fresh: CausalFilterState, state: CausalFilterState | None, time_s: float, options: CausalFilterOptions
) -> CausalFilterState:
    """Join the identities of this frame with recent ones; those absent for longer than a second are dropped."""
    if state is None:
        return fresh
    gone = (state.track_id[:, None] == fresh.track_id[None]).any(dim=1)
    if bool(gone.all()):
        return fresh
    kept = state.map(lambda values: values[~gone & (time_s - state.time_s <= options.forget_s)])
    return concatenate([fresh, kept])
