"""Configurations of released checkpoints, from tensor shapes and, where these are ambiguous, constructor arguments."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from human3r.errors import CheckpointError
from human3r.models.config import ModelConfig, PaperConfig, TrunkConfig

Shapes = Mapping[str, tuple[int, ...]]

_REQUIRED: dict[str, tuple[object, object]] = {
    "head_type": ("dpt", "linear"),
    "output_mode": ("pts3d+pose+smpl", "pts3d"),
    "state_pe": ("2d", "2d"),
    "depth_mode": (("exp", float("-inf"), float("inf")), ("exp", float("-inf"), float("inf"))),
    "conf_mode": (("exp", 1, float("inf")), ("exp", 1, float("inf"))),
    "pose_mode": (("exp", float("-inf"), float("inf")), ("exp", float("-inf"), float("inf"))),
    "pose_head": (True, False),
    "norm_im2_in_dec": (True, True),
}
"""Argument -> (implemented value, default of an absent argument)."""
_DINOV2_HEAD_DIM = 64


def released_config(
    name: str,
    arguments: Mapping[str, object],
    shapes: Shapes,
    *,
    human_image_size: int,
    human_heads: int | None = None,
) -> ModelConfig:
    """Return the configuration of a released checkpoint.

    Args:
        name: Name for the result.
        arguments: Keyword arguments of the saved constructor; unknown ones are ignored.
        shapes: Shape of every tensor by released key.
        human_image_size: Side of the human prior's square, pixels.
        human_heads: Attention heads of the human backbone, if not one per 64 channels.

    Raises:
        CheckpointError: The checkpoint needs a variant that is not implemented, or lacks a part.
    """
    for key, (implemented, default) in _REQUIRED.items():
        value = arguments.get(key, default)
        value = tuple(value) if isinstance(value, list) else value
        if value != implemented:
            raise CheckpointError(f"The checkpoint has {key} = {value!r}, this network implements {implemented!r}.")
    try:
        trunk = _trunk(arguments, shapes)
        parts = _parts(arguments, shapes, human_image_size, human_heads)
    except KeyError as error:
        raise CheckpointError(f"The checkpoint lacks {error.args[0]}.", "Give a Human3R checkpoint.") from error
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        raise CheckpointError(
            "The checkpoint holds tensors of unknown layout.", "Give a Human3R checkpoint."
        ) from error
    config = ModelConfig(name, "paper", "paper", 512, trunk, parts)
    config.check()
    return config


def _trunk(arguments: Mapping[str, object], shapes: Shapes) -> TrunkConfig:
    token_dim, _, patch_size, _ = shapes["patch_embed.proj.weight"]
    hidden, decoder_dim = shapes["dec_blocks.0.mlp.fc1.weight"]
    return TrunkConfig(
        token_dim=token_dim,
        patch_size=patch_size,
        decoder_dim=decoder_dim,
        decoder_depth=count_blocks(shapes, "dec_blocks"),
        decoder_heads=_integer(arguments, "dec_num_heads", 16),
        state_heads=_integer(arguments, "state_dec_num_heads", 16),
        num_state_tokens=shapes["register_tokens.weight"][0],
        num_memory_slots=shapes["pose_retriever.mem"][1],
        num_memory_blocks=count_blocks(shapes, "pose_retriever.read_blocks"),
        rope_base=_rope_base(arguments.get("pos_embed", "cosine")),
        mlp_ratio=hidden / decoder_dim,
    )


def _parts(
    arguments: Mapping[str, object], shapes: Shapes, human_image_size: int, human_heads: int | None
) -> PaperConfig:
    human_dim, _, human_patch_size, _ = shapes["backbone.encoder.patch_embed.proj.weight"]
    scratch = "downstream_head.dpt_self.scratch"
    aligned = [shapes[f"{scratch}.layer{level}_rn.weight"] for level in (1, 2, 3, 4)]
    return PaperConfig(
        encoder_depth=count_blocks(shapes, "enc_blocks"),
        encoder_heads=_integer(arguments, "enc_num_heads", 12),
        human_dim=human_dim,
        human_depth=count_blocks(shapes, "backbone.encoder.blocks"),
        human_heads=human_heads or max(human_dim // _DINOV2_HEAD_DIM, 1),
        human_patch_size=human_patch_size,
        human_position_grid=round((shapes["backbone.encoder.pos_embed"][1] - 1) ** 0.5),
        human_image_size=human_image_size,
        dpt_dim=aligned[0][0],
        dpt_widths=tuple(shape[1] for shape in aligned),
        num_modulated_blocks=count_blocks(shapes, "downstream_head.final_transform"),
        num_ray_blocks=count_blocks(shapes, "enc_blocks_ray_map"),
        has_mask_head="downstream_head.mlp_msk.mlp.layers.0.weight" in shapes,
        has_extra_heads="downstream_head.dpt_cross.head.0.weight" in shapes,
    )


def count_blocks(keys: Collection[str], prefix: str) -> int:
    """Return the number of blocks ``prefix.0``, ``prefix.1``, ... in the keys."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for match in map(pattern.match, keys) if match})


def _integer(arguments: Mapping[str, object], key: str, default: int) -> int:
    value = arguments.get(key, default)
    if type(value) is not int or value < 1:
        raise CheckpointError(f"The checkpoint has {key} = {value!r}, expected a positive whole number.")
    return value


def _rope_base(position_embedding: object) -> float:
    match = re.fullmatch(r"RoPE(\d+(?:\.\d+)?)", str(position_embedding))
    if match is None:
        raise CheckpointError(f"The checkpoint has pos_embed = {position_embedding!r}, expected 'RoPE' and its base.")
    return float(match[1])
