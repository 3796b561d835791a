"""``batch``: find the clips, leave the finished ones, run the rest, and report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tqdm import tqdm

from human3r.commands.batch.clips import find_clips
from human3r.commands.batch.local import fitting_workers, run_locally
from human3r.commands.batch.on_ray import run_on_ray
from human3r.commands.batch.places import Place
from human3r.commands.batch.report import HTML_NAME, BatchReport
from human3r.commands.batch.tasks import ClipTask, Line, finished_line
from human3r.commands.run_settings import RunSettings
from human3r.errors import InputError

_DONE, _FAILED = 0, 1
_MAX_CHECKS = 8
"""Finished clips that are read at a time."""


def batch(options: argparse.Namespace) -> int:
    """Run the command; the exit code is 1 where a clip failed."""
    settings = RunSettings.of(options).with_absolute_paths()
    # Wrong options are reported before a clip is run.
    settings.check()
    if options.workers is not None and options.workers < 1:
        raise InputError(f"{options.workers} workers; there must be 1 or more.")
    output = Place.of(options.output)
    tasks = [ClipTask.of(clip, output, settings) for clip in find_clips(options.clips, output)]
    report = BatchReport(output, tasks)
    with ThreadPoolExecutor(_MAX_CHECKS) as pool:
        finished = list(pool.map(finished_line, tasks))
    for line in finished:
        if line is not None:
            report.add(line)
    report.write()
    waiting = [task for task, line in zip(tasks, finished, strict=True) if line is None]
    if waiting:
        _run(waiting, len(tasks), report, options)
    counts = report.counts
    num_before = len(tasks) - len(waiting)
    if options.json:
        print(json.dumps({**counts, "done_before": num_before, "output": output.address}))
    else:
        print(
            f"{counts['done']} clips done, {num_before} of them before; {counts['failed']} failed -> "
            f"{output.child(HTML_NAME).address}"
        )
    return _FAILED if counts["failed"] else _DONE


def _run(waiting: Sequence[ClipTask], num_clips: int, report: BatchReport, options: argparse.Namespace) -> None:
    # The bar ends with what there is, whatever ends the batch.
    with (
        tqdm(total=num_clips, initial=num_clips - len(waiting), unit="clip", file=sys.stderr, smoothing=0) as bar,
        closing(_lines(waiting, options)) as lines,
    ):
        try:
            for line in lines:
                report.add(line)
                report.write_json()
                bar.set_postfix(failed=report.counts["failed"], refresh=False)
                bar.update()
        finally:
            report.write()


def _lines(waiting: Sequence[ClipTask], options: argparse.Namespace) -> Generator[Line, None, None]:
    num_workers = options.workers or fitting_workers(waiting[0].settings)
    if options.ray:
        return run_on_ray(waiting, options.ray, num_workers)
    return run_locally(waiting, num_workers)
