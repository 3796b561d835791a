"""Run the trainable part of ``compact`` over a clip: trunks in a batch, decoder frame by frame, heads in a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.models.compact.human_prior import MoveNetPrior
from human3r.models.compact.point_head import STRIDE_PX, SceneMaps
from human3r.models.compact.skeleton_map import draw_skeletons
from human3r.models.human3r import Human3R
from human3r.models.parts import PromptContext

_FROZEN = ("human_prior.", "image_encoder.trunk.", "person_head.")
"""The people prior and the trunk carry what no render can teach; bodies have a training of their own."""


@dataclass(frozen=True)
class ClipPrediction:
    """Batched outputs for T frames."""

    maps: SceneMaps
    mask_logits: Tensor
    """``T H W``"""


def trainable_parameters(network: Human3R) -> dict[str, nn.Parameter]:
    """Return what is trained, and freeze the rest."""
    chosen = {}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(_FROZEN))
        if parameter.requires_grad:
            chosen[name] = parameter
    return chosen


def run_clip(network: Human3R, image: Tensor) -> ClipPrediction:
    """Predict every frame of a clip, each with the state that the frames before it left.

    Args:
        network: ``compact``.
        image: ``T 3 H W`` in [-1, 1].
    """
    prior: MoveNetPrior = network.human_prior
    size = (image.shape[-2], image.shape[-1])
    with torch.no_grad():
        human = prior.look_once(image.contiguous(memory_format=torch.channels_last))
    features = network.image_encoder(image.contiguous(memory_format=torch.channels_last))
    state, memory = network.decoder.initial_state(), network.memory.initial_slots()
    pose_token = network.memory.first_pose_token()
    levels, skeletons = [], []
    for index in range(image.shape[0]):
        frame = features.select(index)
        detections = network.prompter(human.select(index), frame, PromptContext(size, None))
        if index > 0:
            pose_token = network.memory.read(frame.tokens, memory)
        skeletons.append(draw_skeletons(detections.keypoints, size, STRIDE_PX))
        decoded = network.decoder(frame, pose_token, detections, state, with_gate=False)
        memory = network.memory.write(frame.tokens, decoded.pose_token, memory)
        state = decoded.state_tokens
        levels.append(decoded.levels)
    joined = tuple(torch.cat(level) for level in zip(*levels, strict=True))
    maps = network.point_head.predict((features.tokens, *joined), features, human)
    return ClipPrediction(maps, network.mask_head.predict(features, human, torch.stack(skeletons)))
