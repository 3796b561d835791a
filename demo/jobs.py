"""Runs in a line: one works, a bounded number waits, any can be stopped.

The model is one resource, so runs are strictly first come, first served. No threads and no files live here; the
caller does the work between ``enter`` and ``leave``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class LineFullError(Exception):
    """Too many runs wait already; ``args[0]`` is how many."""


@dataclass(eq=False)
class Job:
    """One run, from the click to its end."""

    owner: str
    """Session that asked for it."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ask the run to end after the current frame."""
        self._stop.set()

    def should_stop(self) -> bool:
        """Say whether the visitor asked for the end."""
        return self._stop.is_set()


class Line:
    """First come, first served, one at a time.

    Args:
        max_waiting: Jobs that may wait behind the active one.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._jobs: list[Job] = []

    @contextmanager
    def place(self, owner: str) -> Iterator[Job]:
        """Stand in line for the length of a ``with`` block.

        Raises:
            LineFullError: ``max_waiting`` jobs wait already.
        """
        job = Job(owner)
        with self._changed:
            if len(self._jobs) > self._max_waiting:
                raise LineFullError(len(self._jobs) - 1)
            self._jobs.append(job)
        try:
            yield job
        finally:
            with self._changed:
                self._jobs.remove(job)
                self._changed.notify_all()

    def waiting_before(self, job: Job, timeout_s: float) -> int:
        """Wait until it is the job's turn, at most ``timeout_s``, and return how many are before it (0: its turn)."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs[0] is job or job.should_stop(), timeout_s)
            return self._jobs.index(job)

    def stop(self, owner: str) -> int:
        """Ask every job of a session to end, and return how many there were."""
        with self._changed:
            mine = [job for job in self._jobs if job.owner == owner]
            for job in mine:
                job.stop()
            self._changed.notify_all()
        return len(mine)

    def counts(self) -> tuple[int, int]:
        """Return (active, waiting)."""
        with self._changed:
            return min(1, len(self._jobs)), max(0, len(self._jobs) - 1)
