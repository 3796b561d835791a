"""``train`` and ``synth``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from human3r.errors import InputError


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
    if stage == "official":
        return _train_official(options.config, count_only=options.count)
    raise InputError(f"The stage {stage!r} of {options.config.name} is unknown.", "Known: lifter, official, scene.")


def _train_lifter(config: Path) -> int:
    from human3r.training.lifter.config import LifterTraining
    from human3r.training.lifter.train import train as train_lifter
    from human3r.training.settings import read_settings

    train_lifter(read_settings(LifterTraining, config))
    return 0


def _train_scene(config: Path) -> int:
    from human3r.training.scene.config import SceneTraining
    from human3r.training.scene.train import SceneTrainer
    from human3r.training.settings import read_settings

    SceneTrainer(read_settings(SceneTraining, config)).run()
    return 0


def _train_official(config: Path, *, count_only: bool) -> int:
    from human3r.training.paper.config import OfficialTraining, check_settings
    from human3r.training.paper.counts import count_table
    from human3r.training.paper.train import OfficialTrainer
    from human3r.training.settings import read_settings

    settings = read_settings(OfficialTraining, config)
    check_settings(settings)
    if count_only:
        print(count_table(settings.model, settings.variant))
        return 0
    OfficialTrainer(settings).run()
    return 0


def synth(options: argparse.Namespace) -> int:
    """Run the command ``synth``: its options are those of ``human3r.training.synthetic``."""
    from human3r.training.synthetic.__main__ import main as render_clips

    return render_clips(options.rest)
