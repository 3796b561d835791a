"""Write trained lifter weights to the files of ``compact``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from human3r.assets.shards import COMPACT_FOLDER, write_part
from human3r.errors import run_main
from human3r.models.compact.build import COMPACT
from human3r.models.compact.people.lifting.lifter import NUM_OUTPUTS

_PREFIX = "person_head.lifter."
_LICENSE = "Apache-2.0; trained by this project on simulated keypoints and on those of its own renders"


def ship_lifter(weights: Path) -> list[Path]:
    """Write the lifter's part of ``compact``; its connection to the decoder's tokens starts at zero.

    Args:
        weights: What ``train`` returned.

    Returns:
        The files written.
    """
    tensors: dict[str, Tensor] = {}
    with safe_open(weights, "pt") as file:
        settings = (file.metadata() or {}).get("lifter", "{}")
        for name in file.keys():  # noqa: SIM118 - a safetensors handle is no mapping
            tensors[_PREFIX + name] = file.get_tensor(name)
    tensors[f"{_PREFIX}from_token.weight"] = torch.zeros(NUM_OUTPUTS, COMPACT.trunk.decoder_dim)
    return write_part(COMPACT_FOLDER, "lifter", tensors, {"license": _LICENSE, "lifter": settings})


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m human3r.training.lifter.ship", description=__doc__)
    parser.add_argument("weights", type=Path, help="the run's lifter.safetensors")
    for written in ship_lifter(parser.parse_args().weights):
        sys.stdout.write(f"{written}\n")


if __name__ == "__main__":
    run_main(main)
