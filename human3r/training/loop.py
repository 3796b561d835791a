"""Shared by all training loops: checkpoints, optimizer state, learning-rate schedule and weight average.

The loops themselves differ in data, distribution and validation. ``torch.optim.swa_utils`` is not used: it would copy
the frozen trunks along with the trained weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from human3r.atomic import whole_or_absent

Groups = Mapping[str, Mapping[str, Tensor]]


def save_checkpoint(path: Path, groups: Groups, **facts: object) -> None:
    """Write tensors by group and name, and JSON facts in the header; the file is whole or absent."""
    tensors = {
        f"{group}.{name}": values.detach().cpu().clone(memory_format=torch.contiguous_format)
        for group, named in groups.items()
        for name, values in named.items()
    }
    with whole_or_absent(path) as temporary:
        save_file(tensors, temporary, {name: json.dumps(fact) for name, fact in facts.items()})


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Return the groups and the facts of ``save_checkpoint``.

    Raises:
        OSError, SafetensorError, ValueError: The file is missing or damaged.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    with safe_open(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118 - a safetensors handle is no mapping
            group, _, name = key.partition(".")
            groups.setdefault(group, {})[name] = file.get_tensor(key)
        facts = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
    return groups, facts


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as flat tensors, ``INDEX.ENTRY``."""
    return {
        f"{index}.{entry}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for entry, value in state.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what ``optimizer_tensors`` returned; the parameter groups stay those of ``optimizer``."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, values in tensors.items():
        index, _, entry = name.partition(".")
        state.setdefault(int(index), {})[entry] = values
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def warmup_cosine(progress: float, warmup: float, floor: float = 0.0) -> float:
    """Return the factor on the learning rate: a linear rise from 0 to 1, then a half cosine down to ``floor``.

    Args:
        progress: Share of the run that is done; more than 1 counts as 1.
        warmup: Share of the run in which the rate rises.
        floor: The factor at the end.
    """
    if progress < warmup:
        return progress / warmup
    share = (progress - warmup) / max(1 - warmup, 1e-9)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


@torch.no_grad()
def update_average(average: Iterable[Tensor], current: Iterable[Tensor], step: int, decay: float) -> None:
    """Update the exponential average in place; step ``n`` decays it by ``min(decay, (1 + n) / (10 + n))``."""
    keep = min(decay, (1 + step) / (10 + step))
    for kept, values in zip(average, current, strict=True):
        kept.lerp_(values, 1 - keep)
