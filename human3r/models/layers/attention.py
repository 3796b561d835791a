"""Self and cross attention with optional rotary positions, through the fastest exact kernel.

Sources: CUT3R (arXiv 2501.12387), sec. 3.2; TTT3R (arXiv 2509.26645), eq. 9 for the mean logit; SageAttention
(arXiv 2410.02367), sec. 4.2 for the centered keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.layers.casting import Linear

_BLOCK_LOGITS = 6 << 20
"""Logits of one block of ``_attend_in_blocks``: 12 MB in bf16, which fit into a processor's cache."""
_ROW_STEP = 32
_MIN_BLOCKED_LOGITS = 480 * 480
"""Logits per head above which ``_attend_in_blocks`` is faster; below, the fused kernel in fp32 is, by a quarter."""

Attend = Callable[[Tensor, Tensor, Tensor, "Tensor | None"], Tensor]
"""From query, key, value ``B heads N d`` and ``is_key`` to ``B N heads*d``."""


def attend(query: Tensor, key: Tensor, value: Tensor, is_key: Tensor | None = None) -> Tensor:
    """Return softmax(q k / sqrt(d)) v with heads merged: ``B heads N d`` in, ``B N heads*d`` out.

    ``is_key`` (``M`` bool) is False for padding; None is all keys. The reference is ``attend_reference``.
    """
    if query.dtype == torch.bfloat16 and query.device.type == "cpu" and not torch.is_grad_enabled():
        # On processors without matrix units, torch's fused kernel is no faster in bf16 than in fp32.
        return _attend_in_blocks(query, key, value, is_key)
    mask = None if is_key is None else is_key[None, None, None]
    attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attended.transpose(1, 2).flatten(2)


def attend_reference(query: Tensor, key: Tensor, value: Tensor, is_key: Tensor | None = None) -> Tensor:
    """Return what ``attend`` returns, by the formula, with all logits in memory."""
    logits = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    if is_key is not None:
        logits = logits.masked_fill(~is_key, -torch.inf)
    return (logits.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)


def _attend_in_blocks(query: Tensor, key: Tensor, value: Tensor, is_key: Tensor | None) -> Tensor:
    """Attend in bf16 by blocks of queries over all heads at once; sums and softmax are fp32.

    Logits are rounded to bf16 between the product and the softmax. Subtracting the mean key first shifts all logits of
    a query equally, to which the softmax is invariant, and makes them small enough to round.
    """
    batch, heads, num_queries, channels = query.shape
    num_keys = key.shape[2]
    mean_key = key.mean(dim=2, keepdim=True, dtype=torch.float32)
    # In the layout that the product reads; any other would be copied for every block.
    centered = ((key.float() - mean_key) * channels**-0.5).to(key.dtype).flatten(0, 1).contiguous().transpose(1, 2)
    query, value = query.flatten(0, 1), value.flatten(0, 1).contiguous()
    rows = _BLOCK_LOGITS // max(1, batch * heads * num_keys) // _ROW_STEP * _ROW_STEP
    rows = min(max(1, num_queries), max(_ROW_STEP, rows))
    # Reused by every block: new memory of this size would be mapped and cleared each time.
    buffers = query.new_empty((2, batch * heads * rows * num_keys))
    attended = query.new_empty((batch * heads, num_queries, channels))
    for start in range(0, num_queries, rows):
        block = query[:, start : start + rows].contiguous()
        shape = (batch * heads, block.shape[1], num_keys)
        logits, weights = (buffer[: math.prod(shape)].view(shape) for buffer in buffers)
        torch.bmm(block, centered, out=logits)
        if is_key is not None:
            logits.masked_fill_(~is_key, -torch.inf)
        torch.softmax(logits, dim=-1, out=weights)
        attended[:, start : start + rows] = torch.bmm(weights, value)
    return attended.unflatten(0, (batch, heads)).transpose(1, 2).flatten(2)


def cast_for_attention(projected: Tensor, num_logits: int) -> Tensor:
    """Cast projected tokens to the precision in which attention with ``num_logits`` per head is fastest.

    On a CPU, few tokens in bf16 are cast to fp32 before they are split into heads, while they are contiguous.
    """
    is_small = projected.dtype == torch.bfloat16 and projected.device.type == "cpu" and num_logits < _MIN_BLOCKED_LOGITS
    return projected.float() if is_small else projected


def mean_logits(query: Tensor, key: Tensor, is_key: Tensor | None = None) -> Tensor:
    """Return, per query token, the mean of its scaled logits over heads and keys: ``1 heads N d`` in, ``N`` out.

    The mean over keys commutes with the product: the ``N x M`` logits are never formed. ``is_key``: see ``attend``.
    """
    if is_key is None:
        mean_key = key.float().mean(dim=2, keepdim=True)
    else:
        mean_key = (key.float() * is_key[:, None]).sum(dim=2, keepdim=True) / is_key.sum()
    return (query.float() * mean_key).sum(-1).mean(dim=1)[0] * query.shape[-1] ** -0.5


def mean_logits_reference(query: Tensor, key: Tensor, is_key: Tensor | None = None) -> Tensor:
    """Return what ``mean_logits`` returns, by the formula."""
    logits = query.float() @ key.float().transpose(-2, -1) * query.shape[-1] ** -0.5
    logits = logits if is_key is None else logits[..., is_key]
    return logits.mean(dim=(1, 3))[0]


class RotaryPositions(Protocol):
    """Rotary table of N positions, ``rope.RotaryTable`` or ``rope_complex.ComplexRotaryTable``."""

    def rotate(self, tokens: Tensor) -> Tensor:
        """Rotate ``... N d`` by the N positions, in the precision of the table."""
        ...


def rotate(tokens: Tensor, rotary: RotaryPositions | None, has_half_rounding: bool = False) -> Tensor:
    """Rotate queries or keys ``... N d`` by their positions, if they have any.

    With ``has_half_rounding``, fp32 values are rounded to fp16 before and after a rotation in fp32.
    """
    if rotary is None:
        return tokens
    if not has_half_rounding or tokens.dtype == torch.bfloat16:
        return rotary.rotate(tokens).to(tokens.dtype)
    rounded = tokens.to(torch.float16).to(torch.float32)
    return rotary.rotate(rounded).to(torch.float16).to(tokens.dtype)


class SelfAttention(nn.Module):
    """Multi-head self attention with one fused linear for query, key and value.

    ``has_half_rounding`` rounds query and key to fp16 around the rotation, as the released image encoder does.
    """

    def __init__(self, dim: int, heads: int, has_half_rounding: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.has_half_rounding = has_half_rounding
        self.attend: Attend = attend
        self.qkv = Linear(dim, 3 * dim)
        self.projection = Linear(dim, dim)

    def forward(self, tokens: Tensor, rotary: RotaryPositions | None = None, is_token: Tensor | None = None) -> Tensor:
        """Attend within ``B N D``; ``rotary`` has the N positions, ``is_token`` (``N`` bool) is False for padding."""
        qkv = cast_for_attention(self.qkv(tokens), tokens.shape[1] ** 2)
        parts = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = rotate(parts[:2], rotary, self.has_half_rounding)
        return self.projection(self.attend(query, key, parts[2], is_token))


class CrossAttention(nn.Module):
    """Multi-head attention from one sequence to another."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attend: Attend = attend
        self.mean_logits = mean_logits
        self.query = Linear(dim, dim)
        self.key = Linear(dim, dim)
        self.value = Linear(dim, dim)
        self.projection = Linear(dim, dim)

    def forward(
        self,
        tokens: Tensor,
        context: Tensor,
        rotary: RotaryPositions | None = None,
        context_rotary: RotaryPositions | None = None,
        with_mean_logits: bool = False,
        is_context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from ``B N D`` to ``B M D``; return the result and, if asked for, ``mean_logits`` (batch 1).

        ``is_context`` (``M`` bool) is False for padding.
        """
        num_logits = tokens.shape[1] * context.shape[1]
        query, key, value = (
            cast_for_attention(linear(sequence), num_logits).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, sequence in ((self.query, tokens), (self.key, context), (self.value, context))
        )
        query, key = rotate(query, rotary), rotate(key, context_rotary)
        logits = self.mean_logits(query, key, is_context) if with_mean_logits else None
        return self.projection(self.attend(query, key, value, is_context)), logits
