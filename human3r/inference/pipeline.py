"""From a clip to a reconstruction: the frames of the forward pass go to the store and to the caller's sinks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from human3r._version import __version__
from human3r.errors import Cancelled, InputError
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.model import load_model
from human3r.inference.loading.threads import stage_threads
from human3r.inference.resume import ResumableRun
from human3r.inference.stream import Forward, ForwardEvent, Opened, ReconstructOptions, Stepped, forward
from human3r.records import FramePrediction
from human3r.refinement.finishing import finish
from human3r.refinement.world.fit import WITNESSES
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore
from human3r.video.clip_info import ClipInfo
from human3r.video.sampling import rate_of

_LOG = logging.getLogger(__name__)


class FrameSink(Protocol):
    """Takes the frames of a run, in order, in the thread that called ``reconstruct``."""

    def add(self, prediction: FramePrediction) -> None:
        """Take the next frame."""
        ...


@runtime_checkable
class SourceSink(FrameSink, Protocol):
    """A sink that wants the source frames as well."""

    def add_source(self, image: np.ndarray) -> None:
        """Take the upright source frame ``H W 3`` uint8 of the prediction that was added last.

        Not called where frames stay in another process.
        """
        ...


@dataclass(frozen=True)
class RunControl:
    """How the caller follows and stops a run; both functions are called in the thread of ``reconstruct``."""

    should_stop: Callable[[], bool] = lambda: False
    """Asked before every frame; True ends the run, and the result has the frames so far."""
    on_start: Callable[[ClipInfo, int], None] = lambda info, num_done: None
    """Called once before the first frame, with the facts about the clip and the number of frames that an interrupted
    run finished before."""


@dataclass(frozen=True)
class _Callback:
    """A function as a ``FrameSink``."""

    function: Callable[[FramePrediction], object]

    def add(self, prediction: FramePrediction) -> None:
        self.function(prediction)


def reconstruct(
    clip: str | Path,
    model: LoadedModel | str | None = None,
    options: ReconstructOptions | None = None,
    *,
    sinks: Sequence[FrameSink] = (),
    control: RunControl | None = None,
    on_frame: Callable[[FramePrediction], object] | None = None,
    forward: Forward = forward,
    **settings: object,
) -> Reconstruction:
    """Reconstruct people, scene and camera of one clip.

    Args:
        clip: Video, GIF, image, folder of images or zip of images.
        model: From ``load_model``, or a name for it; None is ``auto``.
        options: Which frames are used, and how.
        sinks: Each gets every prediction. A resumed run continues after the frames of its last snapshot.
        control: Follows and stops the run.
        on_frame: Called with every prediction; a short form of a sink.
        forward: Runs the network; the default runs it in this process.
        **settings: Fields of ``ReconstructOptions``, a short form of ``options``: ``fps=5``.

    Raises:
        InputError: The clip or an option cannot be used.
        AssetError: The model's weights are missing or damaged.
        ResourceError: The machine lacks memory, disk or a device.
        Cancelled: Stopped before the first frame was finished.
    """
    options = replace(options or ReconstructOptions(), **settings)
    loaded = model if isinstance(model, LoadedModel) else load_model(model or "auto")
    if on_frame is not None:
        sinks = (*sinks, _Callback(on_frame))
    return _Run(Path(clip), loaded, options, control or RunControl()).execute(forward, sinks)


class _Run:
    """One run of a model over a clip; see ``reconstruct`` for the arguments."""

    def __init__(self, clip: Path, model: LoadedModel, options: ReconstructOptions, control: RunControl) -> None:
        self._clip, self._model, self._options, self._control = clip, model, options, control
        self._resumable = None if options.keep_in is None else ResumableRun(options.keep_in, clip, model, options)
        self._opened: Opened | None = None
        self._warnings: tuple[str, ...] = ()
        self._num_rejected = 0
        self._stopped_early = False

    def execute(self, forward: Forward, sinks: Sequence[FrameSink]) -> Reconstruction:
        """Run to the end, or until it is stopped."""
        started = time.perf_counter()
        resumable, options = self._resumable, self._options
        with_views = self._model.profile.finishing.agreeing_views
        session, store = None, ResultStore(with_depth=options.save_depth, with_views=with_views)
        if resumable is not None:
            session, store = resumable.session, resumable.open_store()
        with closing(store):
            with closing(forward(self._clip, self._model, options, session)) as events:
                self._consume(events, store, sinks, 0 if session is None else session.num_frames)
            assert self._opened is not None  # the first event of every forward pass that raises nothing
            if len(store) == 0:
                raise self._no_frames(self._opened.info)
            seconds = time.perf_counter() - started
            _LOG.info("%d frames in %.2f s", len(store), seconds)
            result = self._finish(store, self._opened, seconds)
        if resumable is not None and not self._stopped_early:
            resumable.discard()
        return result

    def _consume(
        self, events: Generator[ForwardEvent, None, None], store: ResultStore, sinks: Sequence[FrameSink], num_done: int
    ) -> None:
        for event in events:
            if isinstance(event, Opened):
                self._opened, self._warnings = event, event.info.warnings
                self._control.on_start(event.info, num_done)
            elif isinstance(event, Stepped):
                self._num_rejected = event.num_rejected
                store.add(event.prediction)
                if self._resumable is not None and event.snapshot is not None:
                    self._resumable.save(event.snapshot, store)
                for sink in sinks:
                    sink.add(event.prediction)
                    if event.source is not None and isinstance(sink, SourceSink):
                        sink.add_source(event.source)
            else:
                self._warnings = event.warnings
                return
            if self._control.should_stop():
                self._stopped_early = True
                return

    def _no_frames(self, info: ClipInfo) -> Exception:
        if self._stopped_early:
            return Cancelled(-1)
        if info.num_selected == 0:
            return InputError(
                f"The start at {self._options.start_s:.1f} s is after the end of the clip ({info.duration_s:.1f} s).",
                "Choose an earlier start.",
            )
        return InputError("None of the chosen frames could be decoded.", "Export the clip again.")

    def _finish(self, store: ResultStore, opened: Opened, seconds: float) -> Reconstruction:
        model, options = self._model, self._options
        meta = {
            "model": model.name,
            "model_sha256": model.sha256,
            "body": model.body.name,
            "version": __version__,
            "source": self._clip.name,
            "device": str(model.device),
            "precision": model.precision,
            "options": {
                **asdict(options.sampling),
                **asdict(opened.session_options),
                "finds_cuts": options.finds_cuts,
                "rotate": opened.turn.degrees,
                "save_depth": options.save_depth,
                "one_world": options.one_world,
            },
            "clip": opened.info.to_dict(),
            "seconds": round(seconds, 3),
            "warnings": list(dict.fromkeys([*self._warnings, *self._remarks(store, opened)])),
        }
        if opened.turn.is_found:
            meta["turn"] = {"degrees": opened.turn.degrees, "agreement": round(opened.turn.agreement, 3)}
        fps = rate_of(store.time_s.tolist(), default_fps=options.fps or opened.info.fps)
        refinements = model.profile.finishing
        if options.one_world:
            refinements = replace(refinements, one_world=WITNESSES)
        with stage_threads(model.profile, model.device):
            return finish(store, fps, meta, refinements, model.body)

    def _remarks(self, store: ResultStore, opened: Opened) -> list[str]:
        remarks, info, turn = [], opened.info, opened.turn
        used, available = len(store), info.num_frames
        if turn.is_found:
            remarks.append(
                f"The clip was turned by {turn.degrees} degrees: {turn.agreement:.0%} of the people seen then stand "
                "upright (--rotate 0 leaves it as it is)."
            )
        elif turn.doubted_degrees:
            remarks.append(
                "The people are not upright in this clip; it was left as it is "
                f"(--rotate {turn.doubted_degrees} turns it)."
            )
        if self._stopped_early:
            remarks.append(f"Stopped after {used} of {info.num_selected} frames.")
        elif used < available:
            remarks.append(f"Used {used} of {available} frames.")
        num_shots = len(np.unique(store.shot))
        if num_shots > 1:
            remarks.append(f"The clip has {num_shots} shots; each was reconstructed by itself.")
        if self._num_rejected:
            remarks.append(f"{self._num_rejected} blank or unusable frames were skipped.")
        if len(store.people()) == 0:
            remarks.append("No people were found.")
        elif self._model.profile.needs_licensed_body and not self._model.body.is_licensed:
            remarks.append("Body shapes are approximate: the embedded body replaces SMPL-X (use --body for yours).")
        return remarks
