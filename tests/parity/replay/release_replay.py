"""Compares the key lists of the released checkpoints with what our presets would hold, without allocating weights."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

from human3r.assets.conversion.convert import network_layout
from human3r.models.config import PRESETS
from tests.parity.replay.rows import RowCollector
from tests.parity.replay.weights import read_json

_BUFFERS = "downstream_head.init_"


def replay_release_keys(path: Path, collector: RowCollector) -> None:
    """Compare ``state_dict_<variant>.json``, and ``params_<variant>.json`` if it lies beside."""
    variant = path.stem.removeprefix("state_dict_")
    config = PRESETS.get(f"human3r_{variant.lower()}")
    if config is None:
        collector.fail("keys", f"{variant} is no preset")
        return
    shapes, layout = network_layout(config)
    found = {key: shapes[name] for key, name in layout.mapped.items()} | layout.ignored
    found |= {alias: found[key] for alias, key in layout.aliases.items()}
    expected = {key: tuple(shape) for key, (shape, _) in read_json(path).items()}
    different = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    collector.check(f"keys {variant}", not different, f"{len(different)} differ, first {different[:1]}")
    parameters = path.with_name(f"params_{variant}.json")
    if parameters.is_file():
        _compare_parameters(found, set(layout.aliases), read_json(parameters), variant, collector)


def _compare_parameters(
    shapes: dict[str, tuple[int, ...]], aliases: set[str], expected: dict, variant: str, collector: RowCollector
) -> None:
    """Compare the number of parameters of each part, aliases counted once."""
    parts: dict[str, int] = defaultdict(int)
    num_buffer_values = 0
    for key, shape in shapes.items():
        if key.startswith(_BUFFERS):
            num_buffer_values += math.prod(shape)
        elif key not in aliases:
            words = key.split(".")
            parts[".".join(words[:2]) if words[0] == "downstream_head" else words[0]] += math.prod(shape)
    different = sorted(
        part for part in parts.keys() | expected["parts"].keys() if parts[part] != expected["parts"].get(part)
    )
    collector.check(f"parameters {variant}", not different, f"parts differ: {different}")
    totals = (sum(parts.values()), num_buffer_values, len(shapes))
    recorded = (expected["total_params"], expected["total_buffers"], expected["n_state_dict_keys"])
    collector.check(f"totals {variant}", totals == recorded, f"{totals}, expected {recorded}")
