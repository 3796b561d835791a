"""Fingers of people who are large enough: scheduling, acceptance and filtering of hand detections.

Small, hidden or uncertain hands have the body's mean pose; transitions to and from it are gradual.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.bodies import SmplxBody
from human3r.bodies.placement import joints_at_head
from human3r.geometry.camera import project
from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.models.compact.people.hands.hand_detector import HAND_PER_FOREARM, forearm_squares
from human3r.models.signatures import HandDetector
from human3r.records import People, TensorRecord
from human3r.skeleton import NUM_BODY_JOINTS, Joint

_ELBOWS = (Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW)
_WRISTS = (Joint.LEFT_WRIST, Joint.RIGHT_WRIST)
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
    filter_s: float = 0.1
    """Time constant of the fingers' low-pass filter."""
    fade_s: float = 0.3
    """Duration of a transition from the mean pose to a found one, or back."""
    forget_s: float = 1.0
    """Hands of people absent for longer start with the mean pose."""


@dataclass(frozen=True)
class HandStates(TensorRecord):
    """Hands (left, right) of K identities."""

    track_id: Tensor
    """``K`` int64."""
    time_s: Tensor
    """``K`` float64, last frame with the identity."""
    examined_s: Tensor
    """``K 2`` float64, last examination."""
    is_found: Tensor
    """``K 2`` bool, in the last examination."""
    target: Tensor
    """``K 2 15 3`` rotation vectors of the fingers in the last examination that found them."""
    pose: Tensor
    """``K 2 15 3`` filtered."""
    share: Tensor
    """``K 2`` of ``pose`` in the output; the rest is the mean pose."""


@dataclass(frozen=True)
class SeenHands(TensorRecord):
    """Where the hands of P people (left, right) are in the source frame, by their bodies."""

    elbow_px: Tensor
    """``P 2 2``"""
    wrist_px: Tensor
    """``P 2 2``"""
    length_px: Tensor
    """``P 2`` from wrist to fingertip if parallel to the image plane; 0 where the wrist is outside of the frame."""


def see_hands(people: People, K: Tensor, image_size: tuple[int, int], body: SmplxBody) -> SeenHands:
    """Project the forearms of P people; ``K`` is ``3 3`` of the source frame of ``image_size`` (height, width)."""
    joints = joints_at_head(body, people.joint_rotations, people.head_camera, people.betas, people.expression)
    joints = joints[:, [*_ELBOWS, *_WRISTS]]
    joints[..., 2].clamp_(min=_NEAR_M)
    elbow_px, wrist_px = project(joints, K).split(2, dim=1)
    forearm_m = (joints[:, 2:] - joints[:, :2]).norm(dim=-1)
    length_px = HAND_PER_FOREARM * forearm_m * K[0, 0] / joints[:, 2:, 2]
    height, width = image_size
    is_inside = ((wrist_px >= 0) & (wrist_px < wrist_px.new_tensor([width, height]))).all(dim=-1)
    return SeenHands(elbow_px, wrist_px, torch.where(is_inside, length_px, 0.0))


class HandTracker:
    """Poses the fingers of the people of a stream; stateless itself.

    Args:
        detector: The hand network.
        body: The people's body.
        options: Cost and thresholds.
    """

    def __init__(self, detector: HandDetector, body: SmplxBody, options: HandOptions) -> None:
        self._detector, self._options, self._mean = detector, options, body.hand_means

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
        """Pose the fingers of one frame's people.

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
        examined = self._examine(before, seen, image, time_s, most)
        passed = (time_s - before.time_s).clamp_min(_SMALLEST_STEP_S).float()[:, None]
        change = torch.where(examined.is_found, passed, -passed) / options.fade_s
        gain = (1 - torch.exp(-passed / options.filter_s))[..., None, None]
        # A pose that the output does not contain yet has nothing to be continuous with.
        pose = torch.where((before.share > 0)[..., None, None], before.pose, examined.target)
        after = replace(
            examined,
            time_s=torch.full_like(before.time_s, time_s),
            pose=pose + gain * (examined.target - pose),
            share=(before.share + change).clamp(0.0, 1.0),
        )
        output = self._mean + (after.share.square() * (3 - 2 * after.share))[..., None, None] * (
            after.pose - self._mean
        )
        fingers = rotation_from_axis_angle(output).flatten(1, 2)
        first, last = NUM_BODY_JOINTS, NUM_BODY_JOINTS + 2 * _NUM_FINGER_JOINTS
        rotations = people.joint_rotations
        rotations = torch.cat([rotations[:, :first], fingers.to(rotations.dtype), rotations[:, last:]], dim=1)
        return replace(people, joint_rotations=rotations), self._remember(after, states, time_s)

    def _recall(self, track_id: Tensor, time_s: float, states: HandStates | None) -> HandStates:
        """Return the states of P people; newcomers have the mean pose."""
        count = len(track_id)
        fresh = HandStates(
            track_id=track_id,
            time_s=torch.full((count,), time_s, dtype=torch.float64),
            examined_s=torch.full((count, 2), -torch.inf, dtype=torch.float64),
            is_found=torch.zeros(count, 2, dtype=torch.bool),
            target=self._mean.expand(count, -1, -1, -1).clone(),
            pose=self._mean.expand(count, -1, -1, -1).clone(),
            share=torch.zeros(count, 2),
        )
        if states is None or len(states.track_id) == 0 or count == 0:
            return fresh
        same = (track_id[:, None] == states.track_id[None]) & (time_s - states.time_s <= self._options.forget_s)
        known, row = same.any(dim=1), same.to(torch.uint8).argmax(dim=1)
        for old_row, new_row in zip(row[known].tolist(), known.nonzero()[:, 0].tolist(), strict=True):
            for name, values in vars(fresh).items():
                values[new_row] = getattr(states, name)[old_row]
        return fresh

    def _examine(self, before: HandStates, seen: SeenHands, image: Tensor, time_s: float, max_hands: int) -> HandStates:
        """Run the network on the scheduled hands."""
        options = self._options
        # The tolerance lets a period of exactly the interval pass despite rounding.
        waited = time_s - before.examined_s + 1e-6
        is_large = seen.length_px >= torch.where(before.is_found, options.length_px[1], options.length_px[0])
        is_due = is_large & (waited >= options.interval_s)
        is_found, target = before.is_found & is_large, before.target.clone()
        examined_s = before.examined_s.clone()
        order = torch.argsort(torch.where(is_due, waited, -torch.inf).flatten(), descending=True, stable=True)
        rows = order[: min(int(is_due.sum()), max_hands)]
        if len(rows):
            people, sides = rows // 2, rows % 2
            elbow_px, wrist_px, length_px = (values[people, sides] for values in vars(seen).values())
            found = self._detector(image, forearm_squares(elbow_px, wrist_px, length_px), sides == 1)
            least = torch.where(before.is_found[people, sides], options.presence[1], options.presence[0])
            is_hand = (found.presence >= least) & (found.own_side >= options.side)
            target[people, sides] = torch.where(is_hand[:, None, None], found.fingers, target[people, sides])
            is_found[people, sides] = is_hand
            examined_s[people, sides] = time_s
        return replace(before, is_found=is_found, target=target, examined_s=examined_s)

    def _remember(self, after: HandStates, states: HandStates | None, time_s: float) -> HandStates:
        """Join the hands of this frame's people with those of people seen lately."""
        if states is None:
            return after
        gone = (states.track_id[:, None] == after.track_id[None]).any(dim=1)
        kept = ~gone & (time_s - states.time_s <= self._options.forget_s)
        return HandStates(
            **{name: torch.cat([values, getattr(states, name)[kept]]) for name, values in vars(after).items()}
        )
