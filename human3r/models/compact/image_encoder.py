"""The compact image encoder: a frozen convolutional backbone, and a few transformer blocks on its coarsest features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from human3r.models.compact.convnets.efficientnet import TAP_CHANNELS, EfficientNetLite0
from human3r.models.config import CompactConfig, TrunkConfig
from human3r.models.layers.attention import RotaryPositions
from human3r.models.layers.blocks import EncoderBlock, build_norm
from human3r.models.layers.rope import Rotary
from human3r.models.layers.rope_complex import to_complex
from human3r.models.parts import ImageFeatures
from human3r.models.signatures import ImageEncoder

_LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of RGB. Source: ITU-R BT.601."""


class CompactImageEncoder(ImageEncoder):
    """Image to tokens of stride 16, and a pyramid of four levels: gray image, backbone at strides 4, 8, 16."""

    def __init__(self, trunk: TrunkConfig, parts: CompactConfig) -> None:
        super().__init__()
        dim = trunk.token_dim
        self.rotary = Rotary(dim // parts.encoder_heads, trunk.rope_base)
        self.trunk = EfficientNetLite0()
        self.embedding = nn.Linear(TAP_CHANNELS[2], dim)
        self.blocks = nn.ModuleList(
            EncoderBlock(dim, parts.encoder_heads, trunk.mlp_ratio) for _ in range(parts.encoder_depth)
        )
        self.norm = build_norm(dim)

    def forward(self, image: Tensor) -> ImageFeatures:
        """Encode ``B 3 H W`` in [-1, 1]; H and W are multiples of 32."""
        # The frozen backbone may run in another precision than the blocks.
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trunk.stem.weight.requires_grad):
            fine, middle, coarse = self.trunk(image.to(self.trunk.stem.weight.dtype))
        rows, columns = coarse.shape[-2:]
        tokens = self.embedding(coarse.to(self.embedding.weight.dtype).flatten(2).transpose(1, 2))
        rotary: RotaryPositions = self.rotary.grid(rows, columns, tokens.device)
        rotary = to_complex(rotary) if self.has_complex_rope else rotary
        for block in self.blocks:
            tokens = block(tokens, rotary)
        return ImageFeatures(self.norm(tokens), (rows, columns), (gray_of(image), fine, middle, coarse))


def gray_of(image: Tensor) -> Tensor:
    """Return the luma ``B 1 H W`` of ``B 3 H W`` RGB."""
    return (image.float() * image.new_tensor(_LUMA_WEIGHTS)[:, None, None]).sum(1, keepdim=True)
