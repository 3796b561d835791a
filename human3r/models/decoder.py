"""The dual decoder: image-side and state-side blocks that attend to each other in parallel.

Image side: [pose token | image tokens | human prompts], which attend to each other and to the state. State side: the
state tokens. Sources: CUT3R (arXiv 2501.12387), sec. 3.2; Human3R (arXiv 2510.06219), sec. 3.2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from human3r.models.config import TrunkConfig
from human3r.models.layers.blocks import DecoderBlock, build_norm
from human3r.models.layers.casting import Linear
from human3r.models.layers.rope import Rotary, RotaryTable
from human3r.models.layers.rope_complex import ComplexRotaryTable, to_complex
from human3r.models.parts import DecoderOutput, Detections, ImageFeatures


class DualDecoder(nn.Module):
    """Two stacks of decoder blocks of equal width and depth, and the learned initial state."""

    def __init__(self, trunk: TrunkConfig) -> None:
        super().__init__()
        dim, depth = trunk.decoder_dim, trunk.decoder_depth
        self.level_depths = (depth // 2, depth * 3 // 4, depth)
        self.state_seed = nn.Parameter(torch.zeros(trunk.num_state_tokens, trunk.token_dim))
        self.embed_state = Linear(trunk.token_dim, dim)
        self.embed_image = Linear(trunk.token_dim, dim)
        self.image_blocks = self._stack(trunk, trunk.decoder_heads)
        self.state_blocks = self._stack(trunk, trunk.state_heads)
        self.image_norm = build_norm(dim)
        self.state_norm = build_norm(dim)
        self.image_rotary = Rotary(dim // trunk.decoder_heads, trunk.rope_base)
        self.state_rotary = Rotary(dim // trunk.state_heads, trunk.rope_base)
        self.has_complex_rope = False
        """Whether ``interleave_rotary_channels`` was applied."""

    @staticmethod
    def _stack(trunk: TrunkConfig, heads: int) -> nn.ModuleList:
        return nn.ModuleList(
            DecoderBlock(trunk.decoder_dim, heads, trunk.mlp_ratio) for _ in range(trunk.decoder_depth)
        )

    def initial_state(self) -> Tensor:
        """Return ``1 S D``, the projected learned tokens; independent of any image."""
        return self.embed_state(self.state_seed)[None]

    def forward(
        self, image: ImageFeatures, pose_token: Tensor, detections: Detections, state_tokens: Tensor, *, with_gate: bool
    ) -> DecoderOutput:
        """Decode one frame.

        Args:
            image: Features of one frame.
            pose_token: ``1 1 D``.
            detections: Prompts and their positions among the image tokens.
            state_tokens: ``1 S D`` state before the frame.
            with_gate: Also return the mean cross-attention logits of the state tokens.
        """
        num_image = image.tokens.shape[1]
        tokens = torch.cat((pose_token, self.embed_image(image.tokens).float(), detections.prompts[None]), dim=1)
        is_token = _is_token(detections, 1 + num_image)
        # A block rotates its own queries and the other side's keys with the frequencies of its own head size.
        on_image_side = self._tables(self.image_rotary, image, detections)
        on_state_side = on_image_side
        if self.state_rotary.head_dim != self.image_rotary.head_dim:
            on_state_side = self._tables(self.state_rotary, image, detections)
        levels: dict[int, Tensor] = {}
        logits: list[Tensor] = []
        for index, (image_block, state_block) in enumerate(zip(self.image_blocks, self.state_blocks, strict=True), 1):
            new_state, logit = state_block(
                state_tokens, tokens, *reversed(on_state_side), with_mean_logits=with_gate, is_context=is_token
            )
            tokens, _ = image_block(tokens, state_tokens, *on_image_side, is_token=is_token)
            state_tokens = new_state
            if logit is not None:
                logits.append(logit)
            if index == len(self.image_blocks):
                tokens = self.image_norm(tokens)
            if index in self.level_depths:
                levels[index] = tokens[:, 1 : 1 + num_image]
        return DecoderOutput(
            levels=tuple(levels[index] for index in self.level_depths),
            pose_token=tokens[:, :1],
            human_tokens=tokens[:, 1 + num_image :],
            state_tokens=self.state_norm(state_tokens),
            gate_logits=torch.stack(logits).mean(dim=0) if with_gate else None,
        )

    def _tables(
        self, rotary: Rotary, image: ImageFeatures, detections: Detections
    ) -> list[RotaryTable | ComplexRotaryTable]:
        """Return the tables of the image side and of the state side."""
        device = image.tokens.device
        pose = rotary.fixed("pose", device, lambda: torch.full((1, 2), -1))
        image_side = pose.concatenated(rotary.grid(*image.grid, device), rotary.table(detections.positions))
        tables = [image_side, self.state_table(rotary)]
        return [to_complex(table) for table in tables] if self.has_complex_rope else list(tables)

    def state_table(self, rotary: Rotary) -> RotaryTable:
        """Return the table of the state tokens."""
        return rotary.fixed("state", self.state_seed.device, lambda: state_positions(self.state_seed.shape[0]))


def _is_token(detections: Detections, num_before: int) -> Tensor | None:
    """Return which tokens of the image side are not padding, or None without padding."""
    if detections.is_real is None:
        return None
    return torch.cat((detections.is_real.new_ones(num_before), detections.is_real))


def state_positions(num_tokens: int) -> Tensor:
    """Return ``S 2`` int64 (row, column): the state tokens laid out in a square of even width, last row ragged."""
    columns = math.isqrt(num_tokens)
    columns += columns % 2
    index = torch.arange(num_tokens)
    return torch.stack((index // columns, index % columns), dim=-1)


def gate_state(proposed: Tensor, previous: Tensor, gate_logits: Tensor | None) -> Tensor:
    """Interpolate between the previous and the proposed state (``1 S D``) by the gate (``S`` logits), if any."""
    if gate_logits is None:
        return proposed
    gate = torch.sigmoid(gate_logits)[None, :, None]
    return gate * proposed + (1 - gate) * previous
