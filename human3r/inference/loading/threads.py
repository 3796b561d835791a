"""Which parts of a run share the cores inside one operator, and which leave cores to other stages."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from human3r.inference.loading.profile import ModelProfile
from human3r.threads import half_of_the_cores


def stage_threads(profile: ModelProfile, device: torch.device) -> AbstractContextManager[None]:
    """Give every operator half of the cores where stages overlap on a CPU; other profiles use all cores."""
    return half_of_the_cores() if profile.overlaps_on_cpu and device.type == "cpu" else nullcontext()
