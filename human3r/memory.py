"""Memory of the machine, and of a long-lived process: glibc keeps freed memory in an arena per thread."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

_M_ARENA_MAX = -8
"""Source: glibc, malloc.h."""
_MAX_ARENAS = 2
"""Of a server, one run is active at a time; requests of visitors share the other."""


def limit_arenas() -> None:
    """Let all future threads share few arenas. Does nothing without glibc."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _MAX_ARENAS)


def return_free_memory(*, collects: bool = True) -> None:
    """Return freed memory to the system. Does nothing without glibc.

    Args:
        collects: Look for unreachable objects before, which takes a tenth of a second.
    """
    if collects:
        gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory available to new processes; None if unknown.

    Args:
        root: Folder of ``proc`` and ``sys``.
    """
    found = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError, IndexError):
        pass
    try:
        # A container's limit and usage, which includes the page cache. Source: Linux, cgroup-v2.
        group = root / "sys/fs/cgroup"
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        cached = [line.split()[1] for line in (group / "memory.stat").read_text().splitlines() if line[:5] == "file "]
        if limit != "max":
            found.append(int(limit) - int(used) + sum(map(int, cached)))
    except (OSError, ValueError, IndexError):
        pass
    return max(0, min(found)) if found else None
