"""The official image encoder: a plain ViT with rotary positions on 16-pixel patches.

Sources: CUT3R (arXiv 2501.12387), sec. 3.1; CroCo v2 (arXiv 2211.10408).
"""

from __future__ import annotations

from torch import Tensor, nn

from human3r.models.config import OfficialConfig, TrunkConfig
from human3r.models.layers.blocks import EncoderBlock, build_norm
from human3r.models.layers.casting import Conv2d
from human3r.models.layers.rope import Rotary, grid_positions
from human3r.models.layers.rope_complex import in_pairs
from human3r.models.parts import ImageFeatures


class VitEncoder(nn.Module):
    """Encode images into normalised patch tokens. Portrait frames are simply grids with more rows than columns."""

    def __init__(self, trunk: TrunkConfig, parts: OfficialConfig) -> None:
        super().__init__()
        dim, patch = trunk.token_dim, trunk.patch_size
        self.rotary = Rotary(dim // parts.encoder_heads, trunk.rope_base)
        self.patch_embedding = Conv2d(3, dim, patch, stride=patch)
        self.blocks = nn.ModuleList(
            EncoderBlock(dim, parts.encoder_heads, trunk.mlp_ratio, parts.has_half_rotary)
            for _ in range(parts.encoder_depth)
        )
        self.norm = build_norm(dim)
        self.is_in_pairs = False
        """Whether the channels of queries and keys are ``order_in_pairs``."""

    def forward(self, image: Tensor) -> ImageFeatures:
        """Encode ``B 3 H W`` in [-1, 1]; H and W are multiples of the patch size."""
        tokens = self.patch_embedding(image).float()
        rows, columns = tokens.shape[-2:]
        tokens = tokens.flatten(2).transpose(1, 2)
        table = self.rotary.grid(rows, columns, tokens.device)
        rotary = in_pairs(table) if self.is_in_pairs else table
        for block in self.blocks:
            tokens = block(tokens, rotary)
        return ImageFeatures(self.norm(tokens), grid_positions(rows, columns, tokens.device), (rows, columns))
