"""From a model's name or path to a ``LoadedModel``: network, body, device and arithmetic."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch

from human3r.assets.body_file import open_body
from human3r.assets.conversion.convert import load_network, weights_hash
from human3r.assets.registry import check_model, find_weights
from human3r.assets.shards import COMPACT_FOLDER, read_shards
from human3r.errors import DeviceMemoryError
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.precision import ComputePolicy, choose_policy
from human3r.inference.loading.profile import COMPACT_PROFILE, PAPER_PROFILE, ModelProfile, profile_of
from human3r.inference.loading.threads import stage_threads
from human3r.models.build import build_network, seed_weights
from human3r.models.compact.build import build_compact
from human3r.models.compact.people.person_head import KeypointPersonHead
from human3r.models.compiled import PEOPLE_BUCKETS, compile_network
from human3r.models.config import PRESETS, ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.precision import Precision, set_precision

_AUTO_ORDER = ("human3r_896l", "human3r_672l", "human3r_672b", "human3r_672s")
"""Networks of the paper from best to fastest. Source: Human3R (arXiv 2510.06219), table of variants."""


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
        name_or_path: ``compact``, ``tiny``, a network of the paper, the path of a ``.safetensors`` or ``.pth`` file, or
            ``auto``: the paper's best network on this machine if it has a GPU, else ``compact``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto``, ``fp32``, ``mixed``, ``mixed16``, ``fp16`` or ``bf16``; see ``choose_policy``.
        body: A licensed ``SMPLX_NEUTRAL.npz``; None is the embedded body.
        compiled: Compile a network of the paper for 16:9 frames, which takes minutes; else it runs uncompiled.

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
    check_model(text)
    precision_of_paper = choose_policy(device, precision, PAPER_PROFILE).precision
    with ThreadPoolExecutor(1) as pool:
        # Unpacking takes as long as building a small network, and waits for nothing.
        opening = pool.submit(open_body, body)
        name, network, sha256 = _load_network(text, precision_of_paper)
        smplx_body = opening.result()
    profile = profile_of(network.config)
    policy = choose_policy(device, precision, profile)
    try:
        with stage_threads(profile, policy.device):
            network = prepare_network(network, policy)
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"{name} does not fit into the memory of {policy.device}.", "Use --device cpu."
        ) from error
    is_compiled = compiled and profile.can_compile and compile_network(network, _typical_image(network.config, policy))
    return LoadedModel(
        network=network,
        body=smplx_body,
        config=network.config,
        name=name,
        sha256=sha256,
        policy=policy,
        profile=_with_keypoint_body(profile, network),
        people_buckets=PEOPLE_BUCKETS if is_compiled else (),
    )


def _with_keypoint_body(profile: ModelProfile, network: Human3R) -> ModelProfile:
    """Return the profile with the skeleton of the network's lifter, where it has one, for finished clips."""
    head = network.person_head
    if not isinstance(head, KeypointPersonHead):
        return profile
    return replace(profile, finishing=replace(profile.finishing, keypoint_body=deepcopy(head.lifter.points).cpu()))


def _typical_image(config: ModelConfig, policy: ComputePolicy) -> torch.Tensor:
    """Return a gray 16:9 frame."""
    patch = config.trunk.patch_size
    height = config.image_size * 9 // 16 // patch * patch
    return torch.zeros(1, 3, height, config.image_size, device=policy.device)


def prepare_network(network: Human3R, policy: ComputePolicy) -> Human3R:
    """Move a network to its device for inference; on a CPU its large matrices are packed."""
    network = network.to(policy.device).eval().requires_grad_(False)
    if policy.device.type == "cpu":
        profile_of(network.config).prepare_for_cpu(network)
    return network


def _best_available(device: str) -> str:
    has_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if has_gpu:
        for name in _AUTO_ORDER:
            if find_weights(name):
                return name
    return "compact"


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
        assert path is not None  # ``check_model`` has found it
        return text, load_network(path, precision=precision), weights_hash(path)
    path = Path(text)
    return path.stem, load_network(path, precision=precision), weights_hash(path)


def _load_compact() -> tuple[str, Human3R, str]:
    with stage_threads(COMPACT_PROFILE, torch.device("cpu")):
        network = build_compact(read_shards(COMPACT_FOLDER))
    index = (COMPACT_FOLDER / "index.json").read_bytes()
    return "compact", network, hashlib.sha256(index).hexdigest()
