"""Rotary positions for inference on a CPU: channels that turn together lie together, so that a rotation is one product.

The plain twin is ``rope.RotaryTable``. Products of queries with keys do not depend on the order of their channels, so
the order is changed once, in the weights, and nothing after the attention notices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.models.layers.attention import CrossAttention, SelfAttention
from human3r.models.layers.rope import RotaryTable
from human3r.records import TensorRecord


@dataclass(frozen=True)
class PairTable(TensorRecord):
    """What ``RotaryTable`` is, for channels in ``pair_order``."""

    turns: Tensor
    """``N D/2`` complex, cosine + i sine."""

    def rotate(self, tokens: Tensor) -> Tensor:
        """Rotate ``... N D`` by the N positions; fp32."""
        pairs = torch.view_as_complex(tokens.float().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.turns).flatten(-2)


def pair_order(head_dim: int) -> Tensor:
    """Return the ``D`` channels of a head, [u_row | v_row | u_column | v_column], as (u, v) pairs."""
    return torch.arange(head_dim).view(2, 2, -1).transpose(1, 2).flatten()


def in_pairs(table: RotaryTable) -> PairTable:
    """Return the same turns for channels in ``pair_order``."""
    first = pair_order(table.cosine.shape[-1])[::2].to(table.cosine.device)
    return PairTable(torch.complex(table.cosine[:, first], table.sine[:, first]))


def order_in_pairs(module: nn.Module) -> None:
    """Re-order the channels of all queries and keys inside, in place; their tables must then be ``in_pairs``.

    The module can afterwards be run, not trained or saved.
    """
    for attention in module.modules():
        if isinstance(attention, SelfAttention):
            _reorder(attention.qkv, attention.heads, num_parts=2)
        elif isinstance(attention, CrossAttention):
            _reorder(attention.query, attention.heads)
            _reorder(attention.key, attention.heads)


def _reorder(linear: nn.Linear, heads: int, num_parts: int = 1) -> None:
    """Re-order the first ``num_parts`` times D rows, head by head."""
    rows = torch.arange(linear.out_features)
    dim = linear.in_features * num_parts
    rows[:dim] = rows[:dim].view(num_parts * heads, -1)[:, pair_order(linear.in_features // heads)].flatten()
    rows = rows.to(linear.weight.device)
    linear.weight.data = linear.weight.data[rows]
    if linear.bias is not None:
        linear.bias.data = linear.bias.data[rows]
