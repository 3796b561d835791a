"""Write a run's averaged weights to the package: the part ``scene``, and the trained blocks of the part ``trunk``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from human3r.assets.shards import COMPACT_FOLDER, read_shards, write_part
from human3r.errors import run_main
from human3r.training.loop import load_checkpoint
from human3r.training.scene.config import SceneTraining
from human3r.training.scene.network import TRUNK
from human3r.training.scene.train import CHECKPOINT
from human3r.training.settings import read_settings

_METADATA = {"source": "trained by this project on its own renders", "license": "Apache-2.0"}
_TRUNK_METADATA = {
    "source": "EfficientNet-Lite0 (Google, Apache-2.0), upper blocks trained on",
    "license": "Apache-2.0",
}


def ship_scene_weights(checkpoint: Path, folder: Path) -> list[Path]:
    """Write every trained parameter as fp16 and return the files; untrained parts of the trunk are kept."""
    average = load_checkpoint(checkpoint)[0]["average"]
    trained = {name: values for name, values in average.items() if name.startswith(TRUNK)}
    scene = {name: values for name, values in average.items() if name not in trained}
    paths = write_part(folder, "scene", scene, _METADATA)
    if trained:
        paths += write_part(folder, "trunk", read_shards(folder, TRUNK) | trained, _TRUNK_METADATA)
    return paths


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m human3r.training.scene.ship", description=__doc__)
    parser.add_argument("config", type=Path, help="the run's .toml")
    run = Path(read_settings(SceneTraining, parser.parse_args().config).output)
    for written in ship_scene_weights(run / CHECKPOINT, COMPACT_FOLDER):
        sys.stdout.write(f"{written}\n")


if __name__ == "__main__":
    run_main(main)
