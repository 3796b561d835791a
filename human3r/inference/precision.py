"""Which arithmetic runs on which device: a policy object, never a global flag.

bf16 in an official network is the type that its weights are stored in; ``human3r.models.precision`` says which, and
what stays fp32 and why. In ``compact`` it is applied by autocast around the network.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast, get_args

import torch

from human3r.errors import InputError, ResourceError
from human3r.models.precision import Precision


@dataclass(frozen=True)
class ComputePolicy:
    """Where and how a network runs."""

    device: torch.device
    precision: Precision
    is_stored: bool = True
    """The weights are stored in that precision; otherwise operators round them as they go."""

    def autocast(self) -> AbstractContextManager:
        """Return the context in which the network is called."""
        if self.precision != "bf16" or self.is_stored:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def choose_policy(device: str, precision: str, architecture: str) -> ComputePolicy:
    """Resolve ``auto`` choices.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto`` or a ``Precision``. ``auto`` is ``mixed16`` for official networks on a GPU, else fp32. On a
            GPU ``mixed`` is ``mixed16``. ``compact`` knows fp32 and bf16 only, and runs the others in fp32.
        architecture: ``paper`` or ``compact``.

    Raises:
        InputError: An unknown name.
        ResourceError: A GPU was asked for and there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not (device == "cuda" or device.startswith("cuda:")):
        raise InputError(f"The device {device!r} is unknown.", "Choose auto, cpu or cuda.")
    if device != "cpu" and not torch.cuda.is_available():
        raise ResourceError("No CUDA device is available.", "Use --device cpu, or install a CUDA build of torch.")
    if precision == "auto":
        precision = "mixed16" if device != "cpu" and architecture == "paper" else "fp32"
    if precision not in get_args(Precision):
        raise InputError(f"The precision {precision!r} is unknown.", f"Choose auto, {', '.join(get_args(Precision))}.")
    if architecture == "compact" and precision != "bf16":
        precision = "fp32"
    if precision == "mixed" and device != "cpu":
        precision = "mixed16"
    return ComputePolicy(torch.device(device), cast(Precision, precision), architecture == "paper")
