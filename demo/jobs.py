"""The queue of runs: one active job, a bounded number of waiting jobs, first come, first served.

No threads and no files live here; the caller does the work inside ``JobQueue.slot``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class QueueFullError(Exception):
    """Too many jobs are waiting; ``args[0]`` is their number."""


@dataclass(eq=False)
class Job:
    """One run, from the click to its end."""

    owner: str
    """Session that started it."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when the run shall end after the current frame."""


class JobQueue:
    """First come, first served, one at a time.

    Args:
        max_waiting: Maximum number of jobs behind the active one.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._jobs: list[Job] = []

    @contextmanager
    def slot(self, owner: str) -> Iterator[Job]:
        """Hold a position in the queue for the duration of a ``with`` block.

        Raises:
            QueueFullError: ``max_waiting`` jobs are waiting already.
        """
        job = Job(owner)
        with self._changed:
            if len(self._jobs) > self._max_waiting:
                raise QueueFullError(len(self._jobs) - 1)
            self._jobs.append(job)
        try:
            yield job
        finally:
            with self._changed:
                self._jobs.remove(job)
                self._changed.notify_all()

    def wait_turn(self, job: Job, timeout_s: float) -> int:
        """Wait at most ``timeout_s`` for the job's turn and return the number of jobs before it (0: its turn)."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs[0] is job or job.stopped.is_set(), timeout_s)
            return self._jobs.index(job)

    def stop(self, owner: str | None = None) -> None:
        """Request the end of every job of a session, or of all jobs."""
        with self._changed:
            for job in self._jobs:
                if owner in (None, job.owner):
                    job.stopped.set()
            self._changed.notify_all()

    def counts(self) -> tuple[int, int]:
        """Return the numbers of (active, waiting) jobs."""
        with self._changed:
            return min(1, len(self._jobs)), max(0, len(self._jobs) - 1)
