"""One training process, or many through ``accelerate``: the loop asks this, and never which of the two it is."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from human3r.errors import InputError, ResourceError


class Processes(Protocol):
    """The processes of a run, seen from one of them."""

    device: torch.device
    rank: int
    count: int

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network in a form whose gradients are averaged over the processes."""
        ...

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager:
        """Return a context in which gradients are added up and not averaged yet."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""
        ...

    def gather(self, values: list[dict[str, float]]) -> list[dict[str, float]]:
        """Return the lists of all processes, one after the other."""
        ...

    def wait(self) -> None:
        """Wait for the other processes."""
        ...


class OneProcess:
    """No others.

    Args:
        device: Where to train.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.rank, self.count = device, 0, 1

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network itself."""
        return network

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager:
        """Return a context that does nothing."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""
        loss.backward()

    def gather(self, values: list[dict[str, float]]) -> list[dict[str, float]]:
        """Return ``values``."""
        return values

    def wait(self) -> None:
        """Return at once."""


class AcceleratedProcesses:
    """Processes that ``accelerate launch`` or ``torchrun`` started.

    Args:
        use_cpu: Stay off the GPUs.

    Raises:
        ResourceError: The package is not installed.
    """

    def __init__(self, use_cpu: bool) -> None:
        try:
            from accelerate import Accelerator, DistributedDataParallelKwargs
        except ImportError as error:
            raise ResourceError(
                "Training in several processes needs the package 'accelerate', which is not installed.",
                "Run: pip install -r human3r/training/paper/requirements.txt",
            ) from error
        # A batch without people leaves heads without gradient, which must not be waited for.
        kwargs = DistributedDataParallelKwargs(find_unused_parameters=True)
        self._accelerator = Accelerator(cpu=use_cpu, kwargs_handlers=[kwargs], mixed_precision="no")
        self.device = self._accelerator.device
        self.rank, self.count = self._accelerator.process_index, self._accelerator.num_processes

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network as distributed data parallel."""
        return self._accelerator.prepare_model(network)

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager:
        """Return DDP's own context."""
        return self._accelerator.no_sync(network)

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""
        self._accelerator.backward(loss)

    def gather(self, values: list[dict[str, float]]) -> list[dict[str, float]]:
        """Return the lists of all processes, one after the other."""
        from accelerate.utils import gather_object

        return cast(list, gather_object(values))

    def wait(self) -> None:
        """Wait for the other processes."""
        self._accelerator.wait_for_everyone()


def start_processes(device: str) -> Processes:
    """Return the processes of this run: many if a launcher says so in the environment, else one.

    Raises:
        InputError: The device is not here.
        ResourceError: Many, and ``accelerate`` is not installed.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("The setting device is 'cuda', and there is no CUDA device.", "Use auto or cpu.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return AcceleratedProcesses(use_cpu=device == "cpu" or not torch.cuda.is_available())
    return OneProcess(torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"))
