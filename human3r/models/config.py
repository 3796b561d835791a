"""Configurations: every size of a network, as frozen data that is saved with the weights as JSON.

Presets of the released checkpoints and of ``tiny``; ``human3r.models.build`` builds modules from them.
Sources: Human3R (arXiv 2510.06219); CUT3R (arXiv 2501.12387); DINOv2 (arXiv 2304.07193).
"""

from __future__ import annotations

import json
import typing
from dataclasses import asdict, dataclass, is_dataclass
from typing import Literal, TypeVar

from human3r.errors import CheckpointError
from human3r.models.sizes import check_sizes

RecordT = TypeVar("RecordT")
Architecture = Literal["paper", "compact"]
"""``paper``: the network of Human3R, whose weights are released; ``compact``: the embedded one for CPUs."""


@dataclass(frozen=True)
class TrunkConfig:
    """Sizes of what both architectures share: decoder, state, memory, and the tokens that they exchange."""

    token_dim: int = 1024
    """Channels of an image token."""
    patch_size: int = 16
    """Network pixels per image token and side."""
    decoder_dim: int = 768
    decoder_depth: int = 12
    decoder_heads: int = 12
    """Heads of the image-side blocks, of the memory blocks and of the pose-modulated blocks."""
    state_heads: int = 16
    """Heads of the state-side blocks; not recoverable from the shapes of the weights."""
    num_state_tokens: int = 768
    num_memory_slots: int = 256
    num_memory_blocks: int = 2
    """Blocks that read the memory, and blocks that write it."""
    rope_base: float = 100.0
    mlp_ratio: float = 4.0


@dataclass(frozen=True)
class PaperConfig:
    """Sizes of the parts of the paper's networks."""

    encoder_depth: int = 24
    encoder_heads: int = 16
    has_half_rotary: bool = True
    """Round queries and keys of the image encoder to fp16 around the rotation, as the released code does on CUDA."""
    human_dim: int = 1024
    """Channels of the human backbone (DINOv2)."""
    human_depth: int = 24
    human_heads: int = 16
    human_patch_size: int = 14
    human_position_grid: int = 37
    """Side of the stored grid of position embeddings."""
    human_interpolate_offset: float = 0.1
    """Added to the grid side before the position grid is rescaled; 0 rescales to the exact size."""
    human_image_size: int = 896
    """Side of the letterboxed input of the human backbone, pixels."""
    detection_threshold: float = 0.3
    dpt_dim: int = 256
    dpt_widths: tuple[int, ...] = (96, 192, 384, 768)
    num_modulated_blocks: int = 2
    num_ray_blocks: int = 2
    """Blocks of the ray-map branch of the checkpoints, which inference does not use."""
    has_mask_head: bool = True
    mask_source: Literal["human", "image"] = "human"
    """Tokens that the person mask is predicted from: the human prior's, as in every released network, or the image
    encoder's, as in the text of the paper."""
    has_extra_heads: bool = True
    """False leaves out the points in the segment's frame and the colors."""


@dataclass(frozen=True)
class CompactConfig:
    """Sizes of the parts of ``compact``."""

    encoder_depth: int = 2
    """Transformer blocks on the stride-16 features of the frozen backbone."""
    encoder_heads: int = 4
    second_scale_px: int = 512
    """Long side of the enlarged image in which small people are detected, on frames with candidates; 0 detects at one
    scale. Like the next field, part of the cost of people per frame; MoveNet MultiPose runs on every frame."""
    max_cropped_people: int = 12
    """MoveNet Thunder runs on crops of at most so many people per frame, largest first; 0 on none. Hands are the last
    part of the cost of people: ``human3r.inference.hands.HandOptions``."""
    lifter_dim: int = 640
    lifter_depth: int = 4
    memory_width: int = 256
    """Length of the lifter's recurrent state of one person; 0 builds no memory."""
    prompt_hidden: int = 256
    point_dim: int = 64
    """Channels of the point head at stride 8."""


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to build a network, and to prepare images for it."""

    name: str
    architecture: Architecture
    preprocess: Architecture
    """Rule of ``human3r.video.preprocess`` that prepares the input."""
    image_size: int
    """Long side of the network image, pixels."""
    trunk: TrunkConfig
    parts: PaperConfig | CompactConfig

    def to_json(self) -> str:
        """Return the configuration as one JSON object."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read what ``to_json`` wrote.

        Raises:
            CheckpointError: The text is no JSON object, a key is unknown, missing or of a wrong type, or a size is
                outside its range.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"The model configuration is not JSON ({error}).") from error
        if not isinstance(values, dict):
            raise CheckpointError("The model configuration is no JSON object.")
        for key in ("architecture", "preprocess"):
            # Files of version 1.0 call the paper's architecture "official".
            if values.get(key) == "official":
                values[key] = "paper"
        architecture = str(values.get("architecture"))[:40]
        if architecture not in _PARTS:
            raise CheckpointError(
                f"The model configuration names the architecture {architecture!r}.", f"Known: {', '.join(_PARTS)}."
            )
        hints = {**typing.get_type_hints(cls), "parts": _PARTS[architecture]}
        try:
            config = _read_record(cls, values, "", hints)
        except OverflowError as error:
            raise CheckpointError("The model configuration has a number that is out of range.") from error
        config.check()
        return config

    def check(self) -> None:
        """Check that a network of these sizes can be built, and quickly.

        Raises:
            CheckpointError: A number is outside its range (NaN is), heads do not divide their channels, or the name is
                too long.
        """
        numbers: dict[str, tuple[object, ...]] = {"image_size": (self.image_size,)}
        for part in ("trunk", "parts"):
            for name, value in asdict(getattr(self, part)).items():
                if not isinstance(value, (bool, str)):
                    numbers[f"{part}.{name}"] = value if isinstance(value, tuple) else (value,)
        check_sizes(self.name, numbers)


_PARTS = {"paper": PaperConfig, "compact": CompactConfig}


def _read_record(
    record: type[RecordT], values: object, path: str, hints: dict[str, typing.Any] | None = None
) -> RecordT:
    """Build the dataclass ``record`` from a JSON object with exactly its keys."""
    where = path.rstrip(".") or "its top"
    if not isinstance(values, dict):
        raise CheckpointError(f"The model configuration has no object at {where}.")
    hints = hints or typing.get_type_hints(record)
    unknown, missing = sorted(values.keys() - hints.keys()), sorted(hints.keys() - values.keys())
    if unknown or missing:
        raise CheckpointError(f"The model configuration at {where} has unknown keys {unknown} and lacks {missing}.")
    return record(**{name: _read_value(hints[name], value, f"{path}{name}") for name, value in values.items()})


def _read_value(hint: object, value: object, path: str) -> object:
    """Check one JSON value against the annotation of its field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _read_record(typing.cast(type, hint), value, f"{path}.")
    if origin is tuple and isinstance(value, list):
        return tuple(_read_value(arguments[0], entry, path) for entry in value)
    if hint is float and type(value) in (int, float):
        return float(typing.cast(float, value))
    if (origin is Literal and value in arguments) or type(value) is hint:
        return value
    kind = type(value).__name__
    raise CheckpointError(f"The model configuration has a value of a wrong type at {path!r}: {kind}.")


_BACKBONES = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16)}
"""(width, depth, heads) of DINOv2 ViT-S/14, ViT-B/14, ViT-L/14."""


def _paper(variant: str, human_image_size: int) -> ModelConfig:
    dim, depth, heads = _BACKBONES[variant]
    parts = PaperConfig(human_dim=dim, human_depth=depth, human_heads=heads, human_image_size=human_image_size)
    return ModelConfig(f"human3r_{human_image_size}{variant}", "paper", "paper", 512, TrunkConfig(), parts)


def _tiny() -> ModelConfig:
    """A miniature of the paper's architecture for tests: every branch, at most half a second per frame."""
    trunk = TrunkConfig(
        token_dim=64, decoder_dim=48, decoder_depth=4, decoder_heads=3, state_heads=2, num_state_tokens=30,
        num_memory_slots=16,
    )  # fmt: skip
    parts = PaperConfig(
        encoder_depth=3, encoder_heads=4, human_dim=32, human_depth=2, human_heads=2, human_position_grid=5,
        human_image_size=224, dpt_dim=32, dpt_widths=(12, 24, 48, 96),
    )  # fmt: skip
    return ModelConfig("tiny", "paper", "paper", 256, trunk, parts)


PRESETS: dict[str, ModelConfig] = {
    config.name: config for config in (_paper("s", 672), _paper("b", 672), _paper("l", 672), _paper("l", 896), _tiny())
}
"""The released checkpoints and ``tiny``, by model name. The configuration of ``compact`` is in its weight file."""
