"""What a benchmark is measured with: waits for the device, the machine's own peak, processor time."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from human3r.models.precision import Precision

_WAITING = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero", "aten::equal"}
_PRODUCT_SIDE = 1024
_REPEATS = 5


class HostWaits(TorchDispatchMode):
    """Counts operators whose result the host must know before it goes on; on a CPU they are the same as on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        """Run the operator and remember its name if it waits."""
        name = function.name().split(".")[0]
        is_boolean_index = name in ("aten::index", "aten::index_put_") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in arguments[1]
        )
        if name in _WAITING or is_boolean_index:
            self.names.append(name)
        return function(*arguments, **(options or {}))


def count_waits(function: Callable[[], object]) -> int:
    """Return how often a function waits for the device."""
    with HostWaits() as waits:
        function()
    return len(waits.names)


def measured_peak(device: torch.device, precision: Precision) -> float:
    """Return operations per second (of processor time, times threads) of a large matrix product: the practical roof."""
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    left, right = torch.randn(2, _PRODUCT_SIDE, _PRODUCT_SIDE, device=device).to(dtype)
    best = float("inf")
    for _ in range(_REPEATS):
        best = min(best, processor_seconds(lambda: torch.nn.functional.linear(left, right), device))
    threads = 1 if device.type == "cuda" else torch.get_num_threads()
    return 2 * _PRODUCT_SIDE**3 / best * threads


def processor_seconds(function: Callable[[], object], device: torch.device) -> float:
    """Return the processor time of all threads that a call takes; on a GPU the elapsed time until it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        function()
        torch.cuda.synchronize(device)
        return time.perf_counter() - started
    started = time.process_time()
    function()
    return time.process_time() - started
