"""Presentation times of the packets of a video, from the stamps in the file.

Stamps are corrected as by players: a clock that is reset or jumps is joined, a repeated stamp is moved into its gap, a
missing one is interpolated. Rates and counts of the header are used only without any stamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median_low

import numpy as np

MAX_CLOCK_JUMP_S = 10.0
"""A larger advance of a transport stream's clock is a joint, seconds. Source: FFmpeg, -dts_delta_threshold."""
_MIN_STEP_S = 0.0005
"""A smaller usual interval is none of a clock, seconds: 2000 frames per second."""
_MIN_CLOCK_RESET_S = 0.1
"""A larger decrease of the decoding time begins a new clock. Source: FFmpeg, ts_discontinuity_process."""
_MIN_REORDERED_RESET_S = 1.0
"""The same for presentation times alone, which also decrease where frames are reordered."""
_MAX_REORDERED_FRAMES = 16
"""Source: ITU-T H.264, max_num_reorder_frames."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of a video stream that holds a shown frame; stamps in ticks of the stream's clock."""

    pts: int | None
    """Presentation stamp."""
    dts: int | None
    """Decoding stamp."""
    position: int | None
    """First byte in the file."""
    is_keyframe: bool
    """Decoding can start here."""


@dataclass(frozen=True)
class Timeline:
    """Frames in presentation order."""

    times_s: list[float]
    """Seconds from the first frame, strictly ascending."""
    ranks: list[int] | None
    """Frame of each packet, in decoding order; None if only the decoder knows the order."""

    @property
    def is_uneven(self) -> bool:
        """Whether more than 2 % of the intervals differ from the usual one by more than a fifth."""
        steps = np.diff(np.asarray(self.times_s))
        if len(steps) < 2:
            return False
        return bool(np.mean(np.abs(steps - np.median(steps)) > 0.2 * np.median(steps)) > 0.02)

    def starting_at(self, first: int) -> Timeline:
        """Return the timeline without the undecodable frames before ``first``; their ranks are negative."""
        if first == 0:
            return self
        ranks = None if self.ranks is None else [rank - first for rank in self.ranks]
        return Timeline([time_s - self.times_s[first] for time_s in self.times_s[first:]], ranks)


def has_stamps(packets: Sequence[Packet], tick_s: Fraction) -> bool:
    """Return whether the packets have stamps that advance; where durations are 0, FFmpeg advances by one tick."""
    stamps = [packet.pts if packet.dts is None else packet.dts for packet in packets]
    known = [stamp for stamp in stamps if stamp is not None]
    return tick_s > 0 and bool(known) and (len(packets) < 3 or _usual_step(known, 0) * tick_s > _MIN_STEP_S)


def reaches_end(packets: Sequence[Packet], duration: int | None) -> bool:
    """Return whether the packets cover a stream's duration, ticks."""
    stamps = sorted(packet.pts for packet in packets if packet.pts is not None)
    if duration is None or not stamps:
        return False
    return stamps[-1] - stamps[0] + 2 * _usual_step(stamps, 0) >= duration


def find_packet(packets: Sequence[Packet], position: int | None, pts: int | None) -> int | None:
    """Return the number of the packet with this place and stamp; None if there is none, or several."""
    found = [number for number, known in enumerate(packets) if (known.position, known.pts) == (position, pts)]
    return found[0] if len(found) == 1 else None


def build_timeline(
    packets: Sequence[Packet], tick_s: Fraction, default_fps: float, *, has_clock: bool, has_pts: bool, can_jump: bool
) -> Timeline:
    """Return the timeline of packets in decoding order.

    Args:
        packets: Every packet with a shown frame.
        tick_s: Seconds per tick.
        default_fps: Rate where the packets carry no stamps.
        has_clock: The format stores stamps.
        has_pts: The format stores presentation stamps; otherwise only the set of times is known, not their order.
        can_jump: Streams of this format are cut and joined without changing their stamps.
    """
    has_pts = has_pts and any(packet.pts is not None for packet in packets)
    if not has_clock or not has_stamps(packets, tick_s):
        return Timeline([index / default_fps for index in range(len(packets))], None)
    default_step = max(1, round(1 / (default_fps * tick_s)))
    stamps = _joined(packets, float(1 / tick_s), default_step, can_jump)
    order = sorted(range(len(stamps)), key=lambda index: (stamps[index], index))
    spread = _without_repeats([stamps[index] for index in order], default_step)
    ranks = [0] * len(order)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return Timeline([float((stamp - spread[0]) * tick_s) for stamp in spread], ranks if has_pts else None)


def _joined(packets: Sequence[Packet], ticks_per_s: float, default_step: int, can_jump: bool) -> list[int]:
    """Return presentation stamps on one continuous clock, one for every packet."""
    has_all_dts = all(packet.dts is not None for packet in packets)
    clock = _filled([packet.dts if has_all_dts or packet.pts is None else packet.pts for packet in packets])
    largest_jump = MAX_CLOCK_JUMP_S * ticks_per_s if can_jump else float("inf")
    if not has_all_dts:
        return _joined_presentation(packets, clock, ticks_per_s, default_step, largest_jump)
    step = _usual_step(clock, default_step)
    stamps: list[int] = []
    offset, previous = 0, None
    for packet, stamp in zip(packets, clock, strict=True):
        now = stamp + offset
        if previous is not None:
            advance = now - previous
            if advance < -_MIN_CLOCK_RESET_S * ticks_per_s or advance > largest_jump:
                offset += step - advance
                now = previous + step
        previous = now
        stamps.append(now if packet.pts is None else packet.pts + offset)
    return stamps


def _joined_presentation(
    packets: Sequence[Packet], clock: list[int], ticks_per_s: float, default_step: int, largest_jump: float
) -> list[int]:
    """Join presentation stamps in decoding order, where frames are reordered but never across a key packet."""
    reset = _MIN_CLOCK_RESET_S * ticks_per_s
    reordered_reset = max(
        _MIN_REORDERED_RESET_S * ticks_per_s, _MAX_REORDERED_FRAMES * _usual_step(clock, default_step)
    )
    parts: list[list[int]] = [[]]
    highest = 0
    for packet, stamp in zip(packets, clock, strict=True):
        part = parts[-1]
        is_back = packet.is_keyframe and stamp < highest - reset
        if part and (is_back or not part[-1] - reordered_reset <= stamp <= part[-1] + largest_jump):
            part = []
            parts.append(part)
        highest = max(stamp, highest) if part else stamp
        part.append(stamp)
    joined = parts[0]
    for before, part in pairwise(parts):
        begin = max(joined) + _usual_step(sorted(before), default_step)
        joined += [begin + stamp - min(part) for stamp in part]
    return joined


def _usual_step(stamps: Sequence[int], default_step: int) -> int:
    steps = [abs(after - before) for before, after in pairwise(stamps) if after != before]
    return median_low(steps) if steps else default_step


def _filled(stamps: list[int | None]) -> list[int]:
    """Interpolate the stamps that are missing."""
    places = [index for index, stamp in enumerate(stamps) if stamp is not None]
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) == len(stamps):
        return known
    return np.interp(range(len(stamps)), places, known).round().astype(int).tolist()


def _without_repeats(stamps: list[int], default_step: int) -> list[int | Fraction]:
    """Spread equal stamps evenly up to the next one."""
    distinct = sorted(set(stamps))
    last_step = _usual_step(distinct, default_step)
    spread: list[int | Fraction] = []
    begin = 0
    while begin < len(stamps):
        end = begin
        while end < len(stamps) and stamps[end] == stamps[begin]:
            end += 1
        count = end - begin
        gap = Fraction(stamps[end] - stamps[begin], count) if end < len(stamps) else last_step
        spread += [stamps[begin] + index * gap if index else stamps[begin] for index in range(count)]
        begin = end
    return spread
