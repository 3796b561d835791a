"""``live``: a camera, an address or a file at its own pace, shown while it runs."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from human3r.commands.interrupts import INTERRUPTED, on_interrupt
from human3r.commands.run_settings import make_output_folder
from human3r.errors import InputError
from human3r.exporting import check_formats, write_all
from human3r.exporting.manifest import remove_listed
from human3r.exporting.viewer.moments import Moments
from human3r.inference.live.budget import BudgetOptions
from human3r.inference.live.result import FINISHING_BYTES, LiveResult
from human3r.inference.live.stream import LiveStream
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.model import load_model
from human3r.memory import available_bytes
from human3r.records import FramePrediction
from human3r.surface.keyframes.collecting import KeyframeCollector
from human3r.video.live.reader import LiveReader, parse_source

_MEMORY_SHARE = 0.5
"""Of the available memory, for finishing what was kept."""
_FORMATS = "npz,glb,html,json"
"""Default formats; those that need the clip are not offered, because a live source keeps none."""


def live(options: argparse.Namespace) -> int:
    """Run the command."""
    source = parse_source(options.source)
    if options.duration is not None and not options.duration > 0:
        raise InputError(f"The duration is {options.duration} s; it must be more than 0.")
    if not options.budget > 0:
        raise InputError(f"The budget is {options.budget} ms per frame; it must be more than 0.")
    formats = check_formats(options.formats or _FORMATS)
    folder = make_output_folder(Path(options.output)) if options.output else None
    with ExitStack() as stack:
        reader = stack.enter_context(LiveReader(source, on_note=_say))
        model = load_model(options.model, options.device, options.precision, options.body)
        budget = BudgetOptions(frame_s=options.budget / 1000)
        stream = stack.enter_context(LiveStream(model, reader, budget, finds_cuts=options.cuts))
        stream.warm_up(reader.first)
        sinks = stack.enter_context(closing(_Sinks(model, options, keeps=folder is not None)))
        interrupts = _run(stream, sinks, options.duration)
        reader.close()
        report = stream.report(reader.offered).to_dict()
        if folder is not None and len(sinks.result):
            files = sinks.write(folder, formats, Path(source.name), reader.warnings)
            report |= {"output": str(folder), "files": files}
    _print(report, as_json=options.json)
    return INTERRUPTED if interrupts else 0


def _run(stream: LiveStream, sinks: _Sinks, duration_s: float | None) -> int:
    """Show and keep predictions until the source is over, the time is up or Ctrl-C; return the number of Ctrl-C."""
    interrupts: list[int] = []
    # A timer: a camera that stalls delivers no frame at which the time could be looked at.
    end = threading.Timer(duration_s or 0.0, stream.stop)
    end.daemon = True
    with on_interrupt(lambda: (interrupts.append(1), stream.stop())), sinks.progress(stream) as show:
        if duration_s is not None:
            end.start()
        for prediction in stream:
            sinks.add(prediction, stream)
            show(prediction)
    end.cancel()
    return len(interrupts)


class _Sinks:
    """The viewer and the tables of one run."""

    def __init__(self, model: LoadedModel, options: argparse.Namespace, *, keeps: bool) -> None:
        self._model = model
        self._stack = ExitStack()
        free = available_bytes()
        max_people = None if free is None else int(_MEMORY_SHARE * free / FINISHING_BYTES)
        self.result = self._stack.enter_context(LiveResult(model, Path(options.source).name, max_people))
        self._moments, self._keyframes = Moments(), KeyframeCollector()
        self._keeps = keeps
        self._scene = None
        if options.view:
            from human3r.exporting.viewer.player_page import LivePage

            self._scene = self._stack.enter_context(LivePage(model.body, port=options.port))
            print(
                f"Showing {options.source!r} at {self._scene.url}. Press Ctrl+C to stop.", file=sys.stderr, flush=True
            )

    def add(self, prediction: FramePrediction, stream: LiveStream) -> None:
        """Take the next frame of the stream."""
        with_scene, source = stream.takes_scene, stream.last_source
        if self._keeps and not self.result.is_full:
            self._keep(prediction, source, with_scene=with_scene)
        if self._scene is not None:
            self._scene.add(prediction, with_scene=with_scene, with_surface=stream.takes_surface)
            if source is not None:
                self._scene.add_source(source)

    def _keep(self, prediction: FramePrediction, source: np.ndarray | None, *, with_scene: bool) -> None:
        if not self.result.add(prediction, with_scene=with_scene):
            _say("the result is as long as this machine's memory can finish: what follows is shown, but not kept")
            return
        self._moments.add(prediction)
        if with_scene:
            self._keyframes.add(prediction)
            if source is not None:
                self._keyframes.add_source(source)

    @staticmethod
    @contextmanager
    def progress(stream: LiveStream) -> Iterator[Callable[[FramePrediction], None]]:
        """Show a line on standard error."""
        interval_s = 0.2 if sys.stderr.isatty() else 1.0
        with tqdm(unit="frame", file=sys.stderr, mininterval=interval_s) as bar:

            def show(prediction: FramePrediction) -> None:
                latency_ms = 1000 * stream.last_latency_s
                bar.set_postfix_str(f"{latency_ms:.0f} ms, people={len(prediction.people)}", refresh=False)
                bar.update()

            yield show

    def write(self, folder: Path, formats: Sequence[str], source: Path, warnings: Sequence[str]) -> list[str]:
        """Finish what was kept and write the files; return their names."""
        result = self.result.finish(warnings)
        remove_listed(folder, keep=source)
        body, moments, keyframes = self._model.body, self._moments, self._keyframes
        files = write_all(result, folder, formats, body=body, moments=moments, keyframes=keyframes)
        return [path.relative_to(folder).as_posix() for path in files]

    def close(self) -> None:
        """Close the viewer and the tables."""
        self._stack.close()


def _say(note: str) -> None:
    print(f"\nhuman3r: {note}", file=sys.stderr, flush=True)


def _print(report: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, sort_keys=True))
        return
    median, p95 = report["latency_median_s"], report["latency_p95_s"]
    latency = "" if median is None else f", latency {1000 * median:.0f} ms (p95 {1000 * p95:.0f})"  # type: ignore[operator]
    print(
        f"{report['processed']} of {report['offered']} frames, {report['fps']:.1f} per second{latency}"
        + (f" -> {report['output']}" if "output" in report else "")
    )
