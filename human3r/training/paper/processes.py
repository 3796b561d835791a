"""A common interface for training in one process or in several through ``accelerate``."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from human3r.errors import InputError, ResourceError


class Processes:
    """A run in a single process."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.rank, self.count = device, 0, 1

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network in a form whose gradients are averaged over the processes."""
        return network

    def unsynchronized(self, network: nn.Module) -> AbstractContextManager[object]:
        """Return a context in which gradients are accumulated without averaging over the processes."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""
        loss.backward()

    def gather(self, values: list[dict[str, float]]) -> list[dict[str, float]]:
        """Return the concatenated lists of all processes."""
        return values

    def wait(self) -> None:
        """Wait for the other processes."""


class AcceleratedProcesses(Processes):
    """One of several processes started by ``accelerate launch`` or ``torchrun``.

    Raises:
        ResourceError: The package is not installed.
    """

    def __init__(self, use_cpu: bool) -> None:
        try:
            from accelerate import Accelerator, DistributedDataParallelKwargs  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ResourceError(
                "Training in several processes needs the package 'accelerate', which is not installed.",
                "Run: pip install -r human3r/training/paper/requirements.txt",
            ) from error
        # A batch without people leaves heads without gradients.
        kwargs = DistributedDataParallelKwargs(find_unused_parameters=True)
        self._accelerator = Accelerator(cpu=use_cpu, kwargs_handlers=[kwargs], mixed_precision="no")
        self.device = self._accelerator.device
        self.rank, self.count = self._accelerator.process_index, self._accelerator.num_processes

    def wrap(self, network: nn.Module) -> nn.Module:
        return self._accelerator.prepare_model(network)

    def unsynchronized(self, network: nn.Module) -> AbstractContextManager[object]:
        return self._accelerator.no_sync(network)

    def backward(self, loss: Tensor) -> None:
        self._accelerator.backward(loss)

    def gather(self, values: list[dict[str, float]]) -> list[dict[str, float]]:
        from accelerate.utils import gather_object  # pyright: ignore[reportMissingImports]

        return cast("list[dict[str, float]]", gather_object(values))

    def wait(self) -> None:
        self._accelerator.wait_for_everyone()


def start_processes(device: str) -> Processes:
    """Return the interface for this run: several processes if a launcher set ``WORLD_SIZE``, else one.

    Raises:
        InputError: The device is not available.
        ResourceError: Several processes without ``accelerate``.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("The setting device is 'cuda', and there is no CUDA device.", "Use auto or cpu.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return AcceleratedProcesses(use_cpu=device == "cpu" or not torch.cuda.is_available())
    return Processes(torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"))
