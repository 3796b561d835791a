"""Configurations: every size of a network, as frozen data that travels with the weights as JSON.

Presets of the released checkpoints and of ``tiny``; building modules from them is ``human3r.models.build``.
Sources: Human3R (arXiv 2510.06219); CUT3R (arXiv 2501.12387); DINOv2 (arXiv 2304.07193).
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Literal

from human3r.errors import CheckpointError
from human3r.models.sizes import check_sizes

if TYPE_CHECKING:
    from human3r.models.compact.config import CompactConfig

Architecture = Literal["official", "compact"]


@dataclass(frozen=True)
class TrunkConfig:
    """Sizes of what every architecture shares: twin decoder, state, memory, and the tokens that they exchange."""

    token_dim: int = 1024
    """Channels of an image token."""
    patch_size: int = 16
    """Network pixels per image token and side."""
    decoder_dim: int = 768
    decoder_depth: int = 12
    decoder_heads: int = 12
    """Heads of the image-side blocks, of the memory blocks and of the pose-modulated blocks."""
    state_heads: int = 16
    """Heads of the state-side blocks; no weight shape shows this number."""
    num_state_tokens: int = 768
    num_memory_slots: int = 256
    num_memory_blocks: int = 2
    """Blocks of the memory's reader, and of its writer."""
    rope_base: float = 100.0
    mlp_ratio: float = 4.0


@dataclass(frozen=True)
class OfficialConfig:
    """Sizes of the parts that only the official networks have."""

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
    """Side of the square that the human backbone sees, pixels."""
    detection_threshold: float = 0.3
    dpt_dim: int = 256
    dpt_widths: tuple[int, ...] = (96, 192, 384, 768)
    num_modulated_blocks: int = 2
    num_ray_blocks: int = 2
    """Blocks of the ray-map branch: in the checkpoints, never run."""
    has_mask_head: bool = True
    mask_source: Literal["human", "image"] = "human"
    """Whose tokens draw the person mask: the human prior's, as in every released network, or the image encoder's, as
    the paper's text has it."""
    has_extra_heads: bool = True
    """False: lean heads, without segment-frame points and colours."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a network, and to prepare images for it."""

    name: str
    architecture: Architecture
    preprocess: Architecture
    """Which rule of ``human3r.video.preprocess`` makes the input."""
    image_size: int
    """Long side of the network image, pixels."""
    trunk: TrunkConfig
    parts: OfficialConfig | CompactConfig

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
        architecture = values.get("architecture") if isinstance(values, dict) else None
        hints = {
            "name": str,
            "architecture": Architecture,
            "preprocess": Architecture,
            "image_size": int,
            "trunk": TrunkConfig,
            "parts": _parts_class(architecture),
        }
        try:
            config = _read_record(cls, values, "", hints)
        except OverflowError as error:
            raise CheckpointError("The model configuration has a number that is out of range.") from error
        check_sizes(config)
        return config


def _parts_class(architecture: object) -> type:
    if architecture == "official":
        return OfficialConfig
    if architecture == "compact":
        from human3r.models.compact.config import CompactConfig

        return CompactConfig
    raise CheckpointError(
        f"The model configuration names the architecture {architecture!r}.", "Known: official, compact."
    )


def _read_record(record: type, values: object, path: str, hints: dict[str, typing.Any] | None = None) -> typing.Any:
    """Build the dataclass ``record`` from a JSON object; every key must be there and none may be left."""
    where = path.rstrip(".") or "its top"
    if not isinstance(values, dict):
        raise CheckpointError(f"The model configuration has no object at {where}.")
    names = {item.name for item in fields(record)}
    unknown, missing = sorted(values.keys() - names), sorted(names - values.keys())
    if unknown or missing:
        raise CheckpointError(f"The model configuration at {where} has unknown keys {unknown} and lacks {missing}.")
    hints = hints or typing.get_type_hints(record)
    return record(**{name: _read_value(hints[name], value, f"{path}{name}") for name, value in values.items()})


def _read_value(hint: object, value: object, path: str) -> object:
    """Check one JSON value against the annotation of its field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _read_record(typing.cast(type, hint), value, f"{path}.")
    if origin is tuple and isinstance(value, list):
        items = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(items) == len(value):
            return tuple(_read_value(item, entry, path) for item, entry in zip(items, value, strict=True))
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read_value(next(item for item in arguments if item is not type(None)), value, path)
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    kind = type(value).__name__
    raise CheckpointError(f"The model configuration has a value of a wrong type at {path!r}: {kind}.")


_BACKBONES = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16)}
"""(width, depth, heads) of DINOv2 ViT-S/14, ViT-B/14, ViT-L/14."""


def _official(variant: str, human_image_size: int) -> ModelConfig:
    dim, depth, heads = _BACKBONES[variant]
    parts = OfficialConfig(human_dim=dim, human_depth=depth, human_heads=heads, human_image_size=human_image_size)
    return ModelConfig(f"human3r_{human_image_size}{variant}", "official", "official", 512, TrunkConfig(), parts)


def _tiny() -> ModelConfig:
    """A miniature of the official architecture for tests: every branch, half a second per frame at most."""
    trunk = TrunkConfig(
        token_dim=64, decoder_dim=48, decoder_depth=4, decoder_heads=3, state_heads=2, num_state_tokens=30,
        num_memory_slots=16,
    )  # fmt: skip
    parts = OfficialConfig(
        encoder_depth=3, encoder_heads=4, human_dim=32, human_depth=2, human_heads=2, human_position_grid=5,
        human_image_size=224, dpt_dim=32, dpt_widths=(12, 24, 48, 96),
    )  # fmt: skip
    return ModelConfig("tiny", "official", "official", 256, trunk, parts)


PRESETS: dict[str, ModelConfig] = {
    config.name: config
    for config in (_official("s", 672), _official("b", 672), _official("l", 672), _official("l", 896), _tiny())
}
"""The released checkpoints and ``tiny``, by model name. ``compact`` carries its configuration in its own weights."""
