"""Convert released checkpoints, and load released or converted ones into a network.

Connects ``assets`` (reading files) and ``models`` (the meaning of tensors), which are independent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from human3r.assets.conversion.child import convert_in_child
from human3r.assets.conversion.convert_tensors import (
    check_aliases,
    check_shapes,
    constructor_arguments,
    match_keys,
    stored_tensors,
)
from human3r.assets.conversion.released_keys import ReleasedLayout, released_layout
from human3r.assets.conversion.torch_file import StoredTensor, TorchFile
from human3r.assets.registry import sha256_of, weights_folder
from human3r.assets.weight_file import Shape, WeightFile, write_weight_file
from human3r.errors import AssetIntegrityError, CheckpointError, DiskFullError
from human3r.models.build import build_network
from human3r.models.config import ModelConfig, PaperConfig
from human3r.models.human3r import Human3R
from human3r.models.paper.released_config import released_config
from human3r.models.precision import Precision, stored_precision

_EXTRA_PREFIX = "extra_head."
_MAX_STEM = 100
_MAX_READERS = 4
"""Threads that read a file: copying and checking one tensor keeps one core busy."""


def convert_checkpoint(source: Path, target: Path) -> ModelConfig:
    """Convert a released ``.pth`` into safetensors with our names and the configuration in its header.

    Strict: every key of the file is mapped or listed as unused, every parameter is filled, every shape is checked.
    Nothing in the file is executed, and the file is read in a child process.

    Raises:
        CheckpointError: The file is damaged, of another network, or partial.
        DiskFullError: The result could not be written; nothing is left of it.
    """
    return ModelConfig.from_json(convert_in_child("checkpoint", source, target))


def convert_here(source: Path, target: Path) -> str:
    """Do the work of ``convert_checkpoint`` in this process and return the configuration as JSON."""
    with TorchFile(source) as file:
        stored = stored_tensors(file)
        config = _read_config(file, {key: value.shape for key, value in stored.items()}, source)
        shapes, layout = network_layout(config)
        keys = match_keys({key: value.shape for key, value in stored.items()}, layout, shapes)
        check_aliases(file, stored, layout)
        write_weight_file(target, shapes, lambda name: file.load(stored[keys[name]]), config.to_json())
    return config.to_json()


def load_network(path: Path, *, is_lean: bool = True, precision: Precision = "fp32") -> Human3R:
    """Load a network from a released ``.pth`` or a converted ``.safetensors``, on the CPU.

    A ``.pth`` is converted first, in a child process; the copy is cached beside the folder of weights.

    Args:
        is_lean: Leave out the heads whose outputs are not used downstream.
        precision: Precision in which a paper network's weights are stored; they are rounded one tensor at a time.

    Raises:
        CheckpointError: The file is damaged, of another network, or partial.
    """
    return _load_converted(path if path.suffix == ".safetensors" else _converted_copy(path), is_lean, precision)


def _converted_copy(path: Path) -> Path:
    """Return the converted copy of a ``.pth``, made in a child process and cached under the original's hash."""
    folder = weights_folder().parent / "converted"
    copy = folder / f"{path.stem[:_MAX_STEM]}-{sha256_of(path)}.safetensors"
    if _is_readable(copy):
        return copy
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskFullError(
            f"The folder of converted weights cannot be created ({error.strerror}).", "Set HUMAN3R_HOME to a folder."
        ) from error
    convert_checkpoint(path, copy)
    return copy


def _is_readable(copy: Path) -> bool:
    """Return whether there is a converted copy with this version's configuration."""
    try:
        ModelConfig.from_json(WeightFile(copy).config_json)
    except (CheckpointError, AssetIntegrityError):
        return False
    return True


def extract_tensors(source: Path, target: Path, read: Callable[[TorchFile], dict[str, StoredTensor]]) -> str:
    """Write tensors of a foreign checkpoint as an fp32 weight file under their original names."""
    with TorchFile(source) as file:
        stored = read(file)
        shapes = {name: value.shape for name, value in stored.items()}
        write_weight_file(target, shapes, lambda name: file.load(stored[name]), "{}")
    return ""


def weights_hash(path: Path) -> str:
    """Return a hash that identifies the weights in a file; of converted files it only reads the header."""
    if path.suffix != ".safetensors":
        return sha256_of(path)
    return WeightFile(path).sha256


def network_layout(config: ModelConfig) -> tuple[dict[str, Shape], ReleasedLayout]:
    """Return the shapes of a paper network's tensors and the keys of its checkpoint, without allocating weights."""
    assert isinstance(config.parts, PaperConfig)
    shapes = _shapes_of(_unfilled_network(config).state_dict())
    return shapes, released_layout(shapes, config.parts.num_ray_blocks)


def fill_network(config: ModelConfig, tensors: Mapping[str, Tensor]) -> Human3R:
    """Build a network around given tensors; nothing is initialized or copied.

    Raises:
        CheckpointError: A name is missing or left over, or a shape differs.
    """
    network = _unfilled_network(config)
    expected = _shapes_of(network.state_dict())
    check_shapes(_shapes_of(tensors), expected, expected)
    return _filled(network, tensors)


def _unfilled_network(config: ModelConfig) -> Human3R:
    """Build a network without allocating its weights; sizes have been checked, but not their combination."""
    try:
        with torch.device("meta"):
            return build_network(config)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"No network can be built from the configuration ({type(error).__name__}).") from error


def _shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    return {name: tuple(values.shape) for name, values in tensors.items()}


def _filled(network: Human3R, tensors: Mapping[str, Tensor]) -> Human3R:
    network.load_state_dict(dict(tensors), strict=True, assign=True)
    return network.requires_grad_(False)


def _load_converted(path: Path, is_lean: bool, precision: Precision) -> Human3R:
    file = WeightFile(path)
    config = ModelConfig.from_json(file.config_json)
    config = lean_config(config) if is_lean else config
    names = [name for name in file.names if not (is_lean and name.startswith(_EXTRA_PREFIX))]
    network = _unfilled_network(config)
    expected = _shapes_of(network.state_dict())
    check_shapes({name: file.shape(name) for name in names}, expected, expected)
    precision = precision if config.architecture == "paper" else "fp32"
    # Ordinary tensors even within inference mode, whose tensors cannot be filled from threads.
    with torch.inference_mode(False):
        tensors = {name: torch.empty(file.shape(name), dtype=stored_precision(name, precision)) for name in names}
    with ThreadPoolExecutor(min(_MAX_READERS, torch.get_num_threads())) as readers:
        for _ in readers.map(file.read_into, tensors.keys(), tensors.values()):
            pass
    return _filled(network, tensors)


def lean_config(config: ModelConfig) -> ModelConfig:
    """Return the configuration without the heads whose outputs are not used."""
    if not isinstance(config.parts, PaperConfig):
        return config
    return replace(config, parts=replace(config.parts, has_extra_heads=False))


def _read_config(file: TorchFile, shapes: Mapping[str, Shape], path: Path) -> ModelConfig:
    arguments = constructor_arguments(file)
    return released_config(path.stem.lower(), arguments, shapes, human_image_size=_human_image_size(arguments, path))


def _human_image_size(arguments: Mapping[str, object], path: Path) -> int:
    """Return the side of the human prior's square, in which two released networks differ only."""
    value = arguments.get("mhmr_img_res")
    if type(value) is int and value > 0:
        return value
    match = re.search(r"(672|896)", path.stem)
    if match is None:
        raise CheckpointError(
            f"{path.name} does not say how large an image its human stream sees.",
            "Keep 672 or 896 in the file name, as in human3r_896L.pth.",
        )
    return int(match[1])
