"""Which weights of an official network are stored and multiplied in half precision, and which must stay fp32.

``bf16`` and ``fp16``: the matrices of encoder, backbone, decoder and memory blocks, and the convolutions of the point
head, their biases included: nearly all of the arithmetic. Products are summed in fp32. Everything else is fp32:

- layer norms (their statistics are means over a thousand values) and the residual stream between blocks, so that
  roundings of 50 blocks do not add up;
- softmax sums, rotary angles and tables;
- patch embeddings: a hundredth of the arithmetic, but whatever they round, every block sees;
- detection scores and prompts: non-maximum suppression compares neighbours for equality, which rounding would create;
- camera, person and mask heads, and the last layer of the point head: their outputs pass through exponentials or
  quaternions, and millimetres are less than eight bits of a metre;
- focal length, bodies, tracking and all geometry;
- recurrent state and memory slots with their projections: errors would accumulate from frame to frame.

``mixed16`` and ``mixed`` also keep encoder, decoder and memory in fp32: what these round goes into the camera and from
frame to frame. What every part costs is in the table of this folder's README.
"""

from __future__ import annotations

import re
from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "mixed16", "mixed", "fp16", "bf16"]
"""From exact to fast. ``mixed16``: fp16 in the human backbone and the point head; within all written tolerances, for
devices that multiply fp16 fast. ``mixed``: bf16 in the human backbone, the one part whose roundings the other outputs
hardly notice."""

_BACKBONE = r"human_prior\.backbone\.blocks\.\d+\.(attention|mlp)\.\w+\.(weight|bias)"
_POINTS = r"point_head\.dpt\.(?!output\.2\.).*"
_ALL = (
    rf"{_BACKBONE}|{_POINTS}|image_encoder\.blocks\.\d+\.(attention|mlp)\.\w+\.(weight|bias)"
    r"|decoder\.(embed_image|(image|state)_blocks\.\d+\.(attention|cross_attention|mlp)\.\w+)\.(weight|bias)"
    r"|memory\.(read|write)_blocks\.\d+\.(attention|cross_attention|mlp)\.\w+\.(weight|bias)"
)
_STORED: dict[Precision, tuple[re.Pattern[str], torch.dtype]] = {
    "mixed16": (re.compile(f"{_BACKBONE}|{_POINTS}"), torch.float16),
    "mixed": (re.compile(_BACKBONE), torch.bfloat16),
    "fp16": (re.compile(_ALL), torch.float16),
    "bf16": (re.compile(_ALL), torch.bfloat16),
}


def stored_precision(name: str, precision: Precision) -> torch.dtype:
    """Return the type that the parameter ``name`` of an official network has under a precision."""
    if precision == "fp32":
        return torch.float32
    pattern, dtype = _STORED[precision]
    return dtype if pattern.fullmatch(name) else torch.float32


def set_precision(network: nn.Module, precision: Precision) -> None:
    """Convert the parameters of an official network in place, one at a time."""
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(stored_precision(name, precision))
