"""From a clip to a reconstruction: decode ahead, step, store, report, stop when asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from human3r.errors import Cancelled, InputError
from human3r.models.parts import FrameTokens
from human3r.reconstruction import Reconstruction
from human3r.records import Frame, FramePrediction
from human3r.runtime.finishing import finish
from human3r.runtime.loading import LoadedModel, load_model
from human3r.runtime.prefetch import Prefetcher
from human3r.runtime.session import Session
from human3r.runtime.store import ResultStore, StoreOptions
from human3r.video.limits import DEFAULT_LIMITS, MediaLimits
from human3r.video.preprocess import PreparedImage
from human3r.video.probe import ClipInfo
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling, rate_of

_LOG = logging.getLogger(__name__)
_MIN_TRACK_FRAMES = 3
"""``compact`` sees a false person in single frames now and then; the official tracker is left as it is."""

OnFrame = Callable[[FramePrediction], None]
OnStart = Callable[[ClipInfo], None]


@dataclass(frozen=True)
class RunOptions:
    """Everything about a run that is not the clip and the model."""

    sampling: Sampling = field(default_factory=Sampling)
    use_ttt3r: bool | None = None
    """None takes the model's default."""
    reset_interval: int | None = None
    """None takes the model's default, 0 never resets."""
    save_depth: bool = False
    """Keep a depth map per frame in the result."""
    limits: MediaLimits = DEFAULT_LIMITS


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
    limits: MediaLimits = DEFAULT_LIMITS,
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
        limits: What media are refused.

    Raises:
        InputError: The clip or an option cannot be used.
        AssetError: The model's weights are missing or damaged.
        ResourceError: The machine lacks memory, disk or a device.
        Cancelled: Stopped before the first frame was finished.
    """
    sampling = Sampling(start_s=start_s, duration_s=duration_s, fps=fps, max_frames=max_frames)
    options = RunOptions(sampling, use_ttt3r, reset_interval, save_depth, limits)
    loaded = model if isinstance(model, LoadedModel) else load_model(model or "auto")
    run = Run(Path(clip), loaded, options)
    return run.execute(on_frame, should_stop or (lambda: False), on_start)


class Run:
    """One run of a model over a clip.

    Args:
        clip: See ``reconstruct``.
        model: The model.
        options: The options.
    """

    def __init__(self, clip: Path, model: LoadedModel, options: RunOptions) -> None:
        self._clip, self._model, self._options = clip, model, options
        self._session = Session(model, use_ttt3r=options.use_ttt3r, reset_interval=options.reset_interval)
        self._stopped_early = False
        self._encodes_ahead = model.config.architecture == "compact" and model.device.type == "cpu"

    def execute(
        self, on_frame: OnFrame | None, should_stop: Callable[[], bool], on_start: OnStart | None
    ) -> Reconstruction:
        """Run to the end or to the stop; see ``reconstruct``."""
        started = time.perf_counter()
        store = ResultStore(StoreOptions(with_depth=self._options.save_depth))
        try:
            with FrameReader(self._clip, self._options.sampling, self._options.limits) as reader:
                if on_start is not None:
                    on_start(reader.info)
                self._consume(reader, store, on_frame, should_stop)
                if len(store) == 0:
                    raise self._nothing_done(reader)
                seconds = time.perf_counter() - started
                _LOG.info("%d frames in %.2f s", len(store), seconds)
                return self._finish(store, reader, seconds)
        finally:
            store.close()

    def _consume(
        self, reader: FrameReader, store: ResultStore, on_frame: OnFrame | None, should_stop: Callable[[], bool]
    ) -> None:
        # What is stateless runs ahead of the recurrence by a few frames.
        with _threads_per_half(self._encodes_ahead), Prefetcher(reader, self._prepare) as frames:
            iterator = iter(frames)
            while not should_stop():
                item = next(iterator, None)
                if item is None:
                    return
                frame, prepared, tokens = item
                prediction = self._session.step_prepared(prepared, frame.time_s, frame.frame_index, tokens)
                store.add(prediction)
                if on_frame is not None:
                    on_frame(prediction)
            self._stopped_early = True

    def _prepare(self, frame: Frame) -> tuple[Frame, PreparedImage, FrameTokens | None]:
        prepared = self._session.prepare(frame.image)
        return frame, prepared, self._session.encode(prepared) if self._encodes_ahead else None

    def _nothing_done(self, reader: FrameReader) -> Exception:
        if self._stopped_early:
            return Cancelled(-1)
        if reader.info.num_selected == 0:
            return InputError(
                f"The start at {self._options.sampling.start_s:.1f} s is behind the end of the clip "
                f"({reader.info.duration_s:.1f} s).",
                "Choose an earlier start.",
            )
        return InputError("Not one of the chosen frames could be decoded.", "Export the clip again.")

    def _finish(self, store: ResultStore, reader: FrameReader, seconds: float) -> Reconstruction:
        is_compact = self._model.config.architecture == "compact"
        warnings = list(dict.fromkeys([*reader.warnings, *self._remarks(store, reader)]))
        meta = {
            "model": self._model.name,
            "model_sha256": self._model.sha256,
            "body": self._model.body.name,
            "version": _package_version(),
            "source": self._clip.name,
            "device": str(self._model.device),
            "precision": self._model.precision,
            "options": {
                **asdict(self._options.sampling),
                **asdict(self._session.options),
                "save_depth": self._options.save_depth,
            },
            "clip": reader.info.to_dict(),
            "seconds": round(seconds, 3),
            "warnings": warnings,
        }
        fps = rate_of(store.time_s, default_fps=self._options.sampling.fps or reader.info.fps)
        return finish(store, fps, meta, _MIN_TRACK_FRAMES if is_compact else 1)

    def _remarks(self, store: ResultStore, reader: FrameReader) -> list[str]:
        remarks = []
        used, available = len(store), reader.info.num_frames
        if self._stopped_early:
            remarks.append(f"Stopped after {used} of {reader.info.num_selected} frames.")
        elif used < available:
            remarks.append(f"Used {used} of {available} frames.")
        if self._session.num_rejected:
            remarks.append(f"{self._session.num_rejected} blank or unusable frames were passed over.")
        if len(store.people()["person_frame"]) == 0:
            remarks.append("No people were found.")
        return remarks


@contextmanager
def _threads_per_half(encodes_ahead: bool) -> Iterator[None]:
    """Give the encoder and the recurrence half of the cores each.

    The operators of ``compact`` are too small to gain from sharing every one of them among all cores.
    """
    threads = torch.get_num_threads()
    if encodes_ahead:
        torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _package_version() -> str:
    import human3r

    return human3r.__version__
