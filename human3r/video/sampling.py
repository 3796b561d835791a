"""Choose the frames of a clip by their presentation times.

Times rather than indices make variable frame rates evenly spaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from human3r.errors import InputError
from human3r.video.clip_info import ClipInfo

_SLACK = 1e-4
"""Fraction of an interval by which a time stamp may be early: containers round to their clock's ticks."""


@dataclass(frozen=True)
class Sampling:
    """The part of a clip to use, and its frame rate."""

    start_s: float = 0.0
    """Skip everything before this time, seconds from the first frame."""
    duration_s: float | None = None
    """Length of the part to use, seconds; None is up to the end."""
    fps: float | None = None
    """Frames per second to use; None is all frames. More than the clip has means all frames."""
    max_frames: int | None = None
    """Stop after this many frames; None is no bound."""

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < float("inf"):
            raise InputError(f"The start is {self.start_s} s; it must be 0 or more.")
        for name, value in (("duration", self.duration_s), ("fps", self.fps), ("max-frames", self.max_frames)):
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"The option {name} is {value}; it must be more than 0.")

    def estimated_frames(self, clip: ClipInfo) -> int:
        """Estimate the number of frames of a run, at least 1, from length and rate of the clip."""
        available_s = max(0.0, clip.duration_s - self.start_s)
        length_s = available_s if self.duration_s is None else min(available_s, self.duration_s)
        fps = clip.fps if self.fps is None else min(clip.fps, self.fps)
        limit = clip.num_frames if self.max_frames is None else min(clip.num_frames, self.max_frames)
        return max(1, min(limit, round(length_s * fps)))


def choose_frames(times_s: Sequence[float], sampling: Sampling) -> list[int]:
    """Return the indices of the chosen frames, ascending.

    There is a tick every ``1 / fps`` seconds from ``start_s``; the first frame at or after a tick is taken, once.

    Args:
        times_s: Presentation times from the first frame, ascending, seconds.
    """
    chosen: list[int] = []
    end_s = float("inf") if sampling.duration_s is None else sampling.start_s + sampling.duration_s
    next_tick = 0
    for index, time_s in enumerate(times_s):
        elapsed_s = time_s - sampling.start_s
        if elapsed_s < -1e-6:
            continue
        if time_s >= end_s - 1e-6 or (sampling.max_frames is not None and len(chosen) >= sampling.max_frames):
            break
        if sampling.fps is not None:
            ticks = elapsed_s * sampling.fps + _SLACK
            if ticks < next_tick:
                continue
            next_tick = int(ticks) + 1
        chosen.append(index)
    return chosen


def rate_of(times_s: Sequence[float] | np.ndarray, default_fps: float) -> float:
    """Return the average frames per second of ascending times, or the default for fewer than two."""
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return default_fps
    return (len(times_s) - 1) / (times_s[-1] - times_s[0])
