"""The paper's image encoder: a ViT with rotary positions on 16-pixel patches.

Sources: CUT3R (arXiv 2501.12387), sec. 3.1; CroCo v2 (arXiv 2211.10408).
"""

from __future__ import annotations

from torch import Tensor, nn

from human3r.models.config import PaperConfig, TrunkConfig
from human3r.models.layers.blocks import EncoderBlock, build_norm
from human3r.models.layers.casting import Conv2d
from human3r.models.layers.rope import Rotary
from human3r.models.layers.rope_complex import to_complex
from human3r.models.parts import ImageFeatures
from human3r.models.signatures import ImageEncoder


class VitEncoder(ImageEncoder):
    """Encode images into normalized patch tokens."""

    def __init__(self, trunk: TrunkConfig, parts: PaperConfig) -> None:
        super().__init__()
        dim, patch = trunk.token_dim, trunk.patch_size
        self.rotary = Rotary(dim // parts.encoder_heads, trunk.rope_base)
        self.patch_embedding = Conv2d(3, dim, patch, stride=patch)
        self.blocks = nn.ModuleList(
            EncoderBlock(dim, parts.encoder_heads, trunk.mlp_ratio, parts.has_half_rotary)
            for _ in range(parts.encoder_depth)
        )
        self.norm = build_norm(dim)

    def forward(self, image: Tensor) -> ImageFeatures:
        """Encode ``B 3 H W`` in [-1, 1]; H and W are multiples of the patch size."""
        tokens = self.patch_embedding(image).float()
        rows, columns = tokens.shape[-2:]
        tokens = tokens.flatten(2).transpose(1, 2)
        table = self.rotary.grid(rows, columns, tokens.device)
        rotary = to_complex(table) if self.has_complex_rope else table
        for block in self.blocks:
            tokens = block(tokens, rotary)
        return ImageFeatures(self.norm(tokens), (rows, columns))
