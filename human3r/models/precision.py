"""Which weights of an official network are stored and multiplied in bf16, and which must stay fp32.

bf16: the matrices of encoder, backbone, decoder and memory blocks, patch embeddings, and the convolutions of the point
head, their biases included: nearly all of the arithmetic. Products are summed in fp32. Everything else is fp32:

- layer norms (their statistics are means over a thousand values) and the residual stream between blocks, so that
  roundings of 50 blocks do not add up;
- softmax sums, rotary angles and tables;
- detection scores and prompts: non-maximum suppression compares neighbours for equality, which rounding would create;
- camera, person and mask heads, and the last layer of the point head: their outputs pass through exponentials or
  quaternions, and millimetres are less than eight bits of a metre;
- focal length, bodies, tracking and all geometry;
- recurrent state and memory slots with their projections: errors would accumulate from frame to frame.
"""

from __future__ import annotations

import re
from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "mixed", "bf16"]
"""``mixed``: bf16 in the human backbone only, the one part whose roundings the other outputs hardly notice."""

_HALF_BACKBONE = r"human_prior\.backbone\.(patch_embedding|blocks\.\d+\.(attention|mlp)\.\w+)\.(weight|bias)"
_HALF = re.compile(
    rf"{_HALF_BACKBONE}|image_encoder\.(patch_embedding|blocks\.\d+\.(attention|mlp)\.\w+)\.(weight|bias)"
    r"|decoder\.(embed_image|(image|state)_blocks\.\d+\.(attention|cross_attention|mlp)\.\w+)\.(weight|bias)"
    r"|memory\.(read|write)_blocks\.\d+\.(attention|cross_attention|mlp)\.\w+\.(weight|bias)"
    r"|point_head\.dpt\.(?!output\.2\.).*"
)


def stored_precision(name: str, precision: Precision) -> torch.dtype:
    """Return the type that the parameter ``name`` of an official network has under a precision."""
    pattern = {"fp32": None, "mixed": _HALF_BACKBONE, "bf16": _HALF}[precision]
    return torch.bfloat16 if pattern is not None and re.fullmatch(pattern, name) else torch.float32


def set_precision(network: nn.Module, precision: Precision) -> None:
    """Convert the parameters of an official network in place, one at a time."""
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(stored_precision(name, precision))
