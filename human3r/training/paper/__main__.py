"""``python -m human3r.training.paper``: convert BEDLAM or rendered clips, count parameters."""

from __future__ import annotations

import argparse
from pathlib import Path

from human3r.errors import run_main
from human3r.models.config import PRESETS
from human3r.training.paper.config import VariantSettings
from human3r.training.paper.counts import count_table
from human3r.training.paper.data.preprocess import convert_scene, list_scenes
from human3r.training.paper.data.rendered import convert_rendered


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m human3r.training.paper", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preprocess = commands.add_parser("preprocess", help="convert BEDLAM's downloads, except existing sequences")
    preprocess.add_argument("source", type=Path, help="folder with one folder per scene")
    preprocess.add_argument("labels", type=Path, help="folder with SCENE_6fps.npz or SCENE_30fps.npz")
    preprocess.add_argument("output", type=Path)
    preprocess.add_argument("--scene", help="only this scene, to share the work among processes")
    rendered = commands.add_parser("rendered", help="convert clips of 'human3r synth', except existing sequences")
    rendered.add_argument("source", type=Path, help="folder with train and val")
    rendered.add_argument("output", type=Path)
    rendered.add_argument("--max-clips", type=int, metavar="N", help="maximum number of clips per split")
    count = commands.add_parser("count", help="count tuned, gradient-passing and frozen parameters")
    presets = [name for name, config in PRESETS.items() if config.architecture == "paper"]
    count.add_argument("models", nargs="*", metavar="MODEL", help=f"some of {', '.join(presets)}; default: all")
    options = parser.parse_args(arguments)
    if options.command == "count":
        unknown = [name for name in options.models if name not in presets]
        if unknown:
            parser.error(f"unknown: {', '.join(unknown)}")
        print("\n\n".join(count_table(name, VariantSettings()) for name in options.models or presets))
    elif options.command == "rendered":
        print(f"{sum(1 for _ in convert_rendered(options.source, options.output, options.max_clips))} clips")
    else:
        _preprocess(options)
    return 0


def _preprocess(options: argparse.Namespace) -> None:
    for scene in list_scenes(options.source):
        if options.scene in (None, scene.name):
            for sequence, num_frames in convert_scene(scene, options.labels, options.output):
                print(f"{sequence}: {num_frames} frames", flush=True)


if __name__ == "__main__":
    run_main(main)
