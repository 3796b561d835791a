"""The paper's human prior: a DINOv2 backbone on the letterboxed image, and its score map.

Sources: DINOv2 (arXiv 2304.07193); Multi-HMR (arXiv 2402.14654), sec. 3.1 for the score per patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.config import PaperConfig
from human3r.models.layers.attention import SelfAttention
from human3r.models.layers.blocks import Mlp, build_norm
from human3r.models.layers.casting import Conv2d
from human3r.models.paper.letterbox import letterbox
from human3r.models.parts import BatchRecord

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SIGMOID_MARGIN = 1e-6
"""Probabilities lie in [margin, 1 - margin]."""


@dataclass(frozen=True)
class HumanTokens(BatchRecord):
    """Features of B frames on a grid over the letterboxed square."""

    tokens: Tensor
    """``B g*g C`` normalized patch tokens, row-major."""
    score: Tensor
    """``B 1 g g`` probability that the cell contains the head of a person."""


class ScaledBlock(nn.Module):
    """Encoder block whose two updates are scaled per channel (LayerScale)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = build_norm(dim)
        self.attention = SelfAttention(dim, heads)
        self.scale1 = nn.Parameter(torch.ones(dim))
        self.norm2 = build_norm(dim)
        self.mlp = Mlp(dim, 4 * dim, dim)
        self.scale2 = nn.Parameter(torch.ones(dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``B N D`` to ``B N D``."""
        tokens = tokens + self.scale1 * self.attention(self.norm1(tokens))
        return tokens + self.scale2 * self.mlp(self.norm2(tokens))


class Dinov2(nn.Module):
    """DINOv2 vision transformer without registers."""

    def __init__(self, parts: PaperConfig) -> None:
        super().__init__()
        dim, patch = parts.human_dim, parts.human_patch_size
        self.position_grid = parts.human_position_grid
        self.interpolate_offset = parts.human_interpolate_offset
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position_embedding = nn.Parameter(torch.zeros(1, 1 + self.position_grid**2, dim))
        self.patch_embedding = Conv2d(3, dim, patch, stride=patch)
        self.blocks = nn.ModuleList(ScaledBlock(dim, parts.human_heads) for _ in range(parts.human_depth))
        self.norm = build_norm(dim)

    def forward(self, image: Tensor) -> Tensor:
        """Encode a standardized square ``B 3 R R`` into ``B g*g C``, ``g = R / patch``."""
        patches = self.patch_embedding(image).float()
        side = patches.shape[-1]
        patches = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat((self.class_token.expand(len(image), -1, -1), patches), dim=1)
        tokens = tokens + resize_positions(self.position_embedding, self.position_grid, side, self.interpolate_offset)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:]


def resize_positions(embedding: Tensor, grid: int, side: int, offset: float) -> Tensor:
    """Resample an embedding ``1 1+grid*grid C`` (class token first) to ``1 1+side*side C``, bicubic, in fp32.

    The scale is ``(side + offset) / grid``: 0.1 in the released backbones; 0 resamples to the exact size.
    """
    if side == grid:
        return embedding
    class_part, patch_part = embedding[:, :1], embedding[:, 1:].float()
    patch_part = patch_part.unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
    if offset:
        scale = (side + offset) / grid
        patch_part = functional.interpolate(patch_part, scale_factor=(scale, scale), mode="bicubic")
    else:
        patch_part = functional.interpolate(patch_part, size=(side, side), mode="bicubic")
    return torch.cat((class_part, patch_part.flatten(2).transpose(1, 2).to(embedding.dtype)), dim=1)


def standardize(image: Tensor) -> Tensor:
    """Map ``B 3 H W`` in [-1, 1] to ImageNet statistics, by channel: no constant has to be copied to the device."""
    channels = [
        (channel * 0.5 + 0.5 - mean) / std
        for channel, mean, std in zip(image.unbind(1), IMAGENET_MEAN, IMAGENET_STD, strict=True)
    ]
    return torch.stack(channels, dim=1)


def squeezed_sigmoid(logits: Tensor) -> Tensor:
    """Return the logistic function, scaled to [``SIGMOID_MARGIN``, 1 - ``SIGMOID_MARGIN``]."""
    return torch.sigmoid(logits) * (1 - 2 * SIGMOID_MARGIN) + SIGMOID_MARGIN


class Dinov2Prior(nn.Module):
    """Letterbox, backbone and score map."""

    def __init__(self, parts: PaperConfig) -> None:
        super().__init__()
        self.image_size = parts.human_image_size
        self.backbone = Dinov2(parts)
        self.score = Mlp(parts.human_dim, parts.human_dim, 1, nn.ReLU())

    def forward(self, image: Tensor) -> HumanTokens:
        """Encode ``B 3 H W`` in [-1, 1]."""
        tokens = self.backbone(standardize(letterbox(image, self.image_size)))
        side = round(tokens.shape[1] ** 0.5)
        score = squeezed_sigmoid(self.score(tokens).float()).transpose(1, 2).unflatten(-1, (side, side))
        return HumanTokens(tokens, score)
