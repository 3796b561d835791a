"""Parameters of EfficientNet-Lite0 in the published PyTorch state dict, batch normalization folded."""

from __future__ import annotations

import torch
from torch import Tensor

from human3r.errors import CheckpointError
from human3r.models.compact.convnets.efficientnet import BLOCKS, EfficientNetLite0
from human3r.training.priors.tensorflow_js import check_parameters

PARAMETER_PREFIX = "image_encoder.trunk."
"""Prefix of the parameters in the assembled network."""
_EPS = 1e-3
"""Epsilon of the batch normalization that the weights were trained with."""


def source_names() -> dict[str, tuple[str, str]]:
    """Return the table from our convolutions to the source's (convolution, batch normalization)."""
    table = {"stem": ("_conv_stem", "_bn0")}
    for index, (expansion, *_) in enumerate(BLOCKS):
        source = f"_blocks.{index}"
        if expansion > 1:
            table[f"blocks.{index}.expand"] = (f"{source}._expand_conv", f"{source}._bn0")
        table[f"blocks.{index}.depthwise"] = (f"{source}._depthwise_conv", f"{source}._bn1")
        table[f"blocks.{index}.project"] = (f"{source}._project_conv", f"{source}._bn2")
    return table


def fold(weight: Tensor, norm: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Fold a batch normalization into the bias-free convolution before it.

    Args:
        weight: ``[out, in, kh, kw]``.
        norm: ``weight``, ``bias``, ``running_mean``, ``running_var``, each ``[out]``.
    """
    scale = norm["weight"] / torch.sqrt(norm["running_var"] + _EPS)
    return weight * scale[:, None, None, None], norm["bias"] - norm["running_mean"] * scale


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename and fold the first eleven blocks; later stages and the classifier are dropped on purpose.

    Raises:
        CheckpointError: A tensor is missing or has a wrong shape.
    """
    result = {}
    for name, (convolution, norm) in source_names().items():
        fields = ("weight", "bias", "running_mean", "running_var")
        missing = [
            key for key in (f"{convolution}.weight", *(f"{norm}.{field}" for field in fields)) if key not in state
        ]
        if missing:
            raise CheckpointError(f"The state dict lacks {', '.join(missing)}.")
        weight, bias = fold(state[f"{convolution}.weight"], {field: state[f"{norm}.{field}"] for field in fields})
        result |= {f"{name}.weight": weight, f"{name}.bias": bias}
    check_parameters(result, EfficientNetLite0().state_dict())
    return result
