"""Measurements for benchmarks: host synchronizations, peak rate, processor time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from human3r.models.layers.prepacked_linear import PrepackedLinear, can_prepack
from human3r.models.precision import Precision

_WAITING = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero", "aten::equal"}
_PRODUCT_SIDE = 1024
_PRODUCTS: dict[Precision, torch.dtype] = {
    "fp32": torch.float32, "mixed16": torch.float16, "mixed": torch.bfloat16, "fp16": torch.float16,
    "bf16": torch.bfloat16,
}  # fmt: skip
"""Of the parts that a policy rounds."""
_REPEATS = 5


class HostWaits(TorchDispatchMode):
    """Records the operators for whose result the host waits; they are the same on CPU and GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        """Run the operator and record its name if the host waits."""
        name = function.name().split(".")[0]
        is_boolean_index = name in ("aten::index", "aten::index_put_") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in arguments[1]
        )
        if name in _WAITING or is_boolean_index:
            self.names.append(name)
        return function(*arguments, **(options or {}))


def measured_peak(device: torch.device, precision: Precision) -> float:
    """Return operations per second of a large matrix product in torch, the practical limit.

    On a CPU per second of processor time, times threads, with packed weights where they can be packed.
    """
    dtype = _PRODUCTS[precision]
    tokens, weight = torch.randn(2, _PRODUCT_SIDE, _PRODUCT_SIDE, device=device).to(dtype)
    product: Callable[[Tensor], Tensor] = partial(functional.linear, weight=weight)
    if device.type == "cpu" and can_prepack(dtype):
        linear = nn.Linear(_PRODUCT_SIDE, _PRODUCT_SIDE, bias=False, dtype=dtype)
        product = PrepackedLinear(linear.requires_grad_(False))
    with torch.inference_mode():
        best = min(processor_seconds(lambda: product(tokens), device) for _ in range(_REPEATS))
    threads = 1 if device.type != "cpu" else torch.get_num_threads()
    return 2 * _PRODUCT_SIDE**3 / best * threads


def device_clock(device: torch.device) -> float:
    """Return the processor time of all threads in seconds; on a GPU elapsed time, after waiting for the device."""
    if device.type == "cpu":
        return time.process_time()
    torch.accelerator.synchronize(device)
    return time.perf_counter()


def processor_seconds(function: Callable[[], object], device: torch.device) -> float:
    """Return the ``device_clock`` seconds of one call."""
    started = device_clock(device)
    function()
    return device_clock(device) - started
