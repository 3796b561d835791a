"""Bounds the memory of a long-lived server: glibc keeps freed memory in an arena per thread."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_M_ARENA_MAX = -8
"""Source: glibc, malloc.h."""
_MAX_ARENAS = 2
"""One run is active at a time; requests of visitors share the other."""


def limit_arenas() -> None:
    """Let all future threads share few arenas. Does nothing without glibc."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _MAX_ARENAS)


def return_free_memory() -> None:
    """Return freed memory to the system at the end of a run. Does nothing without glibc."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
