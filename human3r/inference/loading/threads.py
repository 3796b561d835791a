"""Which parts of a run share the cores inside one operator, and which leave cores to other stages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from human3r.inference.loading.profile import ModelProfile


@dataclass
class _Shared:
    """The open blocks of this process, and the number of threads before the first of them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    blocks: int = 0
    threads: int = 0


_SHARED = _Shared()


@contextmanager
def stage_threads(profile: ModelProfile, device: torch.device) -> Iterator[None]:
    """Give every operator half of the cores where stages overlap on a CPU; other profiles use all cores.

    The operators of an overlapping profile are too small to gain from sharing: threads that wait for each other spin,
    which costs loading and finishing on two cores six times the processor time. Blocks may overlap in several threads:
    half is half of what there was before the first of them.
    """
    if not profile.overlaps_on_cpu or device.type != "cpu":
        yield
        return
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
