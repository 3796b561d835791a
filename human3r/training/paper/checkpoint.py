"""Files of a run: ``last`` for resuming, frozen weights written once, numbered copies, networks for inference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from human3r.assets.weight_file import write_weight_file
from human3r.atomic import whole_or_absent
from human3r.errors import CheckpointError, InputError
from human3r.training.loop import load_checkpoint, load_optimizer, optimizer_tensors, save_checkpoint
from human3r.training.paper.config import PaperTraining
from human3r.training.paper.network import TrainedNetwork

LAST, FROZEN, BEST, FINAL = "last.safetensors", "frozen.safetensors", "best.safetensors", "model.safetensors"
_FREE_SETTINGS = ("output", "device", "log_every", "checkpoint_every", "keep_every", "initial")
_FREE_DATA_SETTINGS = ("root", "workers", "validation_clips")


@dataclass
class Progress:
    """Progress of a run."""

    iteration: int = 0
    """Completed optimizer steps."""
    best: float = float("inf")
    """Lowest median of the validation total so far."""


def save_last(
    folder: Path,
    trained: TrainedNetwork,
    tuned: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    settings: PaperTraining,
) -> None:
    """Write everything that changes; ``frozen.safetensors`` holds the rest and is written once."""
    if not (folder / FROZEN).exists():
        frozen = {name: values for name, values in trained.state_dict().items() if name not in tuned}
        _write(folder / FROZEN, frozen, {})
    stale = {
        name: values.grad
        for name, values in trained.named_parameters()
        if name not in tuned and values.grad is not None
    }
    groups = {"tuned": dict(tuned), "gradient": stale, "optimizer": optimizer_tensors(optimizer)}
    save_checkpoint(folder / LAST, groups, progress=asdict(progress), settings=_fingerprint(settings))


def load_last(
    folder: Path,
    trained: TrainedNetwork,
    tuned: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    settings: PaperTraining,
) -> Progress:
    """Restore a run bit for bit and return its progress.

    Raises:
        InputError: The run was started with other settings.
        CheckpointError: A file is missing, damaged, or of another network.
    """
    try:
        groups, facts = load_checkpoint(folder / LAST)
        _check_same(facts["settings"], _fingerprint(settings))
        progress = Progress(**facts["progress"])
        trained.load_state_dict(load_file(folder / FROZEN) | groups.get("tuned", {}))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"The run in {folder.name!r} cannot be resumed: its files are damaged or of another network ({error}).",
            "Start again in another folder.",
        ) from error
    for name, values in groups.get("gradient", {}).items():
        parameter = trained.get_parameter(name)
        parameter.grad = values.to(parameter.device)
    load_optimizer(optimizer, groups.get("optimizer", {}))
    return progress


def save_tuned(path: Path, tuned: Mapping[str, nn.Parameter]) -> None:
    """Write the tuned parameters only."""
    _write(path, {name: values.detach() for name, values in tuned.items()}, {})


def save_network(path: Path, trained: TrainedNetwork) -> None:
    """Write the whole network in the format of ``load_model``."""
    tensors = trained.network.state_dict()
    shapes = {name: tuple(values.shape) for name, values in tensors.items()}
    write_weight_file(path, shapes, lambda name: tensors[name].detach().cpu(), trained.config.to_json())


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    with whole_or_absent(path) as temporary:
        save_file({name: values.detach().cpu().clone() for name, values in tensors.items()}, temporary, metadata)


def _fingerprint(settings: PaperTraining) -> dict[str, object]:
    """Return the settings that must not change within a run, as plain JSON values."""
    values = asdict(settings)
    for name in _FREE_SETTINGS:
        del values[name]
    for name in _FREE_DATA_SETTINGS:
        del values["data"][name]
    return json.loads(json.dumps(values))


def _check_same(old: dict[str, object], new: dict[str, object]) -> None:
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if changed:
        raise InputError(
            f"The run in the output folder was started with other settings of {', '.join(changed)}.",
            "Give the old ones, or another output folder.",
        )
