"""Attention, in one place: self and cross attention with optional rotary positions over one fused kernel.

Sources: CUT3R (arXiv 2501.12387), sec. 3.2; TTT3R (arXiv 2509.26645), eq. 9 for the mean logit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.rope import RotaryTable


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(q k / sqrt(d)) v, unmasked, with heads merged: ``B heads N d`` in, ``B N heads*d`` out."""
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def mean_logits(query: Tensor, key: Tensor) -> Tensor:
    """Return, per query token, the mean of its scaled logits over heads and keys: ``1 heads N d`` in, ``N`` out.

    The mean over keys commutes with the product, so the ``N x M`` logits are never formed.
    """
    mean_key = key.float().mean(dim=2, keepdim=True)
    return (query.float() * mean_key).sum(-1).mean(dim=1)[0] * query.shape[-1] ** -0.5


def rotate(tokens: Tensor, rotary: RotaryTable | None, has_half_rounding: bool = False) -> Tensor:
    """Rotate queries or keys ``B heads N d`` by their positions, if they have any.

    With ``has_half_rounding`` the values are rounded to fp16 before and after, and rotated in fp32 between.
    """
    if rotary is None:
        return tokens
    if not has_half_rounding:
        return rotary.rotate(tokens).to(tokens.dtype)
    rounded = tokens.to(torch.float16).to(torch.float32)
    return rotary.rotate(rounded).to(torch.float16).to(tokens.dtype)


class SelfAttention(nn.Module):
    """Multi-head self attention with one fused linear for query, key and value.

    Args:
        dim: Channels.
        heads: Number of heads, a divisor of ``dim``.
        has_half_rounding: Round query and key to fp16 before and after the rotation. The released image encoder
            rotates in half precision; its numbers are only met with the same rounding.
    """

    def __init__(self, dim: int, heads: int, has_half_rounding: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.has_half_rounding = has_half_rounding
        self.qkv = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, rotary: RotaryTable | None = None) -> Tensor:
        """Attend within ``B N D``; ``rotary`` holds the N positions."""
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = rotate(query, rotary, self.has_half_rounding)
        key = rotate(key, rotary, self.has_half_rounding)
        return self.projection(attend(query, key, value))


class CrossAttention(nn.Module):
    """Multi-head attention from one sequence to another.

    Args:
        dim: Channels of both sequences.
        heads: Number of heads, a divisor of ``dim``.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.projection = nn.Linear(dim, dim)

    def forward(
        self,
        tokens: Tensor,
        context: Tensor,
        rotary: RotaryTable | None = None,
        context_rotary: RotaryTable | None = None,
        with_mean_logits: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from ``B N D`` to ``B M D``; return the result and, if asked for, ``mean_logits`` (batch 1)."""
        query, key, value = (
            linear(sequence).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, sequence in ((self.query, tokens), (self.key, context), (self.value, context))
        )
        query, key = rotate(query, rotary), rotate(key, context_rotary)
        logits = mean_logits(query, key) if with_mean_logits else None
        return self.projection(attend(query, key, value)), logits
