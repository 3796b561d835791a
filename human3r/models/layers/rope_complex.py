"""Rotary positions for inference on a CPU as one complex product over interleaved (u, v) channels.

The reference is ``rope.RotaryTable``. Products of queries with keys do not depend on the order of channels, so the
channels are permuted once, in the weights of the projections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.models.layers.attention import CrossAttention, SelfAttention
from human3r.models.layers.rope import RotaryTable
from human3r.records import TensorRecord


@dataclass(frozen=True)
class ComplexRotaryTable(TensorRecord):
    """``RotaryTable`` for channels in ``interleaved_order``."""

    phases: Tensor
    """``N D/2`` complex, cosine + i sine."""

    def rotate(self, tokens: Tensor) -> Tensor:
        """Rotate ``... N D`` by the N positions; fp32."""
        pairs = torch.view_as_complex(tokens.float().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.phases).flatten(-2)


def interleaved_order(head_dim: int) -> Tensor:
    """Return the permutation of the ``D`` channels [u_row | v_row | u_column | v_column] into (u, v) pairs."""
    return torch.arange(head_dim).view(2, 2, -1).transpose(1, 2).flatten()


def to_complex(table: RotaryTable) -> ComplexRotaryTable:
    """Return the same rotations for channels in ``interleaved_order``."""
    first = interleaved_order(table.cosine.shape[-1])[::2].to(table.cosine.device)
    return ComplexRotaryTable(torch.complex(table.cosine[:, first], table.sine[:, first]))


def interleave_rotary_channels(module: nn.Module) -> None:
    """Permute the channels of all queries and keys inside, in place; their tables must then be ``to_complex``.

    The module can afterwards be run, but not trained or saved.
    """
    for attention in module.modules():
        if isinstance(attention, SelfAttention):
            _permute(attention.qkv, attention.heads, num_parts=2)
        elif isinstance(attention, CrossAttention):
            _permute(attention.query, attention.heads)
            _permute(attention.key, attention.heads)


def _permute(linear: nn.Linear, heads: int, num_parts: int = 1) -> None:
    """Permute the first ``num_parts`` times D rows, head by head."""
    rows = torch.arange(linear.out_features)
    dim = linear.in_features * num_parts
    rows[:dim] = rows[:dim].view(num_parts * heads, -1)[:, interleaved_order(linear.in_features // heads)].flatten()
    rows = rows.to(linear.weight.device)
    linear.weight.data = linear.weight.data[rows]
    if linear.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
        linear.bias.data = linear.bias.data[rows]
