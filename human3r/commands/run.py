"""``reconstruct``: one clip to files, with a progress bar, and what there is when interrupted."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from human3r.errors import DiskFullError, InputError
from human3r.exporting import DEFAULT_FORMATS, check_formats, write_all
from human3r.exporting.manifest import remove_listed
from human3r.exporting.viewer.moments import Moments
from human3r.inference.loaded_model import LoadedModel
from human3r.inference.loading import load_model
from human3r.inference.pipeline import RunControl
from human3r.inference.pipeline import reconstruct as run_pipeline
from human3r.inference.stream import ReconstructOptions
from human3r.records import FramePrediction
from human3r.results.reconstruction import Reconstruction
from human3r.video.limits import DEFAULT_LIMITS, raise_limits
from human3r.video.probe import ClipInfo

_INTERRUPTED = 130
_MIN_FREE_BYTES = 50_000_000
"""Of the output folder's disk before a run; the files of a short clip need about as much."""
_NO_MOMENTS = "scene.html has no points of single moments: they are not kept with a run that is taken up."


class Progress:
    """A bar on standard error, and the wish to stop."""

    def __init__(self) -> None:
        self.is_stopped = False
        self.num_done_before = 0
        """Frames that an earlier run did."""
        self._bar: tqdm | None = None
        self._interval_s = 0.1 if sys.stderr.isatty() else 1.0

    def start(self, info: ClipInfo, num_done: int) -> None:
        """Show the bar, after the frames of an interrupted run; the clip's facts give its length."""
        self.num_done_before = num_done
        self._bar = tqdm(
            total=info.num_selected,
            initial=self.num_done_before,
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

    def stop(self, signal_number: int, frame: FrameType | None) -> None:
        """Finish with what there is; a second interrupt ends the program."""
        self.is_stopped = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nhuman3r: stopping; writing what there is. Ctrl-C again to quit.", file=sys.stderr)


@contextmanager
def _interruptible(progress: Progress) -> Iterator[None]:
    previous = signal.signal(signal.SIGINT, progress.stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def reconstruct(options: argparse.Namespace) -> int:
    """Run the command."""
    started = time.perf_counter()
    formats = check_formats(options.formats or DEFAULT_FORMATS)
    # Wrong options are reported before a model is loaded.
    run_options = ReconstructOptions(
        start_s=options.start,
        duration_s=options.duration,
        fps=options.fps,
        max_frames=options.max_frames,
        use_ttt3r=options.use_ttt3r,
        reset_interval=options.reset_interval,
        save_depth=options.save_depth,
        keep_in=options.keep_in,
        snapshot_every=options.snapshot_every,
        limits=raise_limits(DEFAULT_LIMITS, options.limit),
    )
    clip = Path(options.clip)
    if "://" in options.clip:
        raise InputError("The clip is an address; nothing is downloaded.", "Download it yourself and give the file.")
    if not clip.exists():
        raise InputError(f"There is no file {clip.name!r}.", "Check the path.")
    folder = output_folder(options.output, clip)
    model = load_model(options.model, options.device, options.precision, options.body, compiled=options.compile)
    progress = Progress()
    moments = Moments() if "html" in formats else None
    sinks = (progress,) if moments is None else (moments, progress)
    control = RunControl(lambda: progress.is_stopped, progress.start)
    with _interruptible(progress):
        try:
            result = run_pipeline(clip, model, run_options, sinks=sinks, control=control)
        finally:
            progress.close()
        remove_listed(folder, keep=clip)
        files = write_all(result, folder, formats, body=model.body, clip=clip, moments=moments)
    summary = summarize(result, model, time.perf_counter() - started)
    if moments is not None and progress.num_done_before:
        summary["warnings"] = [*summary["warnings"], _NO_MOMENTS]  # type: ignore[misc]
    summary |= {"output": str(folder), "files": [path.relative_to(folder).as_posix() for path in files]}
    _report(summary, as_json=options.json)
    return _INTERRUPTED if progress.is_stopped else 0


def output_folder(output: str | None, clip: Path) -> Path:
    """Return the folder for the files, which is there and can be written; tried before the first frame.

    Raises:
        InputError: It cannot be made or written, or is not a folder.
        DiskFullError: Its disk has hardly any space.
    """
    folder = Path(output) if output else Path("out") / (clip.stem or "clip")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made ({error.strerror}).", "Choose another one.") from error
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written ({error.strerror}).", "Choose another one.") from error
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE_BYTES:
        message = f"The disk of {folder} has {free / 1e6:.0f} MB free; a run needs {_MIN_FREE_BYTES / 1e6:.0f} MB."
        raise DiskFullError(message, "Free some space or choose another folder.")
    return folder


def summarize(result: Reconstruction, model: LoadedModel, seconds: float) -> dict[str, object]:
    """Return the plain numbers of a run; ``seconds`` is all of it, loading and writing included."""
    return {
        "frames": result.num_frames,
        "people": len(result.track_id),
        "observations": len(result.person_frame),
        "points": len(result.points_world),
        "fps": result.fps,
        "seconds": round(seconds, 3),
        "seconds_per_frame": round(float(result.meta["seconds"]) / result.num_frames, 4),  # type: ignore[arg-type]
        "model": model.name,
        "device": str(model.device),
        "precision": model.precision,
        "warnings": result.meta["warnings"],
    }


def _report(summary: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, sort_keys=True))
        return
    for warning in summary["warnings"]:  # type: ignore[attr-defined]
        print(f"note: {warning}", file=sys.stderr)
    print(
        f"{summary['frames']} frames, {summary['people']} people, {summary['points']} scene points "
        f"in {summary['seconds']:.1f} s -> {summary['output']}"
    )
