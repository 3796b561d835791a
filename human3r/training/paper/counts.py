"""Numbers of frozen, gradient-passing and tuned parameters by module, counted on the meta device."""

from __future__ import annotations

import torch

from human3r.models.config import PRESETS
from human3r.training.paper.config import VariantSettings
from human3r.training.paper.network import ParameterClass, TrainedNetwork, parameter_classes

_DEPTH = 3
"""Name parts that make a line of the table."""


def count_parameters(model: str, variant: VariantSettings) -> dict[ParameterClass, dict[str, int]]:
    """Return, per class, the number of values of each module of a preset."""
    with torch.device("meta"):
        trained = TrainedNetwork(PRESETS[model], variant)
    counts: dict[ParameterClass, dict[str, int]] = {"tuned": {}, "flowing": {}, "frozen": {}}
    for name, kind in parameter_classes(trained, variant).items():
        parts = name.removeprefix("network.").split(".")
        module = ".".join(parts[: min(_DEPTH - 1, len(parts) - 1)] or parts)
        values = counts[kind]
        values[module] = values.get(module, 0) + trained.get_parameter(name).numel()
    return counts


def count_table(model: str, variant: VariantSettings) -> str:
    """Return a text table of ``count_parameters``."""
    lines = [f"{model}, variant.tuned = {variant.tuned}, detection head {variant.detection_head}"]
    for kind, modules in count_parameters(model, variant).items():
        lines.append(f"{kind:8s} {sum(modules.values()):>13,d}")
        lines += [f"  {name:32s} {count:>13,d}" for name, count in modules.items()]
    return "\n".join(lines)
