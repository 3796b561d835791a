"""Build ``compact``: preset, parts, and the network for inference from given weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from human3r.errors import CheckpointError
from human3r.models.compact.camera.camera_head import MotionCameraHead
from human3r.models.compact.convnets.convolution import fuse_convolutions
from human3r.models.compact.image_encoder import CompactImageEncoder
from human3r.models.compact.look_ahead import PeopleAhead
from human3r.models.compact.people.detection.human_prior import MoveNetPrior
from human3r.models.compact.people.hands.hand_detector import CropHandDetector
from human3r.models.compact.people.person_head import KeypointPersonHead
from human3r.models.compact.people.prompter import KeypointPrompter
from human3r.models.compact.scene.lens_head import StraightEdgeLensHead
from human3r.models.compact.scene.point_head import CompactPointHead, KeypointMaskHead
from human3r.models.compact.scene.rest import RestingScene
from human3r.models.compact.scene.scale_head import PersonScaleHead
from human3r.models.config import CompactConfig, ModelConfig, TrunkConfig
from human3r.models.decoder import DualDecoder
from human3r.models.human3r import Human3R
from human3r.models.memory import PoseMemory
from human3r.models.precision import stored_precision
from human3r.models.signatures import NetworkParts

COMPACT = ModelConfig(
    name="compact",
    architecture="compact",
    preprocess="compact",
    image_size=384,
    trunk=TrunkConfig(
        token_dim=128,
        decoder_dim=128,
        decoder_depth=4,
        decoder_heads=4,
        state_heads=4,
        num_state_tokens=64,
        num_memory_slots=32,
        num_memory_blocks=1,
    ),
    parts=CompactConfig(),
)
"""The embedded default, for two CPU cores."""


def build_compact_parts(config: ModelConfig) -> NetworkParts:
    """Build the parts of a compact network with fresh weights."""
    trunk, parts = config.trunk, config.parts
    assert isinstance(parts, CompactConfig)
    decoder, memory = DualDecoder(trunk), PoseMemory(trunk)
    # The shared modules leave parameters at zero, to be loaded; training needs them to differ.
    for values in [*decoder.parameters(), *memory.parameters()]:
        if values.ndim > 1 and not bool(values.detach().any()):
            nn.init.normal_(values, std=0.02)
    image_encoder, human_prior = CompactImageEncoder(trunk, parts), MoveNetPrior(parts)
    prompter, mask_head = KeypointPrompter(trunk, parts), KeypointMaskHead(parts)
    return NetworkParts(
        image_encoder=image_encoder,
        human_prior=human_prior,
        prompter=prompter,
        decoder=decoder,
        memory=memory,
        point_head=CompactPointHead(trunk, parts),
        mask_head=mask_head,
        camera_head=MotionCameraHead(),
        person_head=KeypointPersonHead(trunk, parts),
        lens_head=StraightEdgeLensHead(),
        scale_head=PersonScaleHead(),
        look_ahead=PeopleAhead(image_encoder, human_prior, prompter, mask_head),
        rest=RestingScene(),
        hand_detector=CropHandDetector(),
    )


class _Uninitialized(TorchFunctionMode):
    """Leaves out the initialization of ``torch.nn``, which takes longer than reading the weights that replace it."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        if getattr(function, "__module__", None) == "torch.nn.init":
            return (options or {}).get("tensor", *arguments[:1])
        return function(*arguments, **(options or {}))


def build_compact(weights: Mapping[str, Tensor]) -> Human3R:
    """Build ``compact`` for inference, in the precision that is fastest on this processor.

    Args:
        weights: Every parameter by name, any floating type.

    Raises:
        CheckpointError: The weights do not fit the network.
    """
    with _Uninitialized():
        network = Human3R(COMPACT, build_compact_parts(COMPACT)).eval()
    expected = network.state_dict()
    missing, unknown = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or unknown:
        raise CheckpointError(
            f"The weights of compact lack {len(missing)} parameters ({', '.join(missing[:3])}) "
            f"and have {len(unknown)} unknown ones ({', '.join(unknown[:3])})."
        )
    network.load_state_dict(weights)
    use_fast_convolutions(network)
    _use_fast_decoding(network)
    return network


def use_fast_convolutions(network: Human3R) -> None:
    """Run the frozen backbones in channels-last order, and in bf16 on processors that support it; outputs are fp32.

    MoveNet at 384 x 224 on one core takes 37 ms instead of 65, and 25 with fused convolutions.
    """
    backbones = (
        "human_prior.network",
        "prompter.crop_detector.network",
        "image_encoder.trunk",
        "hand_detector.network",
    )
    for name in backbones:
        trunk = network.get_submodule(name).to(fast_dtype()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        fuse_convolutions(trunk)
    for name in ("points_px", "points", "presence", "side"):
        network.get_submodule(f"hand_detector.network.{name}").float()


def _use_fast_decoding(network: Human3R) -> None:
    """Run blocks and heads in the precision of the convolutions, and rotary positions as complex products.

    The residual stream, norms, attention, state, last layers and focal length stay fp32. Depth changes by .1 %, head
    positions by .05 mm. A complex product takes a seventh of the time of a rotation.
    """
    network.use_complex_rope()
    for name, parameter in network.named_parameters():
        if name.startswith(("image_encoder.blocks.", "decoder.", "memory.")):
            parameter.data = parameter.data.to(torch.promote_types(fast_dtype(), stored_precision(name, "bf16")))
    for name in ("point_head", "mask_head"):
        head = network.get_submodule(name).to(fast_dtype()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        fuse_convolutions(head)
    for name in ("point_head.output", "point_head.focal"):
        network.get_submodule(name).float()


def fast_dtype() -> torch.dtype:
    """Return the type of the products: bfloat16 if the processor multiplies it natively."""
    has_bf16 = torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportPrivateUsage]
    return torch.bfloat16 if has_bf16 else torch.float32
