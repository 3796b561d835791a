"""Bounds on the sizes in a configuration: a file's header must not decide how long a network takes to build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from human3r.errors import CheckpointError

_CHANNELS = (4, 8192)
_BLOCKS = (1, 64)
_HEADS = (1, 64)
_FEW_BLOCKS = (0, 16)
_RANGES: dict[str, tuple[float, float]] = {
    "image_size": (16, 8192),
    "trunk.token_dim": _CHANNELS,
    "trunk.patch_size": (1, 64),
    "trunk.decoder_dim": _CHANNELS,
    "trunk.decoder_depth": _BLOCKS,
    "trunk.decoder_heads": _HEADS,
    "trunk.state_heads": _HEADS,
    "trunk.num_state_tokens": (1, 16384),
    "trunk.num_memory_slots": (1, 16384),
    "trunk.num_memory_blocks": _FEW_BLOCKS,
    "trunk.rope_base": (1, 1e6),
    "trunk.mlp_ratio": (0.1, 16),
    "parts.encoder_depth": _BLOCKS,
    "parts.encoder_heads": _HEADS,
    "parts.human_dim": _CHANNELS,
    "parts.human_depth": _BLOCKS,
    "parts.human_heads": _HEADS,
    "parts.human_patch_size": (1, 64),
    "parts.human_position_grid": (1, 256),
    "parts.human_interpolate_offset": (0, 1),
    "parts.human_image_size": (14, 4096),
    "parts.detection_threshold": (0, 1),
    "parts.dpt_dim": _CHANNELS,
    "parts.dpt_widths": _CHANNELS,
    "parts.num_modulated_blocks": _FEW_BLOCKS,
    "parts.num_ray_blocks": _FEW_BLOCKS,
    "parts.second_scale_px": (0, 8192),
    "parts.max_cropped_people": (0, 64),
    "parts.memory_width": (0, 4096),
    "parts.lifter_dim": _CHANNELS,
    "parts.lifter_depth": _BLOCKS,
    "parts.prompt_hidden": _CHANNELS,
    "parts.point_dim": _CHANNELS,
}
"""Least and most of every number, a few times what any network of this family has."""
_HEAD_PAIRS = (
    ("trunk.token_dim", "parts.encoder_heads", 4),
    ("trunk.decoder_dim", "trunk.decoder_heads", 4),
    ("trunk.decoder_dim", "trunk.state_heads", 4),
    ("parts.human_dim", "parts.human_heads", 1),
)
"""(channels, heads, multiple): rotary positions need four channels of a head, or a multiple."""
_NUM_DPT_LEVELS = 4
_MAX_NAME_LENGTH = 200
_MAX_SHOWN = 20


def check_sizes(name: str, numbers: Mapping[str, tuple[Any, ...]]) -> None:
    """Check that a network of these sizes can be built, and quickly.

    Args:
        name: The model's name.
        numbers: Every number of its configuration by dotted name; lists of numbers as they are, others as tuples of
            one.

    Raises:
        CheckpointError: See ``ModelConfig.check``.
    """
    for key, values in numbers.items():
        least, most = _RANGES[key]
        for value in values:
            if not least <= value <= most:
                shown = str(value)[:_MAX_SHOWN]
                raise CheckpointError(f"The model configuration has {key} = {shown}, expected {least:g} to {most:g}.")
    widths = numbers.get("parts.dpt_widths")
    if widths is not None and len(widths) != _NUM_DPT_LEVELS:
        raise CheckpointError(f"The model configuration has {len(widths)} dpt_widths, expected {_NUM_DPT_LEVELS}.")
    for channels, heads, multiple in _HEAD_PAIRS:
        if channels in numbers and heads in numbers and numbers[channels][0] % (numbers[heads][0] * multiple):
            raise CheckpointError(
                f"The model configuration has {heads} = {numbers[heads][0]}, which does not divide "
                f"{channels} = {numbers[channels][0]} into heads of a multiple of {multiple} channels."
            )
    if len(name) > _MAX_NAME_LENGTH:
        raise CheckpointError(f"The model's name has {len(name)} characters, the limit is {_MAX_NAME_LENGTH}.")
