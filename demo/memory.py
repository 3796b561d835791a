"""Keeps the size of a long-lived server flat: glibc keeps what threads have freed, in an arena for each of them."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_M_ARENA_MAX = -8
"""Source: glibc, malloc.h."""
_MAX_ARENAS = 2
"""One run is active at a time; requests of visitors share the other."""


def limit_arenas() -> None:
    """Let all threads to come share few arenas; call before they start. Does nothing where there is no glibc."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _MAX_ARENAS)


def return_free_memory() -> None:
    """Give freed memory back to the system, at the end of a run. Does nothing where there is no glibc."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
