"""The network in training: forward pass over clips, and the classes of its parameters.

Encoders and prompts process all frames in one batch; decoder, memory and heads are those of inference and run frame by
frame. Every image has the same number of prompt slots; empty slots hold learned padding tokens.
Source: Human3R (arXiv 2510.06219), sec. 3; CUT3R (arXiv 2501.12387), sec. 3.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from human3r.geometry.rigid import invert_rigid
from human3r.models.build import build_network
from human3r.models.config import ModelConfig, PaperConfig
from human3r.models.human3r import Human3R
from human3r.models.paper.dinov2 import Dinov2Prior, HumanTokens, squeezed_sigmoid
from human3r.models.paper.heads import (
    DptExtraHead,
    DptPointHead,
    ImageMaskHead,
    MlpCameraHead,
    PatchMaskHead,
    decode_camera,
    mask_map,
    mask_square,
    split_points,
)
from human3r.models.paper.letterbox import letterbox_points_to_image
from human3r.models.paper.prompts import HeadPrompter, image_cells, locate_heads
from human3r.models.parts import DecodedFrame, Detections, ImageFeatures, ScenePoints
from human3r.records import TensorRecord
from human3r.training.paper.config import VariantSettings
from human3r.training.paper.rays import RayEncoder

ParameterClass = Literal["frozen", "flowing", "tuned"]
"""``frozen``: no gradient reaches it. ``flowing``: it passes gradients on unchanged. ``tuned``: trained."""

_FROZEN = ("network.image_encoder.", "network.human_prior.", "network.prompter.offset.", "ray_encoder.")
_TUNED = ("network.prompter.fuse.", "network.person_head.", "network.mask_head.", "image_padding", "human_padding")
_DECODER = ("network.decoder.",)
_SCORE = ("network.human_prior.score.",)


@dataclass(frozen=True)
class ClipInput(TensorRecord):
    """Network input of B clips of N views."""

    image: Tensor
    """``B N 3 H W`` in [-1, 1]."""
    rays: Tensor | None
    """``B N 6 H W`` origin and direction per pixel in the first view's frame; None where no view has any."""
    has_ray: Tensor
    """``B N`` bool"""
    cells: Tensor
    """``B N M 2`` int64 (row, column) of each prompt's patch in the square."""
    is_prompted: Tensor
    """``B N M`` bool: False holds padding."""


@dataclass(frozen=True)
class ClipPredictions(TensorRecord):
    """Predictions of B clips of N views; fp32. World is the camera of the clip's first view."""

    pointmap_camera: Tensor
    """``B N H W 3`` meters."""
    confidence: Tensor
    """``B N H W``, >= 1."""
    pointmap_world: Tensor
    """``B N H W 3`` meters."""
    confidence_world: Tensor
    """``B N H W``, >= 1."""
    rgb: Tensor
    """``B N H W 3`` in (-1, 1)."""
    translation: Tensor
    """``B N 3`` camera in world, meters."""
    quat_wxyz: Tensor
    """``B N 4`` camera in world, unit, w >= 0."""
    mask: Tensor
    """Probability of a person: ``B N R R`` over the padded square, or ``B N H W`` for masks from image tokens."""
    score: Tensor
    """``B N g g`` probability of a head."""
    joint_rotations: Tensor
    """``B N M 53 3 3``"""
    betas: Tensor
    """``B N M 10``"""
    expression: Tensor
    """``B N M 10``"""
    head_camera: Tensor
    """``B N M 3`` meters."""


class TrainedNetwork(nn.Module):
    """A ``Human3R`` with the training-only parts: padding tokens and the ray branch.

    Args:
        config: A preset of the paper's network with all heads.
        variant: What is tuned.
        precision: Arithmetic of everything before the heads.
        has_checkpoints: Recompute decoder and dense heads in the backward pass.
    """

    def __init__(
        self,
        config: ModelConfig,
        variant: VariantSettings,
        precision: Literal["bf16", "fp32"] = "fp32",
        has_checkpoints: bool = False,
    ) -> None:
        super().__init__()
        assert isinstance(config.parts, PaperConfig)
        assert config.parts.has_extra_heads
        assert config.parts.has_mask_head
        config = replace(config, parts=replace(config.parts, mask_source=variant.mask_source))
        assert isinstance(config.parts, PaperConfig)
        self.config, self.parts, self.variant = config, config.parts, variant
        self.precision, self.has_checkpoints = precision, has_checkpoints
        self.network: Human3R = build_network(config)
        self.ray_encoder = RayEncoder(config.trunk, config.parts)
        self.image_padding = nn.Parameter(torch.zeros(config.trunk.token_dim))
        self.human_padding = nn.Parameter(torch.zeros(config.parts.human_dim))
        for name, kind in parameter_classes(self, variant).items():
            self.get_parameter(name).requires_grad_(needs_gradient(kind, variant))

    def forward(self, clips: ClipInput) -> ClipPredictions:
        """Predict B clips."""
        shape = clips.image.shape[:2]
        size = (clips.image.shape[-2], clips.image.shape[-1])
        with torch.autocast(clips.image.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            image, human = self._encode(clips)
            detections = self._prompts(clips, image, human, size)
            frames = [
                frame
                for clip in range(shape[0])
                for frame in self._run_clip(
                    image, human, detections, size, range(clip * shape[1], (clip + 1) * shape[1])
                )
            ]
        stacked = [torch.stack(values).unflatten(0, shape) for values in zip(*frames, strict=True)]
        with torch.autocast(clips.image.device.type, enabled=False):
            mask = self._mask(image, human)
        return ClipPredictions(
            *stacked[:7],
            mask=mask.unflatten(0, shape),
            score=human.score[:, 0].unflatten(0, shape),
            joint_rotations=stacked[7],
            betas=stacked[8],
            expression=stacked[9],
            head_camera=stacked[10],
        )

    def _encode(self, clips: ClipInput) -> tuple[ImageFeatures, HumanTokens]:
        """Encode all frames; without gradients unless the encoders are tuned."""
        image = clips.image.flatten(0, 1)
        is_frozen = self.variant.tuned != "everything"
        with torch.no_grad() if is_frozen else nullcontext():
            features = self.network.image_encoder(image)
            if clips.rays is not None:
                tokens = self.ray_encoder(clips.rays.flatten(0, 1))
                seen = clips.has_ray.flatten()[:, None, None]
                features = ImageFeatures(features.tokens + seen * tokens, features.grid)
            prior = cast(Dinov2Prior, self.network.human_prior)
            human: HumanTokens = prior(image)
        if is_frozen and self.variant.detection_head == "tuned":
            logits = _full(prior.score(human.tokens)).transpose(1, 2)
            human = HumanTokens(human.tokens, squeezed_sigmoid(logits).unflatten(-1, human.score.shape[-2:]))
        return features, human

    def _mask(self, image: ImageFeatures, human: HumanTokens) -> Tensor:
        """Predict the masks of all frames."""
        head = cast(PatchMaskHead | ImageMaskHead, self.network.mask_head)
        if self.parts.mask_source == "image":
            return mask_map(head.mlp(_full(image.tokens)), image.grid, self.config.trunk.patch_size)
        return mask_square(head.mlp(_full(human.tokens)), self.parts.human_patch_size)

    def _prompts(
        self, clips: ClipInput, image: ImageFeatures, human: HumanTokens, size: tuple[int, int]
    ) -> list[Detections]:
        """Build the prompts of all frames in one batch; return them per frame."""
        prompter, side = cast(HeadPrompter, self.network.prompter), human.score.shape[-1]
        cells, is_prompted = clips.cells.flatten(0, 1), clips.is_prompted.flatten(0, 1)
        frame = torch.arange(len(cells), device=cells.device)[:, None]
        human_features = human.tokens[frame, cells[..., 0] * side + cells[..., 1]]
        offsets = prompter.offset(human_features).detach().float()
        square_px = locate_heads(cells.flatten(0, 1), offsets.flatten(0, 1), self.parts.human_patch_size)
        head_uv_px = letterbox_points_to_image(square_px, self.parts.human_image_size, size).unflatten(
            0, cells.shape[:2]
        )
        positions = image_cells(head_uv_px, self.config.trunk.patch_size)
        image_features = image.tokens[frame, positions[..., 0] * image.grid[1] + positions[..., 1]]
        mask = is_prompted[..., None]
        human_features = torch.where(mask, human_features, self.human_padding.to(human_features.dtype))
        image_features = torch.where(mask, image_features, self.image_padding.to(image_features.dtype))
        prompts = prompter.fuse(torch.cat((human_features, image_features), dim=-1))
        return [
            Detections(
                score=is_prompted[row].to(prompts.dtype),
                head_uv_px=head_uv_px[row],
                human_features=human_features[row],
                prompts=prompts[row],
                positions=torch.where(mask[row], positions[row], 0),
            )
            for row in range(len(cells))
        ]

    def _run_clip(
        self, image: ImageFeatures, human: HumanTokens, detections: list[Detections], size: tuple[int, int], rows: range
    ) -> list[tuple[Tensor, ...]]:
        """Run one clip through decoder, memory and heads."""
        network, outputs = self.network, []
        state, slots = _full(network.decoder.initial_state()), _full(network.memory.initial_slots())
        for view, row in enumerate(rows):
            frame = image.select(row)
            pose_token = network.memory.read(frame.tokens, slots) if view else network.memory.first_pose_token()
            context = (frame, human.select(row), detections[row], size)
            arguments = (*context, pose_token, state)
            if self.has_checkpoints and torch.is_grad_enabled():
                state, pose_token, output = checkpoint(self._run_frame, *arguments, use_reentrant=False)
            else:
                state, pose_token, output = self._run_frame(*arguments)
            slots = _full(network.memory.write(frame.tokens, pose_token, slots))
            outputs.append(output)
        return outputs

    def _run_frame(
        self,
        image: ImageFeatures,
        human: HumanTokens,
        detections: Detections,
        size: tuple[int, int],
        pose_token: Tensor,
        state: Tensor,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Decode one frame; return the new state, the decoded pose token and the outputs of the heads, fp32."""
        network = self.network
        decoded = network.decoder(image, pose_token, detections, state, with_gate=False)
        with torch.autocast(image.tokens.device.type, enabled=False):
            frame = DecodedFrame(
                levels=tuple(_full(level) for level in (image.tokens, *decoded.levels)),
                pose_token=_full(decoded.pose_token[:, 0]),
                human_tokens=_full(decoded.human_tokens[0]),
                image=image,
                human=human,
                detections=detections,
                image_size=size,
            )
            pointmap, confidence = split_points(cast(DptPointHead, network.point_head).dpt(frame.levels, image.grid))
            extras = cast(DptExtraHead, network.extra_head)(frame)
            translation, quat_wxyz = decode_camera(cast(MlpCameraHead, network.camera_head).mlp(frame.pose_token)[0])
            people, _ = network.person_head(frame, ScenePoints(pointmap, confidence, pointmap.new_zeros(())), None)
        dense = (pointmap, confidence, extras.pointmap_segment, extras.confidence_segment, extras.rgb)
        bodies = (people.joint_rotations, people.betas, people.expression, people.head_camera)
        return _full(decoded.state_tokens), decoded.pose_token, (*dense, translation, quat_wxyz, *bodies)


def parameter_classes(network: nn.Module, variant: VariantSettings) -> dict[str, ParameterClass]:
    """Return the class of every parameter of a ``TrainedNetwork``."""

    def kind(name: str) -> ParameterClass:
        if variant.tuned == "everything" and not name.startswith("ray_encoder."):
            return "tuned"
        if name.startswith(_TUNED) or (variant.detection_head == "tuned" and name.startswith(_SCORE)):
            return "tuned"
        if name.startswith(_FROZEN):
            return "frozen"
        return "tuned" if variant.tuned == "prompts_and_decoder" and name.startswith(_DECODER) else "flowing"

    return {name: kind(name) for name, _ in network.named_parameters()}


def needs_gradient(kind: ParameterClass, variant: VariantSettings) -> bool:
    """Return whether a parameter needs a gradient; the reference's clipping includes ``flowing`` ones."""
    return kind == "tuned" or (kind == "flowing" and variant.clipping == "reference")


def true_world(T_world_camera: Tensor) -> Tensor:
    """Return ``B N 4 4`` cameras in the frame of each clip's first camera."""
    return invert_rigid(T_world_camera[:, :1]) @ T_world_camera


def _full(values: Tensor) -> Tensor:
    """Return fp32; double stays double, so that gradients can be checked."""
    return values if values.dtype == torch.float64 else values.float()
