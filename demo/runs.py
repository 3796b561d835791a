"""One run, from the clip to the files: waits its turn, works in a thread, and reports its progress.

``Runs.start`` is a generator of updates, which the page and the API consume alike. Closing it early stops the run.
"""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demo.downloads import FOR_PROGRAMS, WITH_RUN
from demo.engine import Engine, RunRequest
from demo.jobs import Job, JobQueue, QueueFullError, Visitor, VisitorLimitError
from demo.page import messages
from demo.storage import ResultStore, RunFolder
from human3r import MOMENTS_NAME, PLAYER_SCENE_NAME, Cancelled, Human3RError, InputError, Reconstruction, RunControl

if TYPE_CHECKING:
    from human3r import ClipInfo, FramePrediction, LiveScene

_LOG = logging.getLogger(__name__)
_QUEUE_UPDATE_S = 0.5
_PREVIEW_INTERVAL_S = 0.3


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    folder: RunFolder
    frames: int
    people: int
    """Number of identities."""
    fps: float
    """Of the result."""
    seconds: float
    """Duration of the run."""
    warnings: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    """Files that exist already."""
    image_size: tuple[int, int] = (0, 0)
    """(height, width) of the clip."""

    @property
    def text(self) -> str:
        """The line above the viewer."""
        return messages.finished(self.frames, self.people, self.frames / self.fps)


@dataclass(frozen=True)
class Update:
    """A change of the page; a field that is None changes nothing."""

    text: str
    fraction: float | None = None
    """Completed fraction of the run, [0, 1]."""
    preview: np.ndarray | None = None
    """``H W 3`` uint8, the current frame with its people."""
    live_token: str | None = None
    """A live viewer has opened under this token."""
    outcome: Outcome | None = None
    is_complete: bool = False
    """The outcome was published before, and all of its files are ready now."""
    problem: str | None = None
    """The run ended with this sentence and no result."""
    note: str | None = None
    """A remark about a valid result."""


@dataclass
class _Progress:
    """Progress of a run; it is one of the run's frame sinks."""

    frames_total: int = 0
    frames_done: int = 0
    latest: FramePrediction | None = None
    first_frame_s: float = 0.0

    def start(self, clip: ClipInfo, num_done: int) -> None:
        """Handle the start of the run."""
        self.frames_total = clip.num_selected

    def add(self, prediction: FramePrediction) -> None:
        """Take the next frame."""
        self.latest = prediction
        self.frames_done += 1
        if self.frames_done == 1:
            self.first_frame_s = time.monotonic()

    def update(self, preview: np.ndarray, num_people: int) -> Update:
        """Return the update for the latest frame."""
        done, total, elapsed_s = self.frames_done, self.frames_total, time.monotonic() - self.first_frame_s
        frames_per_s = (done - 1) / max(1e-3, elapsed_s)  # 0 after the first frame
        return Update(
            messages.progress(done, total, num_people, frames_per_s), done / total if total else None, preview
        )


class Runs:
    """Starts runs, of which one is active at a time.

    Args:
        engine: Runs the model and writes the files.
        jobs: Decides which run is next.
        store: Holds the results.
    """

    def __init__(self, engine: Engine, jobs: JobQueue, store: ResultStore) -> None:
        self._engine = engine
        self._jobs = jobs
        self._store = store
        self._executor = ThreadPoolExecutor(1, "human3r-run")  # one run is active at a time
        self._live: tuple[str, LiveScene] | None = None

    def close(self) -> None:
        """Stop the active run and wait for its end."""
        self._jobs.stop()
        self._executor.shutdown()

    def start(self, request: RunRequest, owner: Visitor, *, for_program: bool = False) -> Iterator[Update]:
        """Yield updates until the last one, which has an ``outcome`` or a ``problem``.

        Args:
            request: The clip, the model and the options.
            owner: Who asks; ``stop(owner.session)`` ends the run.
            for_program: Write all files before the end instead of on demand.
        """
        if request.clip is None:
            yield Update("", problem=messages.NO_CLIP)
            return
        try:
            with self._jobs.slot(owner) as job:
                while (before := self._jobs.wait_turn(job, _QUEUE_UPDATE_S)) and not job.stopped.is_set():
                    yield Update(messages.waiting(before))
                if job.stopped.is_set():
                    yield Update("", problem=messages.STOPPED_EMPTY)
                    return
                yield Update(messages.LOADING, 0.0)
                self._engine.load(request.model)
                folder = self._store.open(owner.session)
                with self._store.in_use(folder.token, restart_ttl=True):
                    kept = replace(request, clip=folder.keep_clip(request.clip))
                    yield from self._work(kept, job, folder, for_program)
        except VisitorLimitError as error:
            yield Update("", problem=messages.visitor_limit(error.args[0]))
        except QueueFullError as error:
            yield Update("", problem=messages.queue_full(error.args[0]))
        except Cancelled:
            yield Update("", problem=messages.STOPPED_EMPTY)
        except Human3RError as error:
            if not isinstance(error, InputError):
                _LOG.warning("run failed: %s", error.code)
            yield Update("", problem=str(error))
        except Exception:
            yield Update("", problem=messages.log_internal_error(_LOG))

    def find(self, token: str) -> Outcome | None:
        """Return a finished result by its token, or None when it does not exist or has expired."""
        folder = self._store.get(token)
        if (
            folder is None
            or not folder.file(PLAYER_SCENE_NAME)
            or (arrays := folder.file("reconstruction.npz")) is None
        ):
            return None
        ready = tuple(path.name for path in folder.finished_files())
        return outcome_of(Reconstruction.load(arrays), folder, 0.0, ready)

    def live_url(self, token: str) -> str | None:
        """Return the address of the socket of a run's live viewer, or None when it is not open."""
        live = self._live
        return live[1].url if live is not None and live[0] == token else None

    def stop(self, session: str) -> None:
        """Request the end of a session's runs; files remain until they expire."""
        self._jobs.stop(session)

    def _work(self, request: RunRequest, job: Job, folder: RunFolder, for_program: bool) -> Iterator[Update]:
        started = time.monotonic()
        try:
            scene = self._engine.open_live()
            self._live = folder.token, scene
            yield Update(messages.READING, 0.0, live_token=folder.token)
            progress = _Progress()
            control = RunControl(job.stopped.is_set, progress.start)
            # The request's context is copied: a Space that lends GPUs identifies the visitor by it.
            run = partial(contextvars.copy_context().run, self._engine.reconstruct)
            future = self._executor.submit(run, request, [scene, progress], control, folder)
            try:
                yield from self._watch(progress, future, job)
            except BaseException:  # such as GeneratorExit when the page was closed
                job.stopped.set()
                wait([future])
                raise
            result = future.result()
            yield Update(messages.WRITING, 1.0)
            seconds = time.monotonic() - started
            note = messages.STOPPED if job.stopped.is_set() else note_for_people(len(result.track_id))
            for is_complete, ready in self._write(result, request.clip, folder, for_program):
                outcome = outcome_of(result, folder, seconds, ready)
                yield Update(outcome.text, outcome=outcome, is_complete=is_complete, note=note)
        except BaseException:
            self._store.remove(folder.token)
            raise
        finally:
            self._close_live()

    def _close_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live[1].close()

    def _watch(self, progress: _Progress, future: Future[Reconstruction], job: Job) -> Iterator[Update]:
        shown = 0
        while not future.done():
            wait([future], _PREVIEW_INTERVAL_S)
            if job.stopped.is_set():
                yield Update(messages.STOPPING, 1.0)
                wait([future])
                return
            prediction = progress.latest
            if prediction is not None and progress.frames_done != shown:
                shown = progress.frames_done
                yield progress.update(self._engine.preview(prediction), len(prediction.people))

    def _write(
        self, result: Reconstruction, clip: Path | None, folder: RunFolder, for_program: bool
    ) -> Iterator[tuple[bool, tuple[str, ...]]]:
        """Write the files, and yield (all are ready, their names): when the result can be viewed and at the end."""
        result.save(folder.path / "reconstruction.npz")
        ready = [name for name in ("reconstruction.npz", MOMENTS_NAME) if folder.file(name)]
        for is_complete, names in ((False, (PLAYER_SCENE_NAME,)), (True, FOR_PROGRAMS if for_program else WITH_RUN)):
            for name in names:
                if name not in ready and self._engine.export(result, clip, folder, name):
                    ready.append(name)
            yield is_complete, tuple(ready)


def note_for_people(num_people: int) -> str | None:
    """Return the remark about a result without people."""
    return None if num_people else messages.NO_PEOPLE


def outcome_of(result: Reconstruction, folder: RunFolder, seconds: float, ready: tuple[str, ...]) -> Outcome:
    """Return the facts about a result that the page and the API show."""
    warnings = result.meta.get("warnings", ())
    height, width = (int(value) for value in result.image_size)
    return Outcome(
        folder=folder,
        frames=result.num_frames,
        people=len(result.track_id),
        fps=result.fps,
        seconds=seconds,
        warnings=tuple(str(item) for item in warnings) if isinstance(warnings, list | tuple) else (),
        ready=ready,
        image_size=(height, width),
    )
