"""``evaluate``: the paper's benchmarks, on the real data sets or on generated miniatures of them."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.errors import InputError

if TYPE_CHECKING:
    from human3r.evaluation.bodies.body_kit import BodyKit
    from human3r.evaluation.protocol import Benchmark, SequenceScores
    from human3r.inference.loading.loaded_model import LoadedModel


def evaluate(options: argparse.Namespace) -> int:
    """Run the command: results, ``summary.json`` and ``report.md`` in one folder; an interrupted run is resumed."""
    from human3r.evaluation.bodies.body_kit import BodyKit
    from human3r.evaluation.reports.page import write_page
    from human3r.evaluation.reports.report import markdown_of, summary_of, write_report
    from human3r.evaluation.runner import run_benchmark

    model_name = Path(options.model).stem
    out = options.out or Path("evaluation") / f"{options.benchmark}_{model_name}"
    root, bodies = _folders(options, out)
    kit = BodyKit(bodies, options.body)
    benchmark = _chosen_benchmark(options, kit)
    if options.miniature:
        _write_miniature(options, root)
        benchmark = replace(benchmark, is_miniature=True)
        benchmark = _changed(benchmark, title=f"{benchmark.protocol.title}: miniature of generated frames")
    run = run_benchmark(
        benchmark,
        root,
        out,
        lambda: _load(options, kit, benchmark),
        max_sequences=options.max_sequences,
        on_sequence=_print_progress,
    )
    write_report(run, out)
    if options.report:
        print(f"report: {write_page(run, out)}", file=sys.stderr)
    print(json.dumps(summary_of(run)) if options.json else markdown_of(run))
    return 0


def _folders(options: argparse.Namespace, out: Path) -> tuple[Path, Path | None]:
    """Return the folders of the data set and of the body files; those of a miniature need not exist yet."""
    if options.bodies is not None and not options.bodies.is_dir():
        raise InputError(
            f"There is no folder {str(options.bodies)!r}.", "Give the folder of the body files with --bodies."
        )
    if options.miniature and options.data is not None:
        raise InputError("--miniature makes its own data.", "Leave out --data.")
    if options.miniature:
        root = out / "miniature"
        return root, options.bodies or root / "bodies"
    if options.data is None:
        raise InputError("There is no data folder.", "Give --data DIR, or --miniature to try the command.")
    return options.data, options.bodies


def _write_miniature(options: argparse.Namespace, root: Path) -> None:
    from human3r.evaluation.miniatures import MINIATURES, PEOPLE_MINIATURES, write_body_files

    if options.benchmark not in MINIATURES:
        raise InputError(f"There is no miniature of {options.benchmark!r}.", "Render a clip with 'human3r synth'.")
    root.mkdir(parents=True, exist_ok=True)
    MINIATURES[options.benchmark](root)
    if options.bodies is None and options.benchmark in PEOPLE_MINIATURES:
        write_body_files(root / "bodies")


def _chosen_benchmark(options: argparse.Namespace, kit: BodyKit) -> Benchmark:
    """Return the benchmark, its protocol changed by the options."""
    from human3r.evaluation.benchmarks import SCENE_BENCHMARKS, people_benchmarks
    from human3r.evaluation.benchmarks.synthetic import SYNTHETIC
    from human3r.evaluation.reference import with_references

    benchmarks = {**people_benchmarks(kit), **SCENE_BENCHMARKS, "synthetic": SYNTHETIC}
    if options.benchmark not in benchmarks:
        known = ", ".join(benchmarks)
        raise InputError(f"The evaluation {options.benchmark!r} does not exist.", f"Known: {known}.")
    benchmark = benchmarks[options.benchmark]
    if options.frames is not None:
        if options.frames < 3:
            raise InputError(f"The number of frames is {options.frames}; it must be 3 or more.")
        benchmark = _changed(benchmark, num_frames=options.frames)
    return with_references(benchmark, options.reference) if options.reference else benchmark


def _changed(benchmark: Benchmark, **settings: object) -> Benchmark:
    """Return the benchmark with some settings of its protocol replaced."""
    return replace(benchmark, protocol=replace(benchmark.protocol, **settings))  # type: ignore[arg-type]


def _load(options: argparse.Namespace, kit: BodyKit, benchmark: Benchmark) -> LoadedModel:
    """Load the model with the body of the benchmark."""
    from human3r.inference.loading.model import load_model

    is_smpl = benchmark.protocol.joint_set in ("smpl24", "lsp14")
    body = kit.path("smplx_neutral") if is_smpl else options.body
    return load_model(options.model, options.device, options.precision, body)


def _print_progress(scores: SequenceScores, num_done: int, num_all: int, is_stored: bool) -> None:
    status = "stored result" if is_stored else f"{scores.num_frames} frames in {scores.seconds:.1f} s"
    print(f"{num_done}/{num_all} {scores.sequence}: {status}", file=sys.stderr)
