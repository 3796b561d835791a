"""``python -m human3r.training.official``: convert BEDLAM, count parameters."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from human3r.errors import Human3RError
from human3r.models.config import PRESETS
from human3r.training.official.config import VariantSettings
from human3r.training.official.counts import count_table
from human3r.training.official.preprocess import convert_scene, list_scenes


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m human3r.training.official", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preprocess = commands.add_parser("preprocess", help="from BEDLAM's downloads to the layout of training; goes on")
    preprocess.add_argument("source", type=Path, help="folder with one folder per scene")
    preprocess.add_argument("labels", type=Path, help="folder with SCENE_6fps.npz or SCENE_30fps.npz")
    preprocess.add_argument("output", type=Path)
    preprocess.add_argument("--scene", help="only this one: several processes may share the work")
    count = commands.add_parser("count", help="which parameters are tuned, pass gradients on, or are frozen")
    official = [name for name, config in PRESETS.items() if config.architecture == "official"]
    count.add_argument("models", nargs="*", metavar="MODEL", help=f"some of {', '.join(official)}; all without any")
    options = parser.parse_args(arguments)
    try:
        if options.command == "count":
            unknown = [name for name in options.models if name not in official]
            if unknown:
                parser.error(f"unknown: {', '.join(unknown)}")
            print("\n\n".join(count_table(name, VariantSettings()) for name in options.models or official))
        else:
            _preprocess(options)
    except Human3RError as error:
        print(f"human3r: {error}", file=sys.stderr)
        return 1
    return 0


def _preprocess(options: argparse.Namespace) -> None:
    for scene in list_scenes(options.source):
        if options.scene in (None, scene.name):
            for sequence, num_frames in convert_scene(scene, options.labels, options.output):
                print(f"{sequence}: {num_frames} frames", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
