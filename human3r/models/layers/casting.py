"""Linear and convolution layers that cast their input to the precision of their weights.

A network then runs in the precision that its weights are stored in, and the residual stream stays fp32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def to_precision_of(tokens: Tensor, weight: Tensor) -> Tensor:
    """Cast ``tokens`` to the precision of ``weight`` if that is not fp32; with fp32 weights, autocast decides."""
    return tokens if weight.dtype == torch.float32 else tokens.to(weight.dtype)


class Linear(nn.Linear):
    """``nn.Linear`` in the precision of its weights."""

    def forward(self, input: Tensor) -> Tensor:
        """Map ``... in`` to ``... out``."""
        return super().forward(to_precision_of(input, self.weight))


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` in the precision of its weights."""

    def forward(self, input: Tensor) -> Tensor:
        """Map ``B C H W``."""
        return super().forward(to_precision_of(input, self.weight))


class ConvTranspose2d(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` in the precision of its weights."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map ``B C H W``."""
        return super().forward(to_precision_of(input, self.weight), output_size)
