"""From a model's name or path to something that runs: network, body, device and arithmetic in one record."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch

from human3r.assets.body_file import open_body
from human3r.assets.conversion.convert import load_network, weights_hash
from human3r.assets.registry import ASSETS, WEIGHT_SUFFIXES, find_weights, weights_folder
from human3r.assets.shards import COMPACT_FOLDER, read_shards
from human3r.bodies import SmplxBody
from human3r.errors import AssetMissingError, DeviceMemoryError, InputError
from human3r.inference.causal_filter import SmoothingOptions
from human3r.inference.precision import ComputePolicy, choose_policy
from human3r.inference.session import SessionOptions
from human3r.models.build import build_network, seed_weights
from human3r.models.compact.build import build_compact
from human3r.models.compiled import PEOPLE_BUCKETS, compile_network
from human3r.models.config import PRESETS, ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.layers.prepacked_linear import prepack_linears
from human3r.models.layers.rope_complex import interleave_rotary_channels
from human3r.models.precision import Precision, set_precision
from human3r.tracking.motion import MotionOptions

_AUTO_ORDER = ("human3r_896l", "human3r_672l", "human3r_672b", "human3r_672s")
"""Official models from best to fastest. Source: Human3R (arXiv 2510.06219), table of variants."""
_PACKED_FROM = 256
"""Channels of a token from which on packed matrices pay."""
_COMPACT_TRACK_MAX_AGE = 300
"""Frames with people after which ``compact`` forgets an identity: bounds the bank on endless streams."""


@dataclass(frozen=True)
class LoadedModel:
    """A network that is ready to run, and what it was made from. Shared by any number of sessions."""

    network: Human3R
    body: SmplxBody
    """The body that people are expressed with; on the CPU."""
    config: ModelConfig
    name: str
    sha256: str
    """Of the weights: two models with the same value give the same numbers."""
    policy: ComputePolicy
    session_options: SessionOptions = field(default_factory=SessionOptions)
    """What a session does unless told otherwise."""
    track_max_age: int | None = None
    """Frames with people after which an unseen identity is forgotten; None never."""
    track_motion: MotionOptions | None = None
    """How the tracker lets identities move; None, as the official one, compares newest features."""
    people_buckets: tuple[int, ...] = ()
    """Sizes, ascending, that the person axis is padded to, so that compiled code sees few shapes; more people than the
    largest, or no buckets, run without padding."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.policy.device

    @property
    def precision(self) -> str:
        """Arithmetic of the network, see ``human3r.models.precision``."""
        return self.policy.precision


def load_model(
    name_or_path: str | Path = "auto",
    device: str = "auto",
    precision: str = "auto",
    body: str | Path | None = None,
    *,
    compiled: bool = False,
) -> LoadedModel:
    """Load a model.

    Args:
        name_or_path: ``compact``, ``tiny``, an official name, the path of a ``.safetensors`` or ``.pth`` file, or
            ``auto``: the best official model on this machine if it has a GPU, else ``compact``.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``fp32``, ``mixed``, ``mixed16``, ``fp16`` or ``bf16``; see ``choose_policy``.
        body: A licensed ``SMPLX_NEUTRAL.npz``; None is the embedded body.
        compiled: Compile an official network for 16:9 frames, which takes minutes; it runs as it is where that fails.

    Raises:
        InputError: An unknown name, device or precision.
        AssetMissingError: The weights or the body are not on this machine; the remedy says where to get them.
        AssetIntegrityError: A file is damaged.
        CheckpointError: The checkpoint does not fit the network.
        ResourceError: The device is missing or too small.
    """
    text = str(name_or_path)
    if text == "auto":
        text = _best_available(device)
    if text not in ASSETS and not _looks_like_path(text):
        raise InputError(f"The model {text!r} is unknown.", f"Choose {', '.join(ASSETS)}, or give a path.")
    smplx_body = open_body(body)
    name, network, sha256 = _load_network(text, choose_policy(device, precision, "paper").precision)
    policy = choose_policy(device, precision, network.config.architecture)
    try:
        network = prepare_network(network, policy)
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"{name} does not fit into the memory of {policy.device}.", "Use --device cpu."
        ) from error
    is_compact = network.config.architecture == "compact"
    is_compiled = compiled and not is_compact and compile_network(network, _typical_image(network.config, policy))
    return LoadedModel(
        network=network,
        body=smplx_body,
        config=network.config,
        name=name,
        sha256=sha256,
        policy=policy,
        session_options=SessionOptions(smoothing=SmoothingOptions() if is_compact else None),
        track_max_age=_COMPACT_TRACK_MAX_AGE if is_compact else None,
        track_motion=MotionOptions() if is_compact else None,
        people_buckets=PEOPLE_BUCKETS if is_compiled else (),
    )


def _typical_image(config: ModelConfig, policy: ComputePolicy) -> torch.Tensor:
    """Return a grey 16:9 frame."""
    patch = config.trunk.patch_size
    height = config.image_size * 9 // 16 // patch * patch
    return torch.zeros(1, 3, height, config.image_size, device=policy.device)


def prepare_network(network: Human3R, policy: ComputePolicy) -> Human3R:
    """Bring a network to its device, for inference; on a CPU its large matrices are packed."""
    network = network.to(policy.device).eval().requires_grad_(False)
    if policy.device.type != "cpu":
        return network
    if network.config.architecture == "compact":
        for part in (network.image_encoder, network.decoder, network.memory, network.prompter, network.person_head):
            prepack_linears(part)
    elif network.config.trunk.token_dim >= _PACKED_FROM:
        for part in (network.image_encoder, network.decoder):
            interleave_rotary_channels(part)
            part.has_complex_rope = True
        # Its maps come from tokens, channels last: convolutions then need not turn them round.
        network.point_head.to(memory_format=torch.channels_last)  # type: ignore[attr-defined]
        prepack_linears(network)
    return network


def _best_available(device: str) -> str:
    has_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if has_gpu:
        for name in _AUTO_ORDER:
            if find_weights(name):
                return name
    return "compact"


def _looks_like_path(text: str) -> bool:
    return text.endswith(WEIGHT_SUFFIXES) or "/" in text


def _load_network(text: str, precision: Precision) -> tuple[str, Human3R, str]:
    """Return (name, network on the CPU, sha256 of the weights)."""
    if text == "tiny":
        config = PRESETS["tiny"]
        network = build_network(config)
        seed_weights(network)
        set_precision(network, precision)
        return text, network, hashlib.sha256(b"seed 0\n" + config.to_json().encode()).hexdigest()
    if text == "compact":
        return _load_compact()
    if text in PRESETS:
        path = find_weights(text)
        if path is None:
            asset = ASSETS[text]
            raise AssetMissingError(
                f"The weights of {text} are not on this machine.",
                f"Run 'python -m human3r models download {text}', or put {asset.file_name} from the hub repository "
                f"{asset.repository} into {weights_folder()}.",
            )
        return text, load_network(path, precision=precision), weights_hash(path)
    path = Path(text)
    if not path.is_file():
        raise AssetMissingError(f"There is no weight file {path.name!r}.", "Check the path.")
    return path.stem, load_network(path, precision=precision), weights_hash(path)


def _load_compact() -> tuple[str, Human3R, str]:
    network = build_compact(read_shards(COMPACT_FOLDER))
    index = (COMPACT_FOLDER / "index.json").read_bytes()
    return "compact", network, hashlib.sha256(index).hexdigest()
