"""Which arithmetic runs on which device: a policy object, never a global flag.

The recurrent state, the heads and everything geometric stay fp32: exponentials and accumulated transforms do not
survive eight bits of mantissa. bf16 is applied by autocast around the network only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from human3r.errors import InputError, ResourceError

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class ComputePolicy:
    """Where and how a network runs."""

    device: torch.device
    precision: Precision

    def autocast(self) -> AbstractContextManager:
        """Return the context in which the network is called."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def choose_policy(device: str, precision: str, architecture: str) -> ComputePolicy:
    """Resolve ``auto`` choices.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32`` or ``bf16``. ``auto`` is bf16 for official networks on a GPU, else fp32.
        architecture: ``official`` or ``compact``.

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
        precision = "bf16" if device != "cpu" and architecture == "official" else "fp32"
    if precision not in ("fp32", "bf16"):
        raise InputError(f"The precision {precision!r} is unknown.", "Choose auto, fp32 or bf16.")
    return ComputePolicy(torch.device(device), "bf16" if precision == "bf16" else "fp32")
