"""The pose memory: slots that store past camera poses, read for the pose token of the next frame.

Source: CUT3R (arXiv 2501.12387), sec. 3.2 and its released configuration (256 slots).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from human3r.models.config import TrunkConfig
from human3r.models.layers.blocks import DecoderBlock
from human3r.models.layers.casting import Linear


class PoseMemory(nn.Module):
    """Slots of [key | value] channels, a reader and a writer; no positions."""

    def __init__(self, trunk: TrunkConfig) -> None:
        super().__init__()
        dim = trunk.decoder_dim
        self.dim = dim
        self.first_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.slots = nn.Parameter(torch.zeros(1, trunk.num_memory_slots, 2 * dim))
        self.unknown_value = nn.Parameter(torch.zeros(1, 1, dim))
        self.embed_key = Linear(trunk.token_dim, dim)
        self.read_blocks = self._stack(trunk)
        self.write_blocks = self._stack(trunk)

    @staticmethod
    def _stack(trunk: TrunkConfig) -> nn.ModuleList:
        return nn.ModuleList(
            DecoderBlock(2 * trunk.decoder_dim, trunk.decoder_heads, trunk.mlp_ratio)
            for _ in range(trunk.num_memory_blocks)
        )

    def initial_slots(self) -> Tensor:
        """Return ``1 M 2D``, the memory before the first frame."""
        return self.slots

    def first_pose_token(self) -> Tensor:
        """Return ``1 1 D``, the learned pose token of a segment's first frame."""
        return self.first_token

    def key(self, image_tokens: Tensor) -> Tensor:
        """Return ``1 1 D``, the key of a frame (``1 N D_token``): its mean token, projected."""
        return self.embed_key(image_tokens.mean(dim=1, keepdim=True))

    def read(self, image_tokens: Tensor, memory_slots: Tensor) -> Tensor:
        """Return the pose token ``1 1 D`` of a frame: the value for its key."""
        query = torch.cat((self.key(image_tokens), self.unknown_value), dim=-1)
        for block in self.read_blocks:
            query, _ = block(query, memory_slots)
        return query[..., self.dim :]

    def write(self, image_tokens: Tensor, pose_token: Tensor, memory_slots: Tensor) -> Tensor:
        """Return the slots ``1 M 2D`` updated with the frame's key and decoded pose token (``1 1 D``)."""
        entry = torch.cat((self.key(image_tokens), pose_token), dim=-1)
        for block in self.write_blocks:
            memory_slots, _ = block(memory_slots, entry)
        return memory_slots
