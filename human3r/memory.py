"""Bounds the memory of a long-lived process: glibc keeps freed memory in an arena per thread."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

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
