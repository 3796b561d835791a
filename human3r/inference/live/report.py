"""How a live stream keeps up: frames offered, processed and dropped, rate and latency; in memory of a fixed size."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np

_BIN_S = 0.001
_NUM_BINS = 60_000
"""Latencies are counted by the millisecond; a minute and more is one bin."""


@dataclass(frozen=True)
class LiveReport:
    """Counts and times of a live stream."""

    offered: int
    """Frames that fell due at the source."""
    processed: int
    """Frames that the model stepped on."""
    dropped: int
    """The others."""
    fps: float
    """Processed frames per second, from the start of the clock to the last of them."""
    latency_median_s: float | None
    """From the time a frame fell due until its people were known; None without frames."""
    latency_p95_s: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return the numbers by name, rounded as they are printed."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


class Timings:
    """Collects what a report needs."""

    def __init__(self) -> None:
        self.processed = 0
        self.started_s = self._last_s = time.monotonic()
        self._bins = np.zeros(_NUM_BINS, np.int64)

    def start(self) -> None:
        """Start the clock."""
        self.started_s = self._last_s = time.monotonic()

    def add(self, latency_s: float, now_s: float) -> None:
        """Count one processed frame."""
        self.processed += 1
        self._last_s = now_s
        self._bins[min(max(int(latency_s / _BIN_S), 0), _NUM_BINS - 1)] += 1

    def latency_s(self, share: float) -> float | None:
        """Return the latency that a share of the frames stay below."""
        if self.processed == 0:
            return None
        rank = np.searchsorted(np.cumsum(self._bins), share * self.processed)
        return (float(rank) + 0.5) * _BIN_S

    def report(self, offered: int) -> LiveReport:
        """Return the report; a frame that was processed was offered."""
        offered = max(offered, self.processed)
        elapsed_s = self._last_s - self.started_s
        fps = self.processed / elapsed_s if elapsed_s > 0 else 0.0
        dropped = offered - self.processed
        return LiveReport(offered, self.processed, dropped, fps, self.latency_s(0.5), self.latency_s(0.95))
