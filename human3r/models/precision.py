"""Weights of the paper's network that are stored and multiplied in half precision, and those that must stay fp32.

``bf16`` and ``fp16``: matrices and biases of encoder, backbone, decoder and memory blocks, and the convolutions of the
point head: nearly all of the arithmetic. Products are summed in fp32. Everything else is fp32:

- layer norms (their statistics are means over a thousand values) and the residual stream, so that the rounding errors
  of 50 blocks do not accumulate;
- softmax sums, rotary angles and tables;
- patch embeddings: a hundredth of the arithmetic, but every block sees their rounding errors;
- detection scores and prompts: non-maximum suppression compares neighbors for equality, which rounding would create;
- camera, person and mask heads, and the last layer of the point head: their outputs pass through exponentials or
  quaternions, and a millimeter is less than the last of eight bits of a meter;
- focal length, bodies, tracking and all geometry;
- recurrent state and memory slots with their projections, where errors would accumulate from frame to frame.

``mixed16`` and ``mixed`` also keep encoder, decoder and memory in fp32, whose errors affect the camera and later
frames. The README of this folder has the errors of every part.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "mixed16", "mixed", "fp16", "bf16"]
"""From exact to fast. ``mixed16``: fp16 in the human backbone and the point head, within all documented tolerances, for
devices with fast fp16. ``mixed``: bf16 in the human backbone, the part whose rounding errors affect the other outputs
least."""

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
    """Return the type of the parameter ``name`` of the paper's network under a precision."""
    if precision == "fp32":
        return torch.float32
    pattern, dtype = _STORED[precision]
    return dtype if pattern.fullmatch(name) else torch.float32


def set_precision(network: nn.Module, precision: Precision) -> None:
    """Convert the parameters of the paper's network in place, one at a time."""
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(stored_precision(name, precision))


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which operators on a device keep the types of their tensors."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
