"""``reconstruct``: one clip to files, with a progress bar; an interrupted run writes the frames so far."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from human3r.commands.interrupts import INTERRUPTED, on_interrupt
from human3r.commands.run_settings import ClipRun, RunSettings, make_output_folder, reconstruct_into, summarize
from human3r.errors import InputError
from human3r.inference.pipeline import RunControl
from human3r.inference.stream import decoder_ahead, forward
from human3r.records import FramePrediction
from human3r.video.clip_info import ClipInfo

_NO_MOMENTS = "scene.html has no points of single frames: they are not saved with a run that is resumed."


class Progress:
    """Progress bar on standard error, and the request to stop."""

    def __init__(self) -> None:
        self.is_stopped = False
        self.num_done_before = 0
        """Frames done by earlier runs."""
        self._bar: tqdm[NoReturn] | None = None
        self._interval_s = 0.1 if sys.stderr.isatty() else 1.0

    def start(self, info: ClipInfo, num_done: int) -> None:
        """Show the bar, which begins after the ``num_done`` frames of an interrupted run."""
        self.num_done_before = num_done
        self._bar = tqdm(
            total=info.num_selected,
            initial=num_done,
            unit="frame",
            file=sys.stderr,
            mininterval=self._interval_s,
        )

    def add(self, prediction: FramePrediction) -> None:
        """Count one frame."""
        assert self._bar is not None
        self._bar.set_postfix(people=len(prediction.people), refresh=False)
        self._bar.update()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()

    def stop(self) -> None:
        """Request to finish with the frames so far."""
        self.is_stopped = True
        print("\nhuman3r: stopping; writing the frames so far. Press Ctrl+C again to quit.", file=sys.stderr)


def reconstruct(options: argparse.Namespace) -> int:
    """Run the command."""
    started = time.perf_counter()
    settings = RunSettings.of(options)
    # Invalid options fail before the model is loaded.
    formats = settings.wanted_formats()
    run_options = replace(settings.run_options(), keep_in=options.keep_in, snapshot_every=options.snapshot_every)
    clip = Path(options.clip)
    if "://" in options.clip:
        raise InputError("The clip is an address; nothing is downloaded.", "Download it yourself and give the file.")
    if not clip.exists():
        raise InputError(f"There is no file {clip.name!r}.", "Check the path.")
    folder = make_output_folder(Path(options.output) if options.output else Path("out") / (clip.stem or "clip"))
    progress = Progress()
    control = RunControl(lambda: progress.is_stopped, progress.start)
    with decoder_ahead(clip, run_options) as opening:
        model = settings.load_model()
        with on_interrupt(progress.stop), closing(progress):
            run = ClipRun(run_options, (progress,), control, partial(forward, opening=opening))
            done = reconstruct_into(folder, clip, model, settings, run)
    summary = summarize(done.result, model, time.perf_counter() - started)
    if "html" in formats and progress.num_done_before:
        summary["warnings"] = [*summary["warnings"], _NO_MOMENTS]  # type: ignore[misc]
    summary |= {"output": str(folder), "files": [path.relative_to(folder).as_posix() for path in done.files]}
    _report(summary, as_json=options.json)
    return INTERRUPTED if progress.is_stopped else 0


def _count(number: object, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _report(summary: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, sort_keys=True))
        return
    for warning in summary["warnings"]:  # type: ignore[attr-defined]
        print(f"note: {warning}", file=sys.stderr)
    turned = f" turned by {summary['turned_deg']} degrees" if summary["turned_deg"] else ""
    print(
        f"{_count(summary['frames'], 'frame', 'frames')}{turned}, {_count(summary['people'], 'person', 'people')}, "
        f"{summary['points']} scene points "
        f"in {summary['seconds']:.1f} s -> {summary['output']}"
    )
