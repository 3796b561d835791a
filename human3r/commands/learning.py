"""``train``, ``evaluate`` and ``synth``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.errors import InputError

if TYPE_CHECKING:
    from human3r.evaluation.protocol import Benchmark, SequenceScores


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


def evaluate(options: argparse.Namespace) -> int:
    """Run the command ``evaluate``: results, ``summary.json`` and ``report.md`` in one folder; a re-run goes on."""
    from human3r.evaluation.report import markdown_of, summary_of, write_report
    from human3r.evaluation.runner import run_benchmark
    from human3r.runtime.loading import load_model

    benchmarks = _benchmarks()
    if options.benchmark not in benchmarks:
        known = ", ".join(benchmarks)
        raise InputError(f"The evaluation {options.benchmark!r} does not exist.", f"Known: {known}.")
    benchmark = benchmarks[options.benchmark]
    if options.frames is not None:
        if options.frames < 3:
            raise InputError(f"The number of frames is {options.frames}; it must be 3 or more.")
        benchmark = replace(benchmark, protocol=replace(benchmark.protocol, num_frames=options.frames))
    model_name = Path(options.model).stem
    out = options.out or Path("evaluation") / f"{options.benchmark}_{model_name}"
    run = run_benchmark(
        benchmark,
        options.data,
        out,
        lambda: load_model(options.model, options.device, options.precision, options.body),
        max_sequences=options.max_sequences,
        on_sequence=_tell,
    )
    write_report(run, out)
    print(json.dumps(summary_of(run)) if options.json else markdown_of(run))
    return 0


def _benchmarks() -> dict[str, Benchmark]:
    from human3r.evaluation.benchmarks import PUBLIC_BENCHMARKS
    from human3r.evaluation.benchmarks.synthetic import synthetic_benchmark
    from human3r.training.synthetic.clip import clip_folders, read_clip

    return {**PUBLIC_BENCHMARKS, "synthetic": synthetic_benchmark(clip_folders, read_clip)}


def _tell(scores: SequenceScores, num_done: int, num_all: int, is_stored: bool) -> None:
    how = "done before" if is_stored else f"{scores.num_frames} frames in {scores.seconds:.1f} s"
    print(f"{num_done}/{num_all} {scores.sequence}: {how}", file=sys.stderr)


def synth(options: argparse.Namespace) -> int:
    """Run the command ``synth``: its options are those of ``human3r.training.synthetic``."""
    from human3r.training.synthetic.__main__ import main as render_clips

    return render_clips(options.rest)
