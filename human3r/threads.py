"""How many cores one operator of torch shares."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass
class _Shared:
    """The open blocks of this process, and the number of threads before the first of them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    blocks: int = 0
    threads: int = 0


_SHARED = _Shared()


@contextmanager
def half_of_the_cores() -> Iterator[None]:
    """Give every operator half of the cores.

    For operators that are too small to gain from sharing: threads that wait for each other spin, which costs loading
    and finishing on two cores six times the processor time, and a surface of many keyframes four times. Blocks may
    overlap in several threads: half is half of what there was before the first of them.
    """
    with _SHARED.lock:
        if _SHARED.blocks == 0:
            _SHARED.threads = torch.get_num_threads()
        _SHARED.blocks += 1
        threads = _SHARED.threads
    torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        with _SHARED.lock:
            _SHARED.blocks -= 1
        torch.set_num_threads(threads)
