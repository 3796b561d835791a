"""Motion model of tracked identities: predicted positions, and the weights of position and appearance. Stateless.

For trackers whose features begin with image position and size, as those of ``compact`` do. An identity seen recently is
recognized by its position, one absent for long by its appearance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.records import TensorRecord


@dataclass(frozen=True)
class MotionOptions:
    """Parameters of the motion model; features are in units of the tracker's dustbin."""

    num_position: int = 3
    """Leading numbers of a feature that move: x, y and the logarithm of the size. The rest is appearance."""
    rate_s: float = 0.3
    """Time constant of the rate at which the position changes."""
    max_extrapolation_s: float = 0.5
    """Longest time over which a rate is extrapolated."""
    max_rate: float = 60.0
    """Largest rate of any number of the position, per second: one image side."""
    uncertainty_s: float = 0.5
    """Absence after which position differences are divided by two, after twice as long by three."""
    max_uncertainty: float = 5.0
    """Largest divisor of position differences."""
    appearance_s: float = 1.0
    """Time constant of the appearance, which half a second behind another person must not replace."""
    absence_s: float = 1.0
    """Absence after which appearance differences count ``absence_factor`` times as much."""
    absence_factor: float = 1.6
    """Source: in rendered clips, appearances of one person differ by 2.2 (90th percentile 3.8), of two by 6.3 (10th
    percentile 5.0); times 1.6, two people exceed the dustbin's distance and one person does not."""
    cut_factor: float = 4.0
    """The same across a cut, where a wrong match is worse than none."""
    forget_s: float = 15.0
    """An identity absent for longer is dropped, and its number never reused."""
    confirmed_count: int = 5
    """Observations for which an identity is kept that long."""
    unconfirmed_s: float = 1.0
    """With fewer, it is dropped after this absence, so that a false detection passes its number to nobody."""


@dataclass(frozen=True)
class TrackMotion(TensorRecord):
    """Motion of the m identities of a bank."""

    rate: Tensor
    """``m num_position`` per second."""
    seen_s: Tensor
    """``m`` float64, time of the last observation."""
    count: Tensor
    """``m`` int64 observations."""


def begin_motion(num_people: int, time_s: float, options: MotionOptions, device: torch.device) -> TrackMotion:
    """Return the motion of people seen for the first time: rate 0."""
    return TrackMotion(
        torch.zeros(num_people, options.num_position, device=device),
        torch.full((num_people,), time_s, dtype=torch.float64, device=device),
        torch.ones(num_people, dtype=torch.int64, device=device),
    )


def is_remembered(motion: TrackMotion, time_s: float, options: MotionOptions) -> Tensor:
    """Return ``m`` bool: which identities may still be recognized at ``time_s``."""
    limit = torch.where(motion.count < options.confirmed_count, options.unconfirmed_s, options.forget_s)
    return time_s - motion.seen_s <= limit


def expected_distance(
    features: Tensor, motion: TrackMotion, current: Tensor, time_s: float, options: MotionOptions
) -> Tensor:
    """Return ``m n`` distances between the predicted features of m identities and those of n people.

    Args:
        features: ``m D`` remembered.
        current: ``n D`` features of the frame at ``time_s``.
        time_s: Seconds.
    """
    away = (time_s - motion.seen_s).clamp_min(0.0).to(features.dtype)[:, None]
    split = options.num_position
    position = features[:, :split] + motion.rate * away.clamp_max(options.max_extrapolation_s)
    uncertainty = (1 + away / options.uncertainty_s).clamp_max(options.max_uncertainty)
    weight = 1 + (options.absence_factor - 1) * (away / options.absence_s).clamp_max(1.0)
    remembered = torch.cat((position / uncertainty, features[:, split:] * weight), dim=1)
    # The scale of the feature axes depends on the identity.
    scale = torch.cat((1 / uncertainty.expand(-1, split), weight.expand(-1, features.shape[1] - split)), dim=1)
    return (remembered[:, None] - current[None] * scale[:, None]).norm(dim=-1)


def appearance_distance(features: Tensor, current: Tensor, options: MotionOptions) -> Tensor:
    """Return ``m n`` distances in appearance alone, across a cut: where position and size are uninformative.

    Args:
        features: ``m D`` remembered.
        current: ``n D`` features of a frame.
    """
    split = options.num_position
    return options.cut_factor * torch.cdist(features[:, split:], current[:, split:])


def update_tracks(
    features: Tensor, motion: TrackMotion, current: Tensor, time_s: float, options: MotionOptions
) -> tuple[Tensor, TrackMotion]:
    """Add an observation to each of m identities: new position, filtered rate, running mean of the appearance.

    Args:
        features: ``m D`` remembered.
        current: ``m D`` observed.
        time_s: Seconds.
    """
    split = options.num_position
    passed = (time_s - motion.seen_s).to(features.dtype)[:, None]
    moved = (current[:, :split] - features[:, :split]) / passed.clamp_min(1e-3)
    # No rate from a repeated frame or after a long absence.
    has_rate = (passed > 1e-3) & (passed < 2 * options.max_extrapolation_s)
    gain = torch.where(has_rate, 1 - torch.exp(-passed / options.rate_s), 0.0)
    rate = (motion.rate + gain * (moved - motion.rate)).clamp(-options.max_rate, options.max_rate)
    rate = torch.where(passed >= 2 * options.max_extrapolation_s, torch.zeros_like(rate), rate)
    count = motion.count + 1
    share = torch.maximum(1 - torch.exp(-passed / options.appearance_s), 1 / count[:, None].to(features.dtype))
    seen, known = current[:, split:], features[:, split:]
    mean = known + share * (seen - known)
    # A mean of unit vectors is shorter than one; its length is restored, since short vectors are close to all others.
    length = seen.norm(dim=1, keepdim=True) / mean.norm(dim=1, keepdim=True).clamp_min(1e-6)
    appearance = torch.where(seen.norm(dim=1, keepdim=True) > 0, mean * length, seen)
    seen_s = torch.full_like(motion.seen_s, time_s)
    return torch.cat((current[:, :split], appearance), dim=1), TrackMotion(rate, seen_s, count)
