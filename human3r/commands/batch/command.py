"""``batch``: find the clips, skip finished ones, run the rest, and write the report."""

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
from human3r.commands.batch.locations import Location
from human3r.commands.batch.on_ray import run_on_ray
from human3r.commands.batch.report import HTML_NAME, BatchReport
from human3r.commands.batch.tasks import ClipTask, Entry, finished_entry
from human3r.commands.run_settings import RunSettings
from human3r.errors import InputError

_DONE, _FAILED = 0, 1
_MAX_CHECKS = 8
"""Finished clips that are verified at a time."""


def batch(options: argparse.Namespace) -> int:
    """Run the command; the exit code is 1 if a clip failed."""
    settings = RunSettings.of(options).with_absolute_paths()
    # Fail before the first clip.
    settings.check()
    if options.workers is not None and options.workers < 1:
        raise InputError(f"The number of workers is {options.workers}; it must be 1 or more.")
    output = Location.of(options.output)
    tasks = [ClipTask.of(clip, output, settings) for clip in find_clips(options.clips, output)]
    report = BatchReport(output, tasks)
    with ThreadPoolExecutor(_MAX_CHECKS) as pool:
        finished = list(pool.map(finished_entry, tasks))
    for entry in finished:
        if entry is not None:
            report.add(entry)
    report.write()
    waiting = [task for task, entry in zip(tasks, finished, strict=True) if entry is None]
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
    # Ctrl-C, too, leaves a report and a closed bar.
    with (
        tqdm(total=num_clips, initial=num_clips - len(waiting), unit="clip", file=sys.stderr, smoothing=0) as bar,
        closing(_entries(waiting, options)) as entries,
    ):
        try:
            for entry in entries:
                report.add(entry)
                report.write_json()
                bar.set_postfix(failed=report.counts["failed"], refresh=False)
                bar.update()
        finally:
            report.write()


def _entries(waiting: Sequence[ClipTask], options: argparse.Namespace) -> Generator[Entry, None, None]:
    num_workers = options.workers or fitting_workers(waiting[0].settings)
    if options.ray:
        return run_on_ray(waiting, options.ray, num_workers)
    return run_locally(waiting, num_workers)
