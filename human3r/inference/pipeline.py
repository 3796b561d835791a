"""From a clip to a reconstruction: take the events of the forward pass, store, report, stop when asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from human3r.errors import Cancelled, InputError
from human3r.inference.loading import LoadedModel, load_model
from human3r.inference.resume import KeptRun
from human3r.inference.stream import Ended, Event, Forward, Opened, RunOptions, Stepped, forward
from human3r.records import FramePrediction
from human3r.refinement.finishing import COMPACT_FINISHING, finish
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore, StoreOptions
from human3r.video.limits import DEFAULT_LIMITS, MediaLimits
from human3r.video.probe import ClipInfo
from human3r.video.sampling import Sampling, rate_of

_LOG = logging.getLogger(__name__)

OnFrame = Callable[[FramePrediction], None]
OnStart = Callable[[ClipInfo], None]
OnResume = Callable[[int], None]


def reconstruct(
    clip: str | Path,
    model: LoadedModel | str | None = None,
    on_frame: OnFrame | None = None,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    fps: float | None = None,
    max_frames: int | None = None,
    use_ttt3r: bool | None = None,
    reset_interval: int | None = None,
    save_depth: bool = False,
    should_stop: Callable[[], bool] | None = None,
    on_start: OnStart | None = None,
    on_resume: OnResume | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
    forward: Forward = forward,
    keep_in: Path | None = None,
    snapshot_every: int = 100,
) -> Reconstruction:
    """Reconstruct people, scene and camera of one clip.

    Args:
        clip: Video, GIF, image, folder of images or zip of images.
        model: From ``load_model``, or a name for it; None is ``auto``.
        on_frame: Called with every prediction, in order, in the caller's thread.
        start_s: Skip so much of the clip, seconds.
        duration_s: Use so much of it, seconds.
        fps: Use so many frames per second; None uses all.
        max_frames: Use at most so many frames.
        use_ttt3r: Gate state updates (steadier on long clips); None takes the model's default.
        reset_interval: Restart the state after so many frames; None takes the model's default, 0 never.
        save_depth: Keep a depth map per frame in the result.
        should_stop: Asked before every frame; True ends the run and keeps what there is.
        on_start: Called once with the facts about the clip, before the first frame.
        on_resume: Called before that with the number of frames that an earlier run did, where there was one.
        limits: What media are refused.
        forward: Where the network runs: here and now, unless the caller knows another place.
        keep_in: Folder for rows and snapshots: a run of the same clip, model and options that was ended in it, however
            suddenly, is taken up at its last snapshot, and ``on_frame`` sees the frames after it. Removed at the end,
            unless the run was stopped.
        snapshot_every: Frames between two snapshots.

    Raises:
        InputError: The clip or an option cannot be used.
        AssetError: The model's weights are missing or damaged.
        ResourceError: The machine lacks memory, disk or a device.
        Cancelled: Stopped before the first frame was finished.
    """
    sampling = Sampling(start_s=start_s, duration_s=duration_s, fps=fps, max_frames=max_frames)
    options = RunOptions(sampling, use_ttt3r, reset_interval, save_depth, limits)
    loaded = model if isinstance(model, LoadedModel) else load_model(model or "auto")
    kept = None if keep_in is None else KeptRun(keep_in, Path(clip), loaded, options)
    if kept is not None:
        options = replace(options, snapshot_every=snapshot_every, resume_from=kept.session)
        if kept.session is not None and on_resume is not None:
            on_resume(kept.session.num_frames)
    run = Run(Path(clip), loaded, options, kept)
    return run.execute(forward(run.clip, loaded, options), on_frame, should_stop or (lambda: False), on_start)


class Run:
    """One run of a model over a clip.

    Args:
        clip: See ``reconstruct``.
        model: The model.
        options: The options.
        kept: Where the run is kept, so that it can be taken up; None keeps it nowhere.
    """

    def __init__(self, clip: Path, model: LoadedModel, options: RunOptions, kept: KeptRun | None = None) -> None:
        self.clip = clip
        self._model, self._options = model, options
        self._opened: Opened | None = None
        self._kept = kept
        self._num_rejected = 0 if kept is None else kept.num_rejected
        self._warnings: tuple[str, ...] = ()
        self._stopped_early = False

    def execute(
        self,
        events: Generator[Event, None, None],
        on_frame: OnFrame | None,
        should_stop: Callable[[], bool],
        on_start: OnStart | None,
    ) -> Reconstruction:
        """Run to the end or to the stop; see ``reconstruct``."""
        started = time.perf_counter()
        options = StoreOptions(with_depth=self._options.save_depth)
        store = ResultStore(options) if self._kept is None else self._kept.open_store()
        try:
            with closing(events):
                self._consume(events, store, on_frame, should_stop, on_start)
            assert self._opened is not None  # the first event of every forward pass that raises nothing
            if len(store) == 0:
                raise self._nothing_done(self._opened.info)
            seconds = time.perf_counter() - started
            _LOG.info("%d frames in %.2f s", len(store), seconds)
            result = self._finish(store, self._opened, seconds)
        finally:
            store.close()
        if self._kept is not None and not self._stopped_early:
            self._kept.discard()
        return result

    def _consume(
        self,
        events: Generator[Event, None, None],
        store: ResultStore,
        on_frame: OnFrame | None,
        should_stop: Callable[[], bool],
        on_start: OnStart | None,
    ) -> None:
        for event in events:
            if isinstance(event, Opened):
                self._opened, self._warnings = event, event.info.warnings
                if on_start is not None:
                    on_start(event.info)
            elif isinstance(event, Stepped):
                self._num_rejected = event.num_rejected
                store.add(event.prediction)
                if self._kept is not None and event.snapshot is not None:
                    self._kept.keep(event.snapshot, event.num_rejected, store)
                if on_frame is not None:
                    on_frame(event.prediction)
            elif isinstance(event, Ended):
                self._warnings = event.warnings
                return
            if should_stop():
                self._stopped_early = True
                return

    def _nothing_done(self, info: ClipInfo) -> Exception:
        if self._stopped_early:
            return Cancelled(-1)
        if info.num_selected == 0:
            return InputError(
                f"The start at {self._options.sampling.start_s:.1f} s is behind the end of the clip "
                f"({info.duration_s:.1f} s).",
                "Choose an earlier start.",
            )
        return InputError("Not one of the chosen frames could be decoded.", "Export the clip again.")

    def _finish(self, store: ResultStore, opened: Opened, seconds: float) -> Reconstruction:
        is_compact = self._model.config.architecture == "compact"
        warnings = list(dict.fromkeys([*self._warnings, *self._remarks(store, opened.info)]))
        meta = {
            "model": self._model.name,
            "model_sha256": self._model.sha256,
            "body": self._model.body.name,
            "version": _package_version(),
            "source": self.clip.name,
            "device": str(self._model.device),
            "precision": self._model.precision,
            "options": {
                **asdict(self._options.sampling),
                **asdict(opened.session_options),
                "save_depth": self._options.save_depth,
            },
            "clip": opened.info.to_dict(),
            "seconds": round(seconds, 3),
            "warnings": warnings,
        }
        fps = rate_of(store.time_s, default_fps=self._options.sampling.fps or opened.info.fps)
        return finish(store, fps, meta, COMPACT_FINISHING if is_compact else None, self._model.body)

    def _remarks(self, store: ResultStore, info: ClipInfo) -> list[str]:
        remarks = []
        used, available = len(store), info.num_frames
        if self._stopped_early:
            remarks.append(f"Stopped after {used} of {info.num_selected} frames.")
        elif used < available:
            remarks.append(f"Used {used} of {available} frames.")
        if self._num_rejected:
            remarks.append(f"{self._num_rejected} blank or unusable frames were passed over.")
        if len(store.people()["person_frame"]) == 0:
            remarks.append("No people were found.")
        elif self._model.config.architecture == "paper" and not self._model.body.is_licensed:
            remarks.append("Body shapes are approximate: the embedded body stands in for SMPL-X (--body gives yours).")
        return remarks


def _package_version() -> str:
    import human3r

    return human3r.__version__
