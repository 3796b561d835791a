"""The queue of runs: one active job, a bounded number of waiting jobs, visitors in turn.

A visitor's second job comes after the first jobs of all others. No threads and no files live here; the caller does the
work inside ``JobQueue.slot``.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

VISITOR_COOKIE = "h3r_visitor"
_COOKIE_VALUE = re.compile(r"[a-f0-9-]{32,40}")
_VISITOR_PREFIX = 64
"""Bits of an IPv6 address that name the network of a household. Source: RFC 4291, section 2.5.1."""


@dataclass(frozen=True)
class Visitor:
    """The sender of a request."""

    session: str
    """Session of the page or API client."""
    address: str = ""
    """IP address, or empty when unknown."""

    @classmethod
    def of(cls, cookies: Mapping[str, str], address: str | None, unnamed: str) -> Visitor:
        """Return who sent a request.

        The page's script sets a random cookie, so that a visitor is the same after a reload; ``unnamed`` is the session
        of a program, which has none.
        """
        name = cookies.get(VISITOR_COOKIE, "")
        return cls(name if _COOKIE_VALUE.fullmatch(name) else unnamed, address or "")

    @property
    def key(self) -> str | None:
        """Key of the limits per visitor; None for this machine, which has none."""
        try:
            address = ip_address(self.address.partition("%")[0])
        except ValueError:
            return self.session
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        if address.is_loopback:
            return None
        # A visitor with IPv6 has all addresses of a network.
        prefix = address.max_prefixlen if address.version == 4 else _VISITOR_PREFIX
        return str(ip_network((address, prefix), strict=False).network_address)

    @property
    def name(self) -> str:
        """Who takes turns and has results: as ``key``, but a session on this machine."""
        return self.key or self.session


class QueueFullError(Exception):
    """Too many jobs are waiting; ``args[0]`` is their number."""


class VisitorLimitError(Exception):
    """The visitor has too many jobs in the queue; ``args[0]`` is their number."""


@dataclass(eq=False)
class Job:
    """One run, from the click to its end."""

    owner: Visitor
    """Who started it."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when the run shall end after the current frame."""
    is_active: bool = False
    """Set when it is the job's turn."""


class JobQueue:
    """One job at a time; visitors take turns.

    Args:
        max_waiting: Maximum number of jobs behind the active one.
        max_per_visitor: Maximum number of jobs of one visitor, the active one included.
    """

    def __init__(self, max_waiting: int, max_per_visitor: int) -> None:
        self._max_waiting = max_waiting
        self._max_per_visitor = max_per_visitor
        self._changed = threading.Condition()
        self._jobs: list[Job] = []

    @contextmanager
    def slot(self, owner: Visitor, stopped: threading.Event | None = None) -> Iterator[Job]:
        """Hold a position in the queue for the duration of a ``with`` block; ``stopped`` ends the job when it is set.

        Raises:
            QueueFullError: ``max_waiting`` jobs are waiting already.
            VisitorLimitError: The visitor has ``max_per_visitor`` jobs already.
        """
        job = Job(owner, stopped or threading.Event())
        with self._changed:
            num_own = sum(other.owner.key == owner.key for other in self._jobs)
            if owner.key is not None and num_own >= self._max_per_visitor:
                raise VisitorLimitError(num_own)
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
            self._changed.wait_for(lambda: self._position(job) == 0 or job.stopped.is_set(), timeout_s)
            position = self._position(job)
            job.is_active = position == 0
            return position

    def stop(self, session: str | None = None) -> None:
        """Request the end of every job of a session, or of all jobs."""
        with self._changed:
            for job in self._jobs:
                if session in (None, job.owner.session):
                    job.stopped.set()
            self._changed.notify_all()

    def counts(self) -> tuple[int, int]:
        """Return the numbers of (active, waiting) jobs."""
        with self._changed:
            return min(1, len(self._jobs)), max(0, len(self._jobs) - 1)

    def _position(self, job: Job) -> int:
        """Return how many jobs come before one: the active one, then every visitor's first, second, ... by arrival."""
        ranks: Counter[str] = Counter()
        order: list[tuple[bool, int, int]] = []
        for arrival, other in enumerate(self._jobs):
            order.append((not other.is_active, ranks[other.owner.name], arrival))
            ranks[other.owner.name] += 1
        own = order[self._jobs.index(job)]
        return sum(key < own for key in order)
