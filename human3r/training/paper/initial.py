"""Initial weights: CUT3R's and Multi-HMR's checkpoints, new parts, and random weights for tests of the pipeline.

Name prefixes decide which file a tensor comes from; both files are read strictly and as data.
Source: Human3R (arXiv 2510.06219), sec. 4; Multi-HMR (arXiv 2402.14654); CUT3R (arXiv 2501.12387).
"""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from human3r.assets.conversion.child import convert_in_child
from human3r.assets.conversion.convert import network_layout
from human3r.assets.conversion.convert_tensors import key_problems
from human3r.assets.conversion.released_keys import released_key
from human3r.assets.weight_file import WeightFile
from human3r.errors import AssetMissingError, CheckpointError, FormatError
from human3r.models.build import seed_weights
from human3r.models.paper.heads import DptExtraHead, DptPointHead
from human3r.skeleton import NUM_JOINT_ROTATIONS
from human3r.training.paper.config import InitialSettings
from human3r.training.paper.network import TrainedNetwork

_LOG = logging.getLogger(__name__)

Origin = Literal["cut3r", "multi_hmr", "fresh"]

_MULTI_HMR = ("network.human_prior.", "network.prompter.offset.")
_FRESH = (
    *("network.prompter.fuse.", "network.person_head.", "network.mask_head."),
    *("image_padding", "human_padding"),
)
_RAY_KEYS = {
    "ray_encoder.patch_embedding": "patch_embed_ray_map.proj",
    "ray_encoder.norm": "enc_norm_ray_map",
    "ray_encoder.blocks": "enc_blocks_ray_map",
}
_HEAD_PREFIX = "downstream_head."
_STATE_BLOCKS, _IMAGE_BLOCKS = "dec_blocks_state.", "dec_blocks."
PADDING_STD = 0.02
_NUM_MEAN_ROTATIONS = 24
_IDENTITY_6D = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


def origin_of(name: str) -> Origin:
    """Return where a parameter or buffer of a ``TrainedNetwork`` comes from."""
    if name.startswith(_FRESH):
        return "fresh"
    return "multi_hmr" if name.startswith(_MULTI_HMR) else "cut3r"


def source_key(name: str) -> str:
    """Return the key of a tensor in the file that it comes from."""
    for ours, released in _RAY_KEYS.items():
        if name.startswith(ours):
            inner = released_key(f"image_encoder.blocks{name.removeprefix(ours)}") if ours.endswith("blocks") else None
            return f"{released}{name.removeprefix(ours)}" if inner is None else inner.replace("enc_blocks", released)
    key = released_key(name.removeprefix("network."))
    assert key is not None, name
    return key.removeprefix(_HEAD_PREFIX) if origin_of(name) == "multi_hmr" else key


def initialize(trained: TrainedNetwork, settings: InitialSettings, seed: int) -> None:
    """Fill every tensor of the network.

    Raises:
        AssetMissingError: A file that the settings name does not exist.
        CheckpointError: A file's keys or shapes are not those of this network.
        FormatError: The mean body is of another layout.
    """
    generator = torch.Generator().manual_seed(seed)
    seed_weights(trained.network, seed)
    _align_world_points(trained)
    _fill_fresh(trained, generator)
    if settings.mean_body:
        _load_mean_body(trained, _existing(settings.mean_body, "mean body"))
    absent = [name for name in ("cut3r", "multi_hmr") if not getattr(settings, name)]
    if absent:
        _LOG.warning("without initial.%s its part has random weights", " and initial.".join(absent))
    if settings.cut3r:
        _load(trained, "cut3r", _existing(settings.cut3r, "CUT3R's checkpoint"), ())
    if settings.multi_hmr:
        path = _existing(settings.multi_hmr, "Multi-HMR's checkpoint")
        _load(trained, "multi_hmr", path, settings.unused_prefixes)


def _existing(path: str, what: str) -> Path:
    if not Path(path).is_file():
        raise AssetMissingError(f"The file {Path(path).name} ({what}) does not exist.", "Check the setting 'initial'.")
    return Path(path)


@torch.no_grad()
def _align_world_points(trained: TrainedNetwork) -> None:
    """Copy the output layer of the camera points, so that random world points also lie a few meters in front."""
    extra, head = cast(DptExtraHead, trained.network.extra_head), cast(DptPointHead, trained.network.point_head)
    extra.points.output[2].load_state_dict(head.dpt.output[2].state_dict())


@torch.no_grad()
def _fill_fresh(trained: TrainedNetwork, generator: torch.Generator) -> None:
    """Initialize what is trained from scratch, and the ray branch, as PyTorch initializes linear layers."""
    for name, module in trained.named_modules():
        is_fresh = origin_of(f"{name}.") == "fresh" or name.startswith("ray_encoder.")
        if is_fresh and isinstance(module, (nn.Linear, nn.Conv2d)):
            bound = module.weight[0].numel() ** -0.5
            assert module.bias is not None
            for values in (module.weight, module.bias):
                values.copy_((2 * torch.rand(values.shape, generator=generator) - 1) * bound)
    for padding in (trained.image_padding, trained.human_padding):
        padding.copy_(PADDING_STD * torch.randn(padding.shape, generator=generator))
    head = cast(nn.Module, trained.network.person_head)
    head.get_buffer("mean_rotations").copy_(torch.tensor(_IDENTITY_6D * NUM_JOINT_ROTATIONS)[None])
    head.get_buffer("mean_betas").zero_()
    head.get_buffer("mean_expression").zero_()


@torch.no_grad()
def _load_mean_body(trained: TrainedNetwork, path: Path) -> None:
    """Write the mean pose into the first 24 rotations; as in the reference, SMPL's hands map to left-hand joints."""
    try:
        with np.load(path, allow_pickle=False) as file:
            pose = torch.from_numpy(file["pose"].astype(np.float32).reshape(_NUM_MEAN_ROTATIONS * 6))
            shape = torch.from_numpy(file["shape"].astype(np.float32).reshape(10))
    except (OSError, KeyError, ValueError) as error:
        raise FormatError(f"{path.name} is no mean body of 24 rotations and 10 coefficients ({error}).") from error
    head = cast(nn.Module, trained.network.person_head)
    head.get_buffer("mean_rotations")[0, : len(pose)] = pose
    head.get_buffer("mean_betas")[0] = shape


@torch.no_grad()
def _load(trained: TrainedNetwork, origin: Origin, path: Path, unused_prefixes: tuple[str, ...]) -> None:
    wanted = {
        source_key(name): values for name, values in trained.state_dict(keep_vars=True).items()
        if origin_of(name) == origin
    }  # fmt: skip
    with TemporaryDirectory(prefix="human3r-") as folder:
        copy = Path(folder) / "tensors.safetensors"
        convert_in_child("cut3r" if origin == "cut3r" else "multi_hmr", path, copy)
        file = WeightFile(copy)
        stored = {name: name for name in file.names}
        renamed = _with_state_blocks(stored) if origin == "cut3r" else stored
        unused = _unused_keys(trained, origin)
        missing = sorted(wanted.keys() - renamed.keys())
        unknown = sorted(
            key for key in renamed.keys() - wanted.keys() - unused if not key.startswith(unused_prefixes or ("\0",))
        )
        wrong = sorted(key for key in wanted.keys() & renamed.keys() if file.shape(renamed[key]) != wanted[key].shape)
        if problems := key_problems(missing, unknown, wrong):
            raise CheckpointError(f"The keys of {path.name} do not fit the network: {problems}.")
        for key, values in wanted.items():
            read = torch.empty(values.shape)
            file.read_into(renamed[key], read)
            values.copy_(read)


def _with_state_blocks(stored: dict[str, str]) -> dict[str, str]:
    """Use the image decoder's blocks for the state decoder of a checkpoint without one."""
    if any(key.startswith(_STATE_BLOCKS) for key in stored):
        return stored
    copies = {
        _STATE_BLOCKS + key.removeprefix(_IMAGE_BLOCKS): value
        for key, value in stored.items()
        if key.startswith(_IMAGE_BLOCKS)
    }
    return stored | copies


def _unused_keys(trained: TrainedNetwork, origin: Origin) -> set[str]:
    """Return the keys that a file of this origin has and the network has no use for."""
    _, layout = network_layout(trained.config)
    return set(layout.ignored) | set(layout.aliases) if origin == "cut3r" else {"backbone.encoder.mask_token"}
