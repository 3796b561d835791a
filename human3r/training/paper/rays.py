"""The ray branch: a second, shallow encoder for known cameras, whose tokens are added to the image's.

Used in training only. Source: CUT3R (arXiv 2501.12387), sec. 3.3; adding the tokens and normalizing the directions are
our interpretation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.config import PaperConfig, TrunkConfig
from human3r.models.layers.blocks import EncoderBlock, build_norm
from human3r.models.layers.rope import Rotary


class RayEncoder(nn.Module):
    """Encode ray maps into tokens on the grid of the image tokens."""

    def __init__(self, trunk: TrunkConfig, parts: PaperConfig) -> None:
        super().__init__()
        dim, patch = trunk.token_dim, trunk.patch_size
        self.rotary = Rotary(dim // parts.encoder_heads, trunk.rope_base)
        self.patch_embedding = nn.Conv2d(6, dim, patch, stride=patch)
        self.blocks = nn.ModuleList(
            EncoderBlock(dim, parts.encoder_heads, trunk.mlp_ratio) for _ in range(parts.num_ray_blocks)
        )
        self.norm = build_norm(dim)

    def forward(self, rays: Tensor) -> Tensor:
        """Map ``B 6 H W`` to ``B N D``."""
        tokens = self.patch_embedding(rays)
        rotary = self.rotary.grid(tokens.shape[-2], tokens.shape[-1], tokens.device)
        tokens = tokens.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, rotary)
        return self.norm(tokens)


def ray_maps(K: Tensor, T_world_camera: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return ``B N 6 H W``: per pixel the camera's position, meters, and the unit direction of its ray, both in world.

    Args:
        K: ``B N 3 3`` pixels.
        T_world_camera: ``B N 4 4``, world is the first view's camera.
        image_size: (height, width).
    """
    height, width = image_size
    rows = torch.arange(height, dtype=K.dtype, device=K.device)
    columns = torch.arange(width, dtype=K.dtype, device=K.device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x)), dim=-1).flatten(0, 1)
    directions = pixels @ torch.linalg.inv(K).transpose(-1, -2) @ T_world_camera[..., :3, :3].transpose(-1, -2)
    directions = functional.normalize(directions, dim=-1)
    origins = T_world_camera[..., None, :3, 3].expand_as(directions)
    return torch.cat((origins, directions), dim=-1).transpose(-1, -2).unflatten(-1, (height, width))
