"""Transformer blocks shared by several parts, as the released weights were trained: exact GELU, norms with eps 1e-6.

Sources: ViT (arXiv 2010.11929); CUT3R (arXiv 2501.12387), sec. 3.2.
"""

from __future__ import annotations

from torch import Tensor, nn

from human3r.models.layers.attention import CrossAttention, RotaryPositions, SelfAttention
from human3r.models.layers.casting import Linear

NORM_EPS = 1e-6
"""PyTorch's default of 1e-5 changes the outputs by 6e-4."""


def build_norm(dim: int) -> nn.LayerNorm:
    """Return a layer norm over ``dim`` channels."""
    return nn.LayerNorm(dim, eps=NORM_EPS)


class Mlp(nn.Module):
    """Linear, activation (exact GELU by default), linear."""

    def __init__(self, dim: int, hidden: int, out: int, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.expand = Linear(dim, hidden)
        self.activation = nn.GELU() if activation is None else activation
        self.contract = Linear(hidden, out)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``... dim`` to ``... out``."""
        return self.contract(self.activation(self.expand(tokens)))


class EncoderBlock(nn.Module):
    """Self attention and MLP, pre-norm; ``has_half_rounding`` as in ``SelfAttention``."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, has_half_rounding: bool = False) -> None:
        super().__init__()
        self.norm1 = build_norm(dim)
        self.attention = SelfAttention(dim, heads, has_half_rounding)
        self.norm2 = build_norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), dim)

    def forward(self, tokens: Tensor, rotary: RotaryPositions | None = None) -> Tensor:
        """Map ``B N D`` to ``B N D``."""
        tokens = tokens + self.attention(self.norm1(tokens), rotary)
        return tokens + self.mlp(self.norm2(tokens))


class DecoderBlock(nn.Module):
    """Self attention, cross attention to a context, MLP; pre-norm."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = build_norm(dim)
        self.attention = SelfAttention(dim, heads)
        self.norm2 = build_norm(dim)
        self.context_norm = build_norm(dim)
        self.cross_attention = CrossAttention(dim, heads)
        self.norm3 = build_norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), dim)

    def forward(
        self,
        tokens: Tensor,
        context: Tensor,
        rotary: RotaryPositions | None = None,
        context_rotary: RotaryPositions | None = None,
        with_mean_logits: bool = False,
        is_token: Tensor | None = None,
        is_context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Map ``B N D`` with context ``B M D`` to ``B N D``, and the ``N`` mean cross-attention logits if asked for.

        ``is_token`` (``N`` bool) and ``is_context`` (``M`` bool) are False for padding; None is no padding.
        """
        tokens = tokens + self.attention(self.norm1(tokens), rotary, is_token)
        context = self.context_norm(context)
        update, logits = self.cross_attention(
            self.norm2(tokens), context, rotary, context_rotary, with_mean_logits, is_context
        )
        tokens = tokens + update
        return tokens + self.mlp(self.norm3(tokens)), logits
