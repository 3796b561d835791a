"""Parameters of MediaPipe's hand network in the published TensorFlow.js graph, without the points' depth in pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from human3r.models.compact.convnets.hand_landmarks import BLOCKS, NUM_POINTS, HandLandmarkNet
from human3r.training.priors.tensorflow_js import check_parameters, rename_constants

PARAMETER_PREFIX = "hand_detector.network."
"""Prefix of the parameters in the assembled network."""
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
    result = rename_constants(arrays, source_names(arrays))
    for name in ("points_px.weight", "points_px.bias"):
        result[name] = result[name].unflatten(0, (NUM_POINTS, 3))[:, :2].flatten(0, 1).contiguous()
    check_parameters(result, HandLandmarkNet().state_dict())
    return result
