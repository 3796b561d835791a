"""``train``, ``evaluate`` and ``synth``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from human3r.errors import InputError

BENCHMARKS: tuple[str, ...] = ()
"""Evaluations that exist; their protocols are a work of their own."""


def train(options: argparse.Namespace) -> int:
    """Run the command ``train``: the first word of the file's name is the stage."""
    if not options.config.is_file():
        raise InputError(f"There is no file {options.config.name!r}.", "Give one of human3r/training/configs.")
    logging.getLogger().setLevel(logging.INFO)
    stage = options.config.stem.split("_")[0]
    if stage == "lifter":
        return _train_lifter(options.config)
    if stage == "scene":
        return _train_scene(options.config)
    raise InputError(f"The stage {stage!r} of {options.config.name} is unknown.", "Known: lifter, scene.")


def _train_lifter(config: Path) -> int:
    from human3r.training.lifter.config import load_config
    from human3r.training.lifter.train import train as train_lifter

    train_lifter(load_config(config))
    return 0


def _train_scene(config: Path) -> int:
    from human3r.training.scene.config import load_config
    from human3r.training.scene.train import SceneTrainer

    SceneTrainer(load_config(config)).run()
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Run the command ``evaluate``."""
    if options.benchmark not in BENCHMARKS:
        known = ", ".join(BENCHMARKS) or "none yet"
        raise InputError(f"The evaluation {options.benchmark!r} does not exist.", f"Known: {known}.")
    return 0


def synth(options: argparse.Namespace) -> int:
    """Run the command ``synth``: its options are those of ``human3r.training.synthetic``."""
    from human3r.training.synthetic.__main__ import main as render_clips

    return render_clips(options.rest)
