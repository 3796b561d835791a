"""Constants of TensorFlow.js graph models, renamed and transposed to PyTorch's layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from human3r.errors import CheckpointError

_PREFIX = "StatefulPartitionedCall/"


def read_graph_weights(graph_path: Path, weights_path: Path) -> dict[str, np.ndarray]:
    """Read every float constant of a graph model, float16, by its name without the common prefix.

    Raises:
        CheckpointError: The binary file has another length than the manifest says.
    """
    manifest = json.loads(graph_path.read_text())["weightsManifest"]
    buffer = weights_path.read_bytes()
    position, arrays = 0, {}
    for entry in (entry for group in manifest for entry in group["weights"]):
        dtype = np.dtype(entry["quantization"]["dtype"] if "quantization" in entry else entry["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if position + count * dtype.itemsize > len(buffer):
            raise CheckpointError(f"The weight file ends inside {entry['name']!r}.")
        if dtype.kind == "f":
            values = np.frombuffer(buffer, dtype, count, position).reshape(entry["shape"])
            arrays[entry["name"].removeprefix(_PREFIX)] = values
        position += count * dtype.itemsize
    if position != len(buffer):
        raise CheckpointError(f"The weight file has {len(buffer)} bytes, the graph needs {position}.")
    return arrays


def rename_constants(
    arrays: dict[str, np.ndarray],
    names: dict[str, str],
    is_ignored: Callable[[np.ndarray], bool] = lambda values: False,
) -> dict[str, Tensor]:
    """Return the constants under our names (the keys of ``names``), in PyTorch's layout.

    TensorFlow stores convolutions as [kh, kw, in, out], depthwise ones as [kh, kw, channel, 1], matrices as [in, out].

    Raises:
        CheckpointError: A constant is missing, or one that is not ignored has no name.
    """
    missing = sorted(set(names.values()) - arrays.keys())
    unknown = sorted(name for name in arrays.keys() - set(names.values()) if not is_ignored(arrays[name]))
    if missing or unknown:
        raise CheckpointError(f"The graph lacks constants {missing[:5]} and has unknown ones {unknown[:5]}.")
    order = {4: (3, 2, 0, 1), 2: (1, 0)}
    result = {}
    for name, source in names.items():
        values = torch.from_numpy(arrays[source].copy())
        is_depthwise = values.ndim == 4 and "depthwise" in name
        axes = (2, 3, 0, 1) if is_depthwise else order.get(values.ndim, range(values.ndim))
        result[name] = values.permute(*axes).contiguous()
    return result


def check_parameters(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare converted parameters with those of the network that will load them.

    Raises:
        CheckpointError: A parameter is missing or has another shape.
    """
    if missing := sorted(expected.keys() - found.keys()):
        raise CheckpointError(f"No source for {len(missing)} parameters: {', '.join(missing[:5])}.")
    for name, values in expected.items():
        if found[name].shape != values.shape:
            raise CheckpointError(f"{name!r} has shape {tuple(found[name].shape)}, expected {tuple(values.shape)}.")
