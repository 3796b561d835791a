"""Where somebody who was seen before should be now, and how much place and looks then say. Stateless.

For trackers whose features begin with place in the image and size, as those of ``compact`` do. Whoever was just seen is
known by place; whoever was away for long is known by looks, because anybody may come to an empty place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.records import TensorRecord


@dataclass(frozen=True)
class MotionOptions:
    """How motion and looks are remembered; features are in units of the tracker's dustbin."""

    num_place: int = 3
    """Leading numbers of a feature that move: x, y and the logarithm of the size. The rest are looks."""
    rate_s: float = 0.3
    """Time constant of the rate at which the place changes."""
    ahead_s: float = 0.5
    """Rates are not believed for longer."""
    fastest: float = 60.0
    """Largest rate of any number of the place, per second: one image side."""
    doubt_s: float = 0.5
    """After so long a place is known half as well, after twice as long a third as well."""
    most_doubt: float = 5.0
    looks_s: float = 1.0
    """Time constant of the looks: half a second behind somebody else must not become one's looks."""
    stranger_s: float = 1.0
    """After so long, looks have to agree ``stranger`` times better."""
    stranger: float = 1.6
    """Source: looks of one person differ by 2.2 (nine in ten below 3.8), of two by 6.3 (nine in ten above 5.0) in
    rendered clips; times 1.6, two people are as far apart as the dustbin is and one person is not."""


@dataclass(frozen=True)
class TrackMotion(TensorRecord):
    """Motion of the m identities of a bank."""

    rate: Tensor
    """``m num_place`` per second."""
    seen_s: Tensor
    """``m`` float64, time of the last observation."""
    count: Tensor
    """``m`` int64 observations."""

    def rows(self, chosen: Tensor | slice) -> TrackMotion:
        """Return some identities only."""
        return self.map(lambda values: values[chosen])

    def joined(self, other: TrackMotion) -> TrackMotion:
        """Return these identities and then others."""
        return TrackMotion(*(torch.cat((getattr(self, n), getattr(other, n))) for n in ("rate", "seen_s", "count")))


def begin_motion(num_people: int, time_s: float, options: MotionOptions, device: torch.device) -> TrackMotion:
    """Return the motion of people who are seen for the first time: none."""
    return TrackMotion(
        torch.zeros(num_people, options.num_place, device=device),
        torch.full((num_people,), time_s, dtype=torch.float64, device=device),
        torch.ones(num_people, dtype=torch.int64, device=device),
    )


def expected_distance(
    features: Tensor, motion: TrackMotion, current: Tensor, time_s: float, options: MotionOptions
) -> Tensor:
    """Return ``m n`` distances from where m identities should be now to n people.

    Args:
        features: ``m D`` remembered.
        motion: Of the same identities.
        current: ``n D`` features of the frame at ``time_s``.
        time_s: Seconds.
        options: Units.
    """
    away = (time_s - motion.seen_s).clamp_min(0.0).to(features.dtype)[:, None]
    split = options.num_place
    place = features[:, :split] + motion.rate * away.clamp_max(options.ahead_s)
    doubt = (1 + away / options.doubt_s).clamp_max(options.most_doubt)
    strictness = 1 + (options.stranger - 1) * (away / options.stranger_s).clamp_max(1.0)
    remembered = torch.cat((place / doubt, features[:, split:] * strictness), dim=1)
    # Every identity has its own units, so everybody is measured in the units of each.
    units = torch.cat((1 / doubt.expand(-1, split), strictness.expand(-1, features.shape[1] - split)), dim=1)
    return (remembered[:, None] - current[None] * units[:, None]).norm(dim=-1)


def remember(
    features: Tensor, motion: TrackMotion, current: Tensor, time_s: float, options: MotionOptions
) -> tuple[Tensor, TrackMotion]:
    """Add an observation to each of m identities: new place, new rate, looks as a running mean of the same length.

    Args:
        features: ``m D`` remembered.
        motion: Of the same identities.
        current: ``m D`` what each of them looks like now.
        time_s: Seconds.
        options: Time constants.
    """
    split = options.num_place
    passed = (time_s - motion.seen_s).to(features.dtype)[:, None]
    moved = (current[:, :split] - features[:, :split]) / passed.clamp_min(1e-3)
    # A frame seen twice says nothing about motion; after long absences neither.
    says = (passed > 1e-3) & (passed < 2 * options.ahead_s)
    gain = torch.where(says, 1 - torch.exp(-passed / options.rate_s), 0.0)
    rate = (motion.rate + gain * (moved - motion.rate)).clamp(-options.fastest, options.fastest)
    rate = torch.where(passed >= 2 * options.ahead_s, torch.zeros_like(rate), rate)
    count = motion.count + 1
    share = torch.maximum(1 - torch.exp(-passed / options.looks_s), 1 / count[:, None].to(features.dtype))
    seen, known = current[:, split:], features[:, split:]
    mean = known + share * (seen - known)
    # Means of unit vectors shrink; shorter looks would seem alike to everybody.
    length = seen.norm(dim=1, keepdim=True) / mean.norm(dim=1, keepdim=True).clamp_min(1e-6)
    looks = torch.where(seen.norm(dim=1, keepdim=True) > 0, mean * length, seen)
    seen_s = torch.full_like(motion.seen_s, time_s)
    return torch.cat((current[:, :split], looks), dim=1), TrackMotion(rate, seen_s, count)
