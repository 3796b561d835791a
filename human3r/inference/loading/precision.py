"""Which arithmetic runs on which device: a policy object, never a global flag.

bf16 in a network of the paper is the type that its weights are stored in; ``human3r.models.precision`` lists which,
and what stays fp32 and why. In ``compact`` it is applied by autocast around the network.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import get_args

import torch

from human3r.errors import InputError, ResourceError
from human3r.inference.loading.profile import ModelProfile
from human3r.models.precision import Precision


@dataclass(frozen=True)
class ComputePolicy:
    """Where and how a network runs."""

    device: torch.device
    precision: Precision
    is_stored: bool = True
    """Weights are stored in that precision; otherwise autocast rounds them in every operator."""

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the network is called."""
        if self.precision != "bf16" or self.is_stored:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def choose_policy(device: str, precision: str, profile: ModelProfile) -> ComputePolicy:
    """Resolve ``auto`` choices.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto`` or a ``Precision``; one that the profile does not support becomes fp32, and so does any on
            ``mps``. On a GPU ``mixed`` is ``mixed16``.
        profile: Of the network's architecture.

    Raises:
        InputError: An unknown name.
        ResourceError: A GPU was requested and there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps") or (device != kind and kind != "cuda"):
        raise InputError(f"The device {device!r} is unknown.", "Choose auto, cpu, cuda or mps.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ResourceError("No CUDA device is available.", "Use --device cpu, or install a CUDA build of torch.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ResourceError("No Metal device (mps) is available.", "Use --device cpu.")
    if precision == "auto":
        precision = profile.gpu_precision if kind == "cuda" else "fp32"
    if precision not in get_args(Precision):
        raise InputError(f"The precision {precision!r} is unknown.", f"Choose auto, {', '.join(get_args(Precision))}.")
    if precision not in profile.precisions or kind == "mps":
        precision = "fp32"
    if precision == "mixed" and kind == "cuda":
        precision = "mixed16"
    return ComputePolicy(torch.device(device), precision, profile.stores_precision)
