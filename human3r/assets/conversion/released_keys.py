"""The table between our parameter names and the keys of the released checkpoints, as data.

``released_layout`` expands it for a network of given shapes. Unused keys are listed with their shapes;
every other key must have a parameter, and every parameter a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from human3r.assets.weight_file import Shape

_MLP = {"expand": "fc1", "contract": "fc2"}
_NUMBERED_MLP = {"expand": "0", "contract": "2"}
_LAYERED_MLP = {"expand": "mlp.layers.0", "contract": "mlp.layers.2"}
_ENCODER_BLOCK = {
    "norm1": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.projection": "attn.proj",
    "norm2": "norm2",
    "mlp.expand": "mlp.fc1",
    "mlp.contract": "mlp.fc2",
}
_SCALED_BLOCK = _ENCODER_BLOCK | {"scale1": "ls1.gamma", "scale2": "ls2.gamma"}
_DECODER_BLOCK = _ENCODER_BLOCK | {
    "context_norm": "norm_y",
    "cross_attention.query": "cross_attn.projq",
    "cross_attention.key": "cross_attn.projk",
    "cross_attention.value": "cross_attn.projv",
    "cross_attention.projection": "cross_attn.proj",
    "norm3": "norm3",
}
_MODULATED_BLOCK = _ENCODER_BLOCK | {
    "norm1.norm": "norm1.norm",
    "norm1.condition": "norm1.mlp.1",
    "norm2.norm": "norm2.norm",
    "norm2.condition": "norm2.mlp.1",
}
_DPT = {
    "reduce.0": "act_postprocess.0.0",
    "rescale.0": "act_postprocess.0.1",
    "reduce.1": "act_postprocess.1.0",
    "rescale.1": "act_postprocess.1.1",
    "reduce.2": "act_postprocess.2.0",
    "reduce.3": "act_postprocess.3.0",
    "rescale.3": "act_postprocess.3.1",
    **{f"align.{level}": f"scratch.layer{level + 1}_rn" for level in range(4)},
    **{
        f"fusions.{level}.{ours}": f"scratch.refinenet{level + 1}.{released}"
        for level in range(4)
        for ours, released in (
            ("shallow.conv1", "resConfUnit1.conv1"),
            ("shallow.conv2", "resConfUnit1.conv2"),
            ("refine.conv1", "resConfUnit2.conv1"),
            ("refine.conv2", "resConfUnit2.conv2"),
            ("projection", "out_conv"),
        )
    },
    "output.0": "head.0",
    "output.1": "head.2",
    "output.2": "head.4",
}
_ITSELF = {"": ""}

TABLE: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("memory.first_token", "pose_token", _ITSELF),
    ("image_encoder.patch_embedding", "patch_embed.proj", _ITSELF),
    ("image_encoder.blocks.{i}", "enc_blocks.{i}", _ENCODER_BLOCK),
    ("image_encoder.norm", "enc_norm", _ITSELF),
    ("decoder.state_seed", "register_tokens.weight", _ITSELF),
    ("decoder.embed_image", "decoder_embed", _ITSELF),
    ("decoder.embed_state", "decoder_embed_state", _ITSELF),
    ("decoder.image_blocks.{i}", "dec_blocks.{i}", _DECODER_BLOCK),
    ("decoder.state_blocks.{i}", "dec_blocks_state.{i}", _DECODER_BLOCK),
    ("decoder.image_norm", "dec_norm", _ITSELF),
    ("decoder.state_norm", "dec_norm_state", _ITSELF),
    ("memory.slots", "pose_retriever.mem", _ITSELF),
    ("memory.unknown_value", "pose_retriever.masked_token", _ITSELF),
    ("memory.embed_key", "pose_retriever.proj_q", _ITSELF),
    ("memory.write_blocks.{i}", "pose_retriever.write_blocks.{i}", _DECODER_BLOCK),
    ("memory.read_blocks.{i}", "pose_retriever.read_blocks.{i}", _DECODER_BLOCK),
    ("human_prior.backbone.class_token", "backbone.encoder.cls_token", _ITSELF),
    ("human_prior.backbone.position_embedding", "backbone.encoder.pos_embed", _ITSELF),
    ("human_prior.backbone.patch_embedding", "backbone.encoder.patch_embed.proj", _ITSELF),
    ("human_prior.backbone.blocks.{i}", "backbone.encoder.blocks.{i}", _SCALED_BLOCK),
    ("human_prior.backbone.norm", "backbone.encoder.norm", _ITSELF),
    ("human_prior.score", "downstream_head.mlp_classif", _NUMBERED_MLP),
    ("prompter.offset", "downstream_head.mlp_offset", _NUMBERED_MLP),
    ("prompter.fuse", "downstream_head.mlp_fuse", _LAYERED_MLP),
    ("mask_head.mlp", "downstream_head.mlp_msk", _LAYERED_MLP),
    ("camera_head.mlp", "downstream_head.pose_head.mlp", _MLP),
    ("point_head.dpt", "downstream_head.dpt_self", _DPT),
    ("person_head.translation", "downstream_head.deccam", _LAYERED_MLP),
    ("person_head.rotations", "downstream_head.decpose", _LAYERED_MLP),
    ("person_head.betas", "downstream_head.decshape", _LAYERED_MLP),
    ("person_head.expression", "downstream_head.decexpression", _LAYERED_MLP),
    ("person_head.mean_rotations", "downstream_head.init_body_pose", _ITSELF),
    ("person_head.mean_betas", "downstream_head.init_betas", _ITSELF),
    ("person_head.mean_expression", "downstream_head.init_expression", _ITSELF),
    ("extra_head.blocks.{i}", "downstream_head.final_transform.{i}", _MODULATED_BLOCK),
    ("extra_head.points", "downstream_head.dpt_cross", _DPT),
    ("extra_head.colours", "downstream_head.dpt_rgb", _DPT),
)
"""(our prefix, released prefix, names below them); ``{i}`` is a block index, ``.weight`` and ``.bias`` follow."""


@dataclass(frozen=True)
class ReleasedLayout:
    """The keys of a released checkpoint for one network."""

    mapped: dict[str, str]
    """Released key to our parameter name; a bijection onto our parameters."""
    aliases: dict[str, str]
    """Released key to the released key that holds the same tensor."""
    ignored: dict[str, Shape]
    """Unused released keys with their shapes."""


def released_key(name: str) -> str | None:
    """Return the released key of one of our parameter names; None if it is not in the table."""
    for ours, released, below in TABLE:
        pattern = re.escape(ours).replace(r"\{i\}", r"(?P<i>\d+)") + r"(?:\.(?P<rest>.+))?"
        match = re.fullmatch(pattern, name)
        if match is None:
            continue
        found = match.groupdict(default="")
        prefix, rest = released.replace("{i}", found.get("i", "")), found["rest"]
        if below is _ITSELF:
            return f"{prefix}.{rest}" if rest else prefix
        module, _, kind = rest.rpartition(".")
        if rest in below:
            return f"{prefix}.{below[rest]}"
        if module in below:
            return f"{prefix}.{below[module]}.{kind}"
    return None


def released_layout(shapes: Mapping[str, Shape], num_ray_blocks: int) -> ReleasedLayout:
    """Expand the table for a network.

    Args:
        shapes: Name and shape of every parameter and stored buffer of the network.
        num_ray_blocks: Blocks of the checkpoint's ray-map branch.

    Raises:
        KeyError: A parameter is missing from the table: a programming error.
    """
    mapped: dict[str, str] = {}
    for name in shapes:
        key = released_key(name)
        if key is None:
            raise KeyError(name)
        mapped[key] = name
    released_shapes = {key: tuple(shapes[name]) for key, name in mapped.items()}
    heads = sorted({key.split(".")[1] for key in mapped if key.startswith("downstream_head.dpt_")})
    aliases = {
        f"{scratch}.layer_rn.{level}.weight": f"{scratch}.layer{level + 1}_rn.weight"
        for scratch in (f"downstream_head.{head}.scratch" for head in heads)
        for level in range(4)
    }
    return ReleasedLayout(mapped, aliases, _ignored(released_shapes, heads, num_ray_blocks))


def _ignored(shapes: Mapping[str, Shape], heads: list[str], num_ray_blocks: int) -> dict[str, Shape]:
    """Return the unused keys: ray-map branch, padding tokens, unread buffers, the unit of a missing input."""
    token_dim, _, patch, _ = shapes["patch_embed.proj.weight"]
    human_dim = shapes["backbone.encoder.cls_token"][-1]
    ignored: dict[str, Shape] = {
        "patch_embed_ray_map.proj.weight": (token_dim, 6, patch, patch),
        "patch_embed_ray_map.proj.bias": (token_dim,),
        "enc_norm_ray_map.weight": (token_dim,),
        "enc_norm_ray_map.bias": (token_dim,),
        "masked_img_token": (1, token_dim),
        "masked_ray_map_token": (1, token_dim),
        "masked_smpl_token": (1, token_dim),
        "mhmr_masked_smpl_token": (1, human_dim),
        "mhmr_masked_img_token": (1, human_dim),
        "backbone.encoder.mask_token": (1, human_dim),
        "downstream_head.init_cam": (1, 3),
        "downstream_head.init_betas_kid": (1, 11),
    }
    for key, shape in shapes.items():
        if key.startswith("enc_blocks.0."):
            for index in range(num_ray_blocks):
                ignored[f"enc_blocks_ray_map.{index}.{key.removeprefix('enc_blocks.0.')}"] = shape
    for head in heads:
        for convolution in ("conv1", "conv2"):
            for kind in ("weight", "bias"):
                key = f"downstream_head.{head}.scratch.refinenet{{}}.resConfUnit1.{convolution}.{kind}"
                ignored[key.format(4)] = shapes[key.format(3)]
    return ignored
