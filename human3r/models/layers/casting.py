"""Linear and convolution layers that bring their input to the precision of their own weights.

A network then runs in whatever precision its weights are stored in: where weights are fp32 nothing changes, where they
are bf16 the input is rounded on entry and the residual stream around the layer stays fp32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def to_precision_of(tokens: Tensor, weight: Tensor) -> Tensor:
    """Round ``tokens`` to the precision of ``weight`` where that is lower; fp32 weights leave it to autocast."""
    return tokens if weight.dtype == torch.float32 else tokens.to(weight.dtype)


class Linear(nn.Linear):
    """``nn.Linear`` whose input may be of a higher precision than its weights."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``... in`` to ``... out``, in the precision of the weights."""
        return super().forward(to_precision_of(tokens, self.weight))


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` whose input may be of a higher precision than its weights."""

    def forward(self, image: Tensor) -> Tensor:
        """Map ``B C H W``, in the precision of the weights."""
        return super().forward(to_precision_of(image, self.weight))


class ConvTranspose2d(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` whose input may be of a higher precision than its weights."""

    def forward(self, image: Tensor) -> Tensor:
        """Map ``B C H W``, in the precision of the weights."""
        return super().forward(to_precision_of(image, self.weight))
