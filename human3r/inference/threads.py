"""Which parts of a run share the cores inside one operator, and which leave cores to other stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from human3r.inference.profile import ModelProfile


@contextmanager
def stage_threads(profile: ModelProfile, device: torch.device) -> Iterator[None]:
    """Give every operator half of the cores where stages overlap on a CPU; other profiles use all cores.

    The operators of an overlapping profile are too small to gain from sharing: threads that wait for each other spin,
    which costs loading and finishing on two cores six times the processor time.
    """
    threads = torch.get_num_threads()
    if profile.overlaps_on_cpu and device.type == "cpu":
        torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
