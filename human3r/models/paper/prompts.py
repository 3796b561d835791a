"""The paper's prompter: from the score map to detections, and from detections to human tokens.

Sources: Human3R (arXiv 2510.06219), sec. 3.2 (human prompts); Multi-HMR (arXiv 2402.14654), sec. 3.1 (detection).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.config import PaperConfig, TrunkConfig
from human3r.models.layers.blocks import Mlp
from human3r.models.paper.dinov2 import HumanTokens
from human3r.models.paper.letterbox import letterbox_points_to_image
from human3r.models.parts import Detections, ImageFeatures, PromptContext


def suppress_non_maxima(score: Tensor) -> Tensor:
    """Return a score map ``B 1 g g`` in which all but the 3x3 maxima are 0; equal neighbors are both kept."""
    return score * (functional.max_pool2d(score, 3, stride=1, padding=1) == score)


def locate_heads(cells: Tensor, offsets: Tensor, patch_size: int) -> Tensor:
    """Return ``P 2`` (x, y) head keypoints in pixels of the square.

    ``cells`` is ``P 2`` int64 (row, column), ``offsets`` ``P 2`` (x, y) from the center of the cell, in cells.
    """
    return (cells.flip(-1) + 0.5 + offsets) * patch_size


def image_cells(points_px: Tensor, patch_size: int) -> Tensor:
    """Return ``P 2`` int64 (row, column) of the image tokens that contain ``P 2`` (x, y) pixels."""
    return (points_px / patch_size).floor().long().flip(-1)


class HeadPrompter(nn.Module):
    """Detect heads on the score map and fuse each with its image token."""

    def __init__(self, trunk: TrunkConfig, parts: PaperConfig) -> None:
        super().__init__()
        self.threshold = parts.detection_threshold
        self.patch_size = trunk.patch_size
        self.human_patch_size = parts.human_patch_size
        self.human_image_size = parts.human_image_size
        fused_dim = parts.human_dim + trunk.token_dim
        self.offset = Mlp(parts.human_dim, parts.human_dim, 2, nn.ReLU())
        self.fuse = Mlp(fused_dim, 4 * fused_dim, trunk.decoder_dim)

    def forward(self, human: HumanTokens, image: ImageFeatures, context: PromptContext) -> Detections:
        """Detect in one frame; people are in raster order of their cells, unlimited in number."""
        score = suppress_non_maxima(human.score)[0, 0]
        cells, is_real, num_found = self._detect(score, context.people_capacity)
        rows, columns = cells.unbind(-1)
        human_features = human.tokens[0, rows * score.shape[1] + columns]
        head_px = locate_heads(cells, self.offset(human_features).float(), self.human_patch_size)
        head_uv_px = letterbox_points_to_image(head_px, self.human_image_size, context.image_size)
        positions = image_cells(head_uv_px, self.patch_size)
        image_features = image.tokens[0, positions[:, 0] * image.grid[1] + positions[:, 1]]
        return Detections(
            score=score[rows, columns],
            head_uv_px=head_uv_px,
            human_features=human_features,
            prompts=self.fuse(torch.cat((human_features, image_features), dim=-1)),
            positions=positions,
            is_real=is_real,
            num_found=num_found,
        )

    def _detect(self, score: Tensor, capacity: int | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return ``P 2`` cells in raster order and, if padded, a mask of the real ones and their number."""
        is_head = score >= self.threshold
        if capacity is None:
            return is_head.nonzero(), None, None
        _, best = score.flatten().topk(min(capacity, score.numel()))
        is_real = is_head.flatten()[best]
        # Raster order, padding last.
        order = torch.where(is_real, best, best + score.numel()).argsort()
        best = best[order]
        width = score.shape[1]
        return torch.stack((best // width, best % width), dim=-1), is_real[order], is_head.sum()
