"""``python -m human3r.training.scene CONFIG.toml``: train; ``--ship`` writes a checkpoint's weights to the package."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch

from human3r.assets.shards import COMPACT_FOLDER
from human3r.errors import Human3RError
from human3r.training.scene.config import SceneTraining
from human3r.training.scene.ship import ship_scene_weights
from human3r.training.scene.train import CHECKPOINT, SceneTrainer
from human3r.training.settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="human3r.training.scene", description="Train the compact scene heads.")
    parser.add_argument("config", type=Path, help="TOML file, see human3r/training/configs/scene.toml")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ship", action="store_true", help="write the averaged weights into the package and stop")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    try:
        config = read_settings(SceneTraining, options.config)
        if options.ship:
            ship_scene_weights(Path(config.output) / CHECKPOINT, COMPACT_FOLDER)
        else:
            SceneTrainer(config).run()
    except Human3RError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
