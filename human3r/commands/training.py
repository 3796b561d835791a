"""``train`` and ``synth``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from human3r.errors import InputError
from human3r.training.settings import read_settings, read_stage


def train(options: argparse.Namespace) -> int:
    """Run the command ``train``; ``stage`` in the configuration selects the training."""
    if not options.config.is_file():
        raise InputError(f"There is no file {options.config.name!r}.", "Give one of human3r/training/configs.")
    logging.getLogger().setLevel(logging.INFO)
    stage = read_stage(options.config)
    if stage == "lifter":
        return _train_lifter(options.config)
    if stage == "scene":
        return _train_scene(options.config)
    if stage == "paper":
        return _train_paper(options.config, count_only=options.count)
    raise InputError(f"The stage {stage!r} of {options.config.name} is unknown.", "Known: lifter, paper, scene.")


def _train_lifter(config: Path) -> int:
    from human3r.training.lifter.config import LifterTraining
    from human3r.training.lifter.train import train as train_lifter

    train_lifter(read_settings(LifterTraining, config))
    return 0


def _train_scene(config: Path) -> int:
    from human3r.training.scene.config import SceneTraining
    from human3r.training.scene.train import SceneTrainer

    SceneTrainer(read_settings(SceneTraining, config)).run()
    return 0


def _train_paper(config: Path, *, count_only: bool) -> int:
    from human3r.training.paper.config import PaperTraining, check_settings
    from human3r.training.paper.counts import count_table
    from human3r.training.paper.train import PaperTrainer

    settings = read_settings(PaperTraining, config)
    check_settings(settings)
    if count_only:
        print(count_table(settings.model, settings.variant))
        return 0
    PaperTrainer(settings).run()
    return 0


def synth(options: argparse.Namespace) -> int:
    """Run the command ``synth`` with the options of ``human3r.training.synthetic``."""
    from human3r.training.synthetic.__main__ import main as render_clips

    return render_clips(options.rest)
