"""Parameters of MoveNet (MultiPose and Thunder) in the published TensorFlow.js graphs."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from human3r.models.compact.convnets.movenet import MULTIPOSE, MoveNet, MoveNetSizes
from human3r.training.priors.tensorflow_js import check_parameters, rename_constants

MULTIPOSE_PREFIX = "human_prior.network."
"""Prefix of MultiPose's parameters in the assembled network."""
THUNDER_PREFIX = "prompter.crop_detector.network."
"""The same of Thunder."""
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
    # Other shapes, and the three color factors, belong to the graph's decoder and preprocessing.
    result = rename_constants(arrays, source_names(sizes), lambda values: values.ndim not in (1, 4) or values.size <= 3)
    check_parameters(result, MoveNet(sizes).state_dict())
    return result


def _folded(name: str, source: str) -> dict[str, str]:
    return {f"{name}.weight": f"{source}_weights", f"{name}.bias": f"{source}_bn_offset"}


def _plain(name: str, source: str) -> dict[str, str]:
    return {f"{name}.weight": f"{source}/Conv2D/ReadVariableOp", f"{name}.bias": f"{source}/BiasAdd/ReadVariableOp"}
