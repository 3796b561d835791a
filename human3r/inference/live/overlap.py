"""Whether a frame is begun while the one before is on its way."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class OverlapOptions:
    """Parameters of the choice."""

    gain: float = 1.35
    """Stages overlap where they process so many times as many frames as one after the other."""
    free_share: float = 0.65
    """Stages that compute for this share of their time find free cores: nothing is tried."""
    trial_s: float = 1.0
    """Length of a trial of the other way, seconds."""
    pause_s: float = 1.0
    """Time to the first trial, seconds; it doubles with every trial that changes nothing."""
    longest_pause_s: float = 30.0
    average_s: float = 0.7
    """Time constant of the average of the share, seconds."""


class Overlap:
    """Lets frames begin: with free cores while others are on their way, else one after the other.

    Stages that overlap double the rate where cores are free. Where others use them, such as a browser that draws on the
    processor, the stages only wait for each other: as many frames are processed, and each takes twice as long. Which of
    the two it is, is tried from time to time.

    Args:
        options: Times and limits.
    """

    def __init__(self, options: OverlapOptions | None = None) -> None:
        self._options = options or OverlapOptions()
        self._changed = threading.Condition()
        self._num_underway = 0
        self._is_closed = False
        self.is_on = True
        """Whether frames overlap now."""
        self._is_trial = False
        self._pause_s = self._options.pause_s
        self._share = 1.0
        self._since_s = math.inf
        """When the present way began."""
        self._num_ended = 0
        """Frames since then."""
        self._usual_rate = 0.0
        """Frames per second before the trial."""

    def begin(self) -> bool:
        """Wait until another frame may begin; False after ``close``."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_on or self._num_underway == 0 or self._is_closed)
            self._num_underway += 1
            return not self._is_closed

    def end(self, now_s: float | None = None) -> None:
        """Note that a frame is done at ``now_s``; None: it was left out."""
        with self._changed:
            self._num_underway -= 1
            if now_s is not None:
                self._choose(now_s)
            self._changed.notify_all()

    def add(self, computed_s: float, elapsed_s: float) -> None:
        """Record a stage that took ``elapsed_s``, and the processor for ``computed_s`` of it."""
        if elapsed_s > 0:
            weight = 1 - math.exp(-elapsed_s / self._options.average_s)
            self._share += weight * (min(1.0, computed_s / elapsed_s) - self._share)

    def close(self) -> None:
        """Release who waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _choose(self, now_s: float) -> None:
        options = self._options
        self._since_s = min(self._since_s, now_s)
        elapsed_s = now_s - self._since_s
        rate = self._num_ended / elapsed_s if elapsed_s > 0 else 0.0
        self._num_ended += 1
        if not self._is_trial:
            if elapsed_s >= self._pause_s and not (self.is_on and self._share >= options.free_share):
                self._usual_rate = rate
                self._switch(now_s, is_trial=True)
        elif elapsed_s >= options.trial_s:
            overlapped, single = (rate, self._usual_rate) if self.is_on else (self._usual_rate, rate)
            is_better = (overlapped >= options.gain * single) == self.is_on
            self._pause_s = options.pause_s if is_better else min(2 * self._pause_s, options.longest_pause_s)
            if is_better:
                self._is_trial, self._since_s, self._num_ended = False, now_s, 0
            else:
                self._switch(now_s, is_trial=False)

    def _switch(self, now_s: float, *, is_trial: bool) -> None:
        self.is_on, self._is_trial, self._since_s, self._num_ended = not self.is_on, is_trial, now_s, 0
