"""Wrists and fingers of people who are large enough: scheduling, acceptance and filtering of hand detections.

Small, hidden or uncertain hands are relaxed, with the wrist that the network gave; transitions are gradual.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from human3r.bodies import SmplxBody
from human3r.bodies.hands import WristTurns, limit_turns, relaxed_hands
from human3r.bodies.placement import joints_at_head
from human3r.geometry.camera import project
from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.models.compact.people.hands.hand_detector import HAND_PER_FOREARM, forearm_squares
from human3r.models.compact.people.lifting.keypoint_encoder import look_at
from human3r.models.signatures import HandDetector
from human3r.records import People, TensorRecord
from human3r.skeleton import NUM_BODY_JOINTS, Joint, forward_kinematics

_ELBOWS, _WRISTS = slice(Joint.LEFT_ELBOW, Joint.LEFT_WRIST), slice(Joint.LEFT_WRIST, NUM_BODY_JOINTS)
_NUM_FINGER_JOINTS = 15
_SMALLEST_STEP_S = 1e-3
_NEAR_M = 0.1


@dataclass(frozen=True)
class HandOptions:
    """Cost and thresholds; of two values, the first is for a new hand, the second for a hand found before."""

    interval_s: float = 0.13
    """A hand is examined at most so often, by two passes of the hand network: every fourth frame of 30 per second."""
    max_per_s: float = 30.0
    """Examinations per second of the stream, but at least one per frame, longest waiting first."""
    length_px: tuple[float, float] = (45.0, 38.0)
    """Smallest hand, from wrist to fingertip, in source pixels. Source: the network finds 85 % of hands of 45 to 70
    pixels and 52 % of 30 to 45."""
    presence: tuple[float, float] = (0.6, 0.4)
    """Smallest probability that there is a hand."""
    side: float = 0.3
    """Smallest probability that it is of the expected side."""
    wrist_side: float = 0.5
    """The same for the wrist: palm and back of a hand of the other side are exchanged."""
    wrist_excess: float = 0.35
    """Radians by which a wrist may exceed the ranges of its joints; those that exceed them more are wrong. Source:
    rendered hands, errors of 130 degrees beyond, of 22 below."""
    wrist_error: float = 0.35
    """Radians that found turns are wrong: differences from the network's wrist that are smaller count little, larger
    ones nearly all. Source: rendered hands with random wrists and with wrists at rest."""
    wrist_step: float = 1.0
    """Radians that a wrist's turns may differ from those of the examination before; it keeps its own where they differ
    more, until the next examination agrees with the new ones."""
    filter_s: float = 0.1
    """Time constant of the low-pass filter of wrists and fingers."""
    fade_s: float = 0.3
    """Duration of a transition from the relaxed hand to a found one, or back."""
    lost_s: float = 0.3
    """A hand that was found stays for so long without being found again: one examination may miss it."""
    forget_s: float = 1.0
    """Hands of people absent for longer start relaxed."""


@dataclass(frozen=True)
class HandStates(TensorRecord):
    """Hands (left, right) of K identities."""

    track_id: Tensor
    """``K`` int64."""
    time_s: Tensor
    """``K`` float64, last frame with the identity."""
    examined_s: Tensor
    """``K 2`` float64, last examination."""
    seen_s: Tensor
    """``K 2`` float64, last examination that found the hand; minus infinity before."""
    turns: Tensor
    """``K 2 3`` of the wrist in that examination, right or wrong."""
    is_found: Tensor
    """``K 2 2`` bool, wrist and fingers, lately; a wrist stays found as long as its hand."""
    target: Tensor
    """``K 2 16 3`` found and accepted last: turns of the wrist, rotation vectors of the fingers."""
    pose: Tensor
    """``K 2 16 3`` filtered."""
    share: Tensor
    """``K 2 2`` of ``pose`` in the output, wrist and fingers; the rest is the network's wrist and relaxed fingers."""


@dataclass(frozen=True)
class SeenHands(TensorRecord):
    """Where the hands of P people (left, right) are in the source frame, by their bodies."""

    elbow_px: Tensor
    """``P 2 2``"""
    wrist_px: Tensor
    """``P 2 2``"""
    length_px: Tensor
    """``P 2`` from wrist to fingertip if parallel to the image plane; 0 where the wrist is outside of the frame."""
    R_camera_view: Tensor
    """``P 2 3 3`` from axes of a camera that looks at the wrist, as the network sees it, to those of the camera."""


def see_hands(people: People, K: Tensor, image_size: tuple[int, int], body: SmplxBody) -> SeenHands:
    """Project the forearms of P people; ``K`` is ``3 3`` of the source frame of ``image_size`` (height, width)."""
    joints = joints_at_head(body, people.joint_rotations, people.head_camera, people.betas, people.expression)
    joints = joints[:, Joint.LEFT_ELBOW : NUM_BODY_JOINTS]
    joints[..., 2].clamp_(min=_NEAR_M)
    elbow_px, wrist_px = project(joints, K).split(2, dim=1)
    forearm_m = (joints[:, 2:] - joints[:, :2]).norm(dim=-1)
    length_px = HAND_PER_FOREARM * forearm_m * K[0, 0] / joints[:, 2:, 2]
    height, width = image_size
    is_inside = ((wrist_px >= 0) & (wrist_px < wrist_px.new_tensor([width, height]))).all(dim=-1)
    rays = joints[:, 2:, :2] / joints[:, 2:, 2:]
    R_camera_view = look_at(rays.flatten(0, 1)).unflatten(0, rays.shape[:2])
    return SeenHands(elbow_px, wrist_px, torch.where(is_inside, length_px, 0.0), R_camera_view)


class HandTracker:
    """Poses the wrists and fingers of the people of a stream; stateless itself.

    Args:
        detector: The hand network.
        body: The people's body.
        options: Cost and thresholds.
    """

    def __init__(self, detector: HandDetector, body: SmplxBody, options: HandOptions) -> None:
        self._detector, self._options = detector, options
        self._wrists, self._relaxed = WristTurns(body), relaxed_hands()
        self._fresh = functional.pad(self._relaxed, (0, 0, 1, 0))

    def advance(
        self,
        people: People,
        seen: SeenHands,
        image: Tensor,
        time_s: float,
        states: HandStates | None,
        *,
        examines: bool = True,
    ) -> tuple[People, HandStates]:
        """Pose wrists and fingers of one frame's people.

        Args:
            people: Identities given.
            seen: The same people's hands.
            image: ``H W 3`` uint8, the source frame.
            time_s: Of the frame, seconds.
            states: What the previous frame returned; None before the first.
            examines: False looks at no hand in this frame.
        """
        options = self._options
        before = self._recall(people.track_id, time_s, states)
        since_s = time_s - float(states.time_s.max()) if states is not None and len(states.time_s) else 0.0
        most = max(1, round(options.max_per_s * since_s)) if examines else 0
        examined = self._examine(before, people, seen, image, time_s, most)
        passed = (time_s - before.time_s).clamp_min(_SMALLEST_STEP_S).float()[:, None, None]
        change = torch.where(examined.is_found, passed, -passed) / options.fade_s
        gain = (1 - torch.exp(-passed / options.filter_s))[..., None]
        # A pose that the output does not contain yet has nothing to be continuous with.
        pose = torch.where(_by_joint(before.share > 0), before.pose, examined.target)
        after = replace(
            examined,
            time_s=torch.full_like(before.time_s, time_s),
            pose=pose + gain * (examined.target - pose),
            share=(before.share + change).clamp(0.0, 1.0),
        )
        share = after.share.square() * (3 - 2 * after.share)
        return self._pose(people, after.pose, share), self._remember(after, states, time_s)

    def _pose(self, people: People, found: Tensor, share: Tensor) -> People:
        """Return people with wrists and fingers between their own (share 0) and the found (1), ``P 2 16 3``."""
        rotations, end = people.joint_rotations, NUM_BODY_JOINTS + 2 * _NUM_FINGER_JOINTS
        fingers = self._relaxed + share[..., 1:, None] * (found[..., 1:, :] - self._relaxed)
        arms = [rotations[:, _ELBOWS], rotations[:, _WRISTS]]
        if share[..., 0].any():
            own = self._wrists.turns(*arms)
            change = found[..., 0, :] - own
            squared = change.square().sum(-1)
            # Wiener's gain of a signal with noise.
            turned = share[..., 0] * squared / (squared + self._options.wrist_error**2)
            arms = self._wrists.turned(arms[0], own + turned[..., None] * change, turned)
        parts = [rotations[:, : Joint.LEFT_ELBOW], *arms, rotation_from_axis_angle(fingers).flatten(1, 2)]
        return replace(people, joint_rotations=torch.cat([*parts, rotations[:, end:]], dim=1))

    def _recall(self, track_id: Tensor, time_s: float, states: HandStates | None) -> HandStates:
        """Return the states of P people; newcomers have relaxed hands."""
        count = len(track_id)
        pose = self._fresh.expand(count, -1, -1, -1)
        fresh = HandStates(
            track_id=track_id,
            time_s=torch.full((count,), time_s, dtype=torch.float64),
            examined_s=torch.full((count, 2), -torch.inf, dtype=torch.float64),
            seen_s=torch.full((count, 2), -torch.inf, dtype=torch.float64),
            turns=torch.zeros(count, 2, 3),
            is_found=torch.zeros(count, 2, 2, dtype=torch.bool),
            target=pose.clone(),
            pose=pose.clone(),
            share=torch.zeros(count, 2, 2),
        )
        if states is None or len(states.track_id) == 0 or count == 0:
            return fresh
        same = (track_id[:, None] == states.track_id[None]) & (time_s - states.time_s <= self._options.forget_s)
        known, row = same.any(dim=1), same.to(torch.uint8).argmax(dim=1)
        for old_row, new_row in zip(row[known].tolist(), known.nonzero()[:, 0].tolist(), strict=True):
            for name, values in vars(fresh).items():
                values[new_row] = getattr(states, name)[old_row]
        return fresh

    def _examine(
        self, before: HandStates, people: People, seen: SeenHands, image: Tensor, time_s: float, max_hands: int
    ) -> HandStates:
        """Run the network on the scheduled hands."""
        options = self._options
        # The tolerance lets a period of exactly the interval pass despite rounding.
        waited = time_s - before.examined_s + 1e-6
        was_found = before.is_found[..., 1]
        is_large = seen.length_px >= torch.where(was_found, options.length_px[1], options.length_px[0])
        is_due = is_large & (waited >= options.interval_s)
        is_found, target = before.is_found & is_large[..., None], before.target.clone()
        examined_s, seen_s, last_turns = before.examined_s.clone(), before.seen_s.clone(), before.turns.clone()
        order = torch.argsort(torch.where(is_due, waited, -torch.inf).flatten(), descending=True, stable=True)
        rows = order[: min(int(is_due.sum()), max_hands)]
        if len(rows):
            at = rows // 2, rows % 2
            squares = forearm_squares(seen.elbow_px[at], seen.wrist_px[at], seen.length_px[at])
            found = self._detector(image, squares, at[1] == 1)
            is_hand = found.presence >= torch.where(was_found[at], options.presence[1], options.presence[0])
            is_hand &= found.own_side >= options.side
            turns = self._turns(people, seen, seen.R_camera_view.index_put(at, found.R_view_hand))[at]
            limited = limit_turns(turns)
            is_wrist = is_hand & (found.own_side >= options.wrist_side)
            is_wrist &= (turns - limited).norm(dim=-1) <= options.wrist_excess
            is_first = before.seen_s[at] == -torch.inf
            is_wrist &= is_first | ((limited - before.turns[at]).norm(dim=-1) <= options.wrist_step)
            is_new = torch.stack([is_wrist, is_hand], dim=-1)
            pose = torch.cat([limited[:, None], found.fingers], dim=1)
            target[at] = torch.where(_by_joint(is_new), pose, target[at])
            examined_s[at] = time_s
            seen_s[at] = torch.where(is_hand, time_s, seen_s[at])
            last_turns[at] = torch.where(is_hand[:, None], limited, last_turns[at])
            is_kept = time_s - seen_s[at] <= options.lost_s
            is_found[at] = is_new | (is_found[at] & is_kept[:, None])
        return replace(before, is_found=is_found, target=target, examined_s=examined_s, seen_s=seen_s, turns=last_turns)

    def _turns(self, people: People, seen: SeenHands, R_view_hand: Tensor) -> Tensor:
        """Return the turns ``P 2 3`` of wrists with hands of orientation ``P 2 3 3`` as their views see them."""
        local = people.joint_rotations[:, :NUM_BODY_JOINTS]
        R_camera_forearm = forward_kinematics(local, torch.zeros_like(local[..., 0]))[0][:, _ELBOWS]
        return self._wrists.turns(local[:, _ELBOWS], R_camera_forearm.mT @ seen.R_camera_view @ R_view_hand)

    def _remember(self, after: HandStates, states: HandStates | None, time_s: float) -> HandStates:
        """Join the hands of this frame's people with those of people seen lately."""
        if states is None:
            return after
        gone = (states.track_id[:, None] == after.track_id[None]).any(dim=1)
        kept = ~gone & (time_s - states.time_s <= self._options.forget_s)
        return HandStates(
            **{name: torch.cat([values, getattr(states, name)[kept]]) for name, values in vars(after).items()}
        )


def _by_joint(values: Tensor) -> Tensor:
    """Return ``... 16 1``: the wrist's of ``... 2`` values once, the fingers' 15 times."""
    return values.repeat_interleave(torch.tensor([1, _NUM_FINGER_JOINTS]), dim=-1)[..., None]
