"""Build networks from configurations, and fill them with random weights for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from human3r.models.config import ModelConfig, PaperConfig, TrunkConfig
from human3r.models.decoder import DualDecoder
from human3r.models.human3r import Human3R
from human3r.models.memory import PoseMemory
from human3r.models.paper.dinov2 import Dinov2Prior
from human3r.models.paper.heads import (
    DptExtraHead,
    DptPointHead,
    ImageMaskHead,
    MlpCameraHead,
    MlpPersonHead,
    NoMaskHead,
    PatchMaskHead,
)
from human3r.models.paper.prompts import HeadPrompter
from human3r.models.paper.vit import VitEncoder
from human3r.models.signatures import NetworkParts
from human3r.skeleton import NUM_JOINT_ROTATIONS


def build_network(config: ModelConfig) -> Human3R:
    """Build the network of a configuration, in evaluation mode, with unspecified weights."""
    if config.architecture == "compact":
        from human3r.models.compact.build import build_compact_parts

        return Human3R(config, build_compact_parts(config)).eval()
    return Human3R(config, _paper_parts(config)).eval()


def _paper_parts(config: ModelConfig) -> NetworkParts:
    trunk, parts = config.trunk, config.parts
    assert isinstance(parts, PaperConfig)
    return NetworkParts(
        image_encoder=VitEncoder(trunk, parts),
        human_prior=Dinov2Prior(parts),
        prompter=HeadPrompter(trunk, parts),
        decoder=DualDecoder(trunk),
        memory=PoseMemory(trunk),
        point_head=DptPointHead(trunk, parts),
        mask_head=_mask_head(trunk, parts),
        camera_head=MlpCameraHead(trunk),
        person_head=MlpPersonHead(trunk, parts),
        extra_head=DptExtraHead(trunk, parts) if parts.has_extra_heads else None,
    )


def _mask_head(trunk: TrunkConfig, parts: PaperConfig) -> PatchMaskHead | ImageMaskHead | NoMaskHead:
    if not parts.has_mask_head:
        return NoMaskHead()
    return PatchMaskHead(parts) if parts.mask_source == "human" else ImageMaskHead(trunk)


def seed_weights(network: Human3R, seed: int = 0) -> None:
    """Fill the paper's network with random weights that keep it well conditioned, equal on every machine.

    For tests and benchmarks: activations neither vanish nor explode, points lie in front of the camera, rotations are
    small and few heads are detected.
    """
    _fill(network, seed, _seeded)


def draw_weights(network: Human3R, seed: int = 0) -> None:
    """Fill the paper's network with random weights under which every output varies, as in the recorded golden runs.

    For comparisons of precision: points have depth, and near-constant outputs do not hide errors. Any number of heads
    may be detected.
    """
    _fill(network, seed, _drawn)


def _fill(network: Human3R, seed: int, values_of: Callable[[str, Tensor], Tensor]) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in [*network.named_parameters(), *network.named_buffers()]:
            values.copy_(values_of(name, torch.randn(values.shape, generator=generator)))


def _drawn(name: str, noise: Tensor) -> Tensor:
    """Return one tensor of ``draw_weights`` from standard normal noise of its shape."""
    if name in ("point_head.dpt.output.2.weight", "extra_head.points.output.2.weight"):
        return 0.3 * noise / noise[0].numel() ** 0.5
    if name in ("point_head.dpt.output.2.bias", "extra_head.points.output.2.bias"):
        return torch.tensor((0.0, 0.0, 1.0, 0.0)) + 0.05 * noise
    return _seeded(name, noise)


_SMALL_OUTPUTS = ("camera_head.mlp.contract.weight",)
_SEED_POINT_SCALES = (1e-5, 1e-5, 0.02, 0.3)
"""Of x, y, z, confidence. Slopes X/Z are nearly constant and fit a focal length of 250 pixels; random ones fit none."""
_SEED_BIASES = {
    "camera_head.mlp.contract.bias": (0, 0, 0, 1, 0, 0, 0),
    "point_head.dpt.output.2.bias": (-0.003, -0.003, 1.5, 0),
    "person_head.translation.contract.bias": (0, 0, 1),
    "person_head.mean_rotations": (1, 0, 0, 1, 0, 0) * NUM_JOINT_ROTATIONS,
    "human_prior.score.contract.bias": (-5.5,),
}


def _seeded(name: str, noise: Tensor) -> Tensor:
    """Return one tensor of ``seed_weights`` from standard normal noise of its shape."""
    if name.endswith((".scale1", ".scale2")):
        return 0.5 + 0.1 * noise
    if noise.ndim == 1 and name.endswith("weight"):
        return 1 + 0.1 * noise
    if name == "point_head.dpt.output.2.bias":
        return torch.tensor(_SEED_BIASES[name])
    if name in _SEED_BIASES:
        return torch.tensor(_SEED_BIASES[name]) + 0.1 * noise
    if noise.ndim == 1:
        return 0.05 * noise
    if not name.endswith("weight"):
        return 0.5 * noise
    is_small = name in _SMALL_OUTPUTS or (name.startswith("person_head.") and name.endswith("contract.weight"))
    if name == "point_head.dpt.output.2.weight":
        return noise / noise[0].numel() ** 0.5 * torch.tensor(_SEED_POINT_SCALES)[:, None, None, None]
    scale = 0.3 if is_small else 4.0 if name == "human_prior.score.contract.weight" else 1.0
    return noise / noise[0].numel() ** 0.5 * scale
