"""Run the trainable part of ``compact`` over clips: trunks and heads in one batch, decoder step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from human3r.models.compact.people.detection.human_prior import MoveNetPrior
from human3r.models.compact.people.prompter import KeypointDetections
from human3r.models.compact.people.skeleton_map import draw_skeletons
from human3r.models.compact.scene.point_head import STRIDE_PX, CompactPointHead, KeypointMaskHead, SceneMaps
from human3r.models.decoder import DualDecoder
from human3r.models.human3r import Human3R
from human3r.models.layers import attention
from human3r.models.layers.rope import RotaryTable
from human3r.models.parts import Detections, ImageFeatures, PromptContext

_FROZEN = ("human_prior.", "prompter.crop_detector.", "person_head.")
"""The human prior is pretrained on real people; the lifter is trained separately."""
TRUNK = "image_encoder.trunk."
_FROZEN_TRUNK = tuple(f"{TRUNK}{part}" for part in ("stem.", "blocks.0.", "blocks.1.", "blocks.2."))
"""Low-level features pretrained on photographs."""


@dataclass(frozen=True)
class ClipPrediction:
    """Batched outputs for F frames, clip after clip."""

    maps: SceneMaps
    mask_logits: Tensor
    """``F H W``"""


def trainable_parameters(network: Human3R, with_trunk: bool = True) -> dict[str, nn.Parameter]:
    """Return the trained parameters and freeze the others."""
    frozen = _FROZEN + (_FROZEN_TRUNK if with_trunk else (TRUNK,))
    chosen = {}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
        if parameter.requires_grad:
            chosen[name] = parameter
    return chosen


def run_clip(network: Human3R, image: Tensor, num_clips: int = 1, use_bf16: bool = False) -> ClipPrediction:
    """Predict every frame of clips of one size and length, each with the state after its preceding frames.

    Args:
        network: ``compact``.
        image: ``F 3 H W`` in [-1, 1], clip after clip.
        num_clips: Clips in ``image``.
        use_bf16: Products of the transformer blocks in bfloat16.
    """
    prior = cast(MoveNetPrior, network.human_prior)
    point_head, mask_head = cast(CompactPointHead, network.point_head), cast(KeypointMaskHead, network.mask_head)
    size = (image.shape[-2], image.shape[-1])
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        human = prior.encode_base(image)
    with torch.autocast("cpu", torch.bfloat16, enabled=use_bf16), explicit_attention():
        features = network.image_encoder(image)
        detections = [
            network.prompter(human.select(index), features.select(index), PromptContext(size, None))
            for index in range(image.shape[0])
        ]
        levels = decode_clips(network, features, detections, num_clips)
    keypoints = [found.keypoints for found in detections if isinstance(found, KeypointDetections)]
    skeletons = torch.stack([draw_skeletons(found, size, STRIDE_PX) for found in keypoints if found is not None])
    tokens = features.tokens.float()
    maps = point_head.predict((tokens, *(level.float() for level in levels)), features, human)
    return ClipPrediction(maps, mask_head.predict(features, human, skeletons))


def decode_clips(
    network: Human3R, features: ImageFeatures, detections: list[Detections], num_clips: int
) -> tuple[Tensor, ...]:
    """Return the decoder's levels, ``F N D`` each, clip after clip; every time step decodes all clips together."""
    decoder, memory = network.decoder, network.memory
    length = features.tokens.shape[0] // num_clips
    state = decoder.initial_state().expand(num_clips, -1, -1)
    slots = memory.initial_slots().expand(num_clips, -1, -1)
    pose_token = memory.first_pose_token().expand(num_clips, -1, -1)
    steps = []
    for index in range(length):
        tokens = features.tokens[index::length]
        if index > 0:
            pose_token = torch.cat([memory.read(*pair) for pair in zip(tokens.split(1), slots.split(1), strict=True)])
        levels, pose_token, state = _decode_step(
            decoder, tokens, features.grid, pose_token, detections[index::length], state
        )
        slots = memory.write(tokens, pose_token, slots)
        steps.append(levels)
    return tuple(torch.stack(level, dim=1).flatten(0, 1) for level in zip(*steps, strict=True))


def _decode_step(
    decoder: DualDecoder,
    image_tokens: Tensor,
    grid: tuple[int, int],
    pose_token: Tensor,
    detections: list[Detections],
    state: Tensor,
) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Decode one frame of every clip, in two groups: without and with people; returns levels, pose token, state."""
    rows = [[], []]
    for row, found in enumerate(detections):
        rows[len(found) > 0].append(row)
    outputs = []
    for group in filter(None, rows):
        most = max(len(detections[row]) for row in group)
        # Shorter lists repeat their people instead of masking: duplicate keys change the softmax little.
        order = [torch.arange(most) % max(len(detections[row]), 1) for row in group]
        prompts = torch.stack([detections[row].prompts[index] for row, index in zip(group, order, strict=True)])
        places = torch.stack([detections[row].positions[index] for row, index in zip(group, order, strict=True)])
        outputs.append(
            _decode_batch(decoder, image_tokens[group], grid, pose_token[group], prompts, places, state[group])
        )
    back = torch.tensor([row for group in rows for row in group]).argsort()
    *levels, pose, state = (torch.cat(parts)[back] for parts in zip(*outputs, strict=True))
    return tuple(levels), pose, state


def _decode_batch(
    decoder: DualDecoder,
    image_tokens: Tensor,
    grid: tuple[int, int],
    pose_token: Tensor,
    prompts: Tensor,
    places: Tensor,
    state: Tensor,
) -> tuple[Tensor, ...]:
    """Run ``DualDecoder.forward`` for one frame of each of ``B`` streams, without gates."""
    num_image, device = image_tokens.shape[1], image_tokens.device
    tokens = torch.cat((pose_token, decoder.embed_image(image_tokens), prompts.to(pose_token.dtype)), dim=1)
    tables = []
    for rotary in (decoder.image_rotary, decoder.state_rotary):
        pose = rotary.fixed("pose", device, lambda: torch.full((1, 2), -1))
        shared = pose.concatenated(rotary.grid(*grid, device))
        tables.append(_join_tables(shared, [rotary.table(place) for place in places]))
    on_image_side = [tables[0], decoder.state_table(decoder.image_rotary)]
    on_state_side = [decoder.state_table(decoder.state_rotary), tables[1]]
    levels = {}
    for index, (image_block, state_block) in enumerate(
        zip(decoder.image_blocks, decoder.state_blocks, strict=True), start=1
    ):
        new_state, _ = state_block(state, tokens, *on_state_side)
        tokens, _ = image_block(tokens, state, *on_image_side)
        state = new_state
        if index == len(decoder.image_blocks):
            tokens = decoder.image_norm(tokens)
        levels[index] = tokens[:, 1 : 1 + num_image]
    return *(levels[depth] for depth in decoder.level_depths), tokens[:, :1], decoder.state_norm(state)


def _join_tables(shared: RotaryTable, own: list[RotaryTable]) -> RotaryTable:
    """Return tables ``B 1 N D``: positions that all streams share, then each stream's own."""
    joined = [shared.concatenated(table) for table in own]
    return RotaryTable(
        torch.stack([table.cosine for table in joined])[:, None], torch.stack([table.sine for table in joined])[:, None]
    )


@contextmanager
def explicit_attention() -> Iterator[None]:
    """Use the unfused attention, whose backward pass takes half the time on a CPU."""
    fused = attention.attend
    attention.attend = attention.attend_reference
    try:
        yield
    finally:
        attention.attend = fused
