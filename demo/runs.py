"""One run, from the clip to the files: waits its turn, works in a thread, and reports its progress.

A page launches a run and follows its feed, also after a reload. A program iterates over ``Runs.start``; closing it
early stops the run.
"""

from __future__ import annotations

import contextvars
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demo import messages
from demo.downloads import FOR_PROGRAMS, WITH_RUN
from demo.engine import Engine, RunRequest
from demo.jobs import JobQueue, QueueFullError, Visitor, VisitorLimitError
from demo.storage import ResultStore, RunFolder
from demo.updates import Feed, Outcome, Update, outcome_of
from human3r import (
    MOMENTS_NAME,
    PLAYER_SCENE_NAME,
    Cancelled,
    Human3RError,
    InputError,
    Reconstruction,
    RunControl,
    return_free_memory,
)

if TYPE_CHECKING:
    from human3r import ClipInfo, FramePrediction, LiveScene

_LOG = logging.getLogger(__name__)
_NICENESS = 3
"""Of a run's threads; requests have 0. More would leave too little beside other busy programs, such as a browser."""
_QUEUE_UPDATE_S = 0.5
_PREVIEW_INTERVAL_S = 0.3


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


@dataclass(eq=False)
class Run:
    """A run that waits or works."""

    token: str
    """Of its folder, its live viewer and its result."""
    owner: Visitor
    """Who started it."""
    feed: Feed = field(default_factory=Feed)
    """Its updates; the last one has an ``outcome`` or a ``problem``."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when the run shall end after the current frame."""
    is_abandoned: bool = False
    """The result is not wanted and not written."""
    is_deleted: bool = False
    """The result was deleted while its last files were written."""
    had_turn: bool = False
    """It was not refused, and has used memory."""

    def abandon(self) -> None:
        """Stop without a result."""
        self.is_abandoned = True
        self.stopped.set()

    def delete(self) -> None:
        """Stop, and keep nothing of what is written already."""
        self.is_deleted = True
        self.abandon()


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
        # One run is active at a time.
        self._executor = ThreadPoolExecutor(1, "human3r-run", initializer=_yield_to_requests)
        self._live: tuple[str, LiveScene] | None = None
        self._threads: dict[Run, threading.Thread] = {}

    def close(self) -> None:
        """Stop every run and wait for their ends."""
        self._jobs.stop()
        for thread in list(self._threads.values()):
            thread.join()
        self._executor.shutdown()

    def launch(self, request: RunRequest, owner: Visitor, *, for_program: bool = False) -> Run:
        """Start a run in the background.

        Args:
            request: The clip, the model and the options.
            owner: Who asks; ``stop(owner.session)`` ends the run.
            for_program: Write all files before the end instead of on demand.
        """
        folder = self._store.open(owner.session, owner.name)
        run = Run(folder.token, owner)
        # The request's context is copied: a Space that lends GPUs identifies the visitor by it.
        target = partial(contextvars.copy_context().run, self._drive, run, request, folder, for_program)
        self._threads[run] = threading.Thread(target=target, name="human3r-run-feed", daemon=True)
        self._threads[run].start()
        return run

    def start(self, request: RunRequest, owner: Visitor, *, for_program: bool = False) -> Iterator[Update]:
        """Launch a run and yield its updates; closing the generator abandons the run and waits for its end."""
        run = self.launch(request, owner, for_program=for_program)
        thread = self._threads.get(run)
        try:
            yield from run.feed.watch()
        except BaseException:  # such as GeneratorExit when a program has left
            run.abandon()
            raise
        finally:
            if thread is not None:
                thread.join()

    def _drive(self, run: Run, request: RunRequest, folder: RunFolder, for_program: bool) -> None:
        """Publish every update of a run; a run without a result leaves no folder."""
        _yield_to_requests()
        has_result = False
        try:
            with self._store.in_use(folder.token, restart_ttl=True):
                for update in self._updates(run, request, folder, for_program):
                    has_result |= update.outcome is not None
                    run.feed.publish(update)
        finally:
            if has_result and not run.is_deleted:
                self._store.make_room()
            else:
                self._store.remove(folder)
            self._threads.pop(run, None)
            run.feed.end()
            if run.had_turn:
                return_free_memory()

    def _updates(self, run: Run, request: RunRequest, folder: RunFolder, for_program: bool) -> Iterator[Update]:
        if request.clip is None:
            yield Update("", problem=messages.NO_CLIP)
            return
        try:
            kept = replace(request, clip=folder.keep_clip(request.clip))
            with self._jobs.slot(run.owner, run.stopped) as job:
                while (before := self._jobs.wait_turn(job, _QUEUE_UPDATE_S)) and not job.stopped.is_set():
                    yield Update(messages.waiting(before))
                if job.stopped.is_set():
                    raise Cancelled(-1)
                run.had_turn = True
                yield Update(messages.LOADING, 0.0)
                self._engine.load(request.model)
                yield from self._work(kept, run, folder, for_program)
        except VisitorLimitError as error:
            yield Update("", problem=messages.visitor_limit(error.args[0]))
        except QueueFullError as error:
            yield Update("", problem=messages.queue_full(error.args[0]))
        except Cancelled:
            yield Update("", problem=messages.STOPPED_EMPTY, is_stop=True)
        except Human3RError as error:
            if not isinstance(error, InputError):
                _LOG.warning("run failed: %s", error.code)
            yield Update("", problem=str(error))
        except Exception:
            yield Update("", problem=messages.log_internal_error(_LOG))

    def running(self, token: str) -> Run | None:
        """Return a run that waits or works, by its token."""
        return next((run for run in list(self._threads) if run.token == token), None)

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

    def _work(self, request: RunRequest, run: Run, folder: RunFolder, for_program: bool) -> Iterator[Update]:
        started = time.monotonic()
        scene = self._engine.open_live()
        self._live = folder.token, scene
        try:
            yield Update(messages.READING, 0.0, live_token=folder.token)
            progress = _Progress()
            control = RunControl(run.stopped.is_set, progress.start)
            work = partial(contextvars.copy_context().run, self._engine.reconstruct)
            future = self._executor.submit(work, request, [scene, progress], control, folder)
            yield from self._watch(progress, future, run)
            result = future.result()
            if run.is_abandoned:
                raise Cancelled(progress.frames_done)
            yield Update(messages.WRITING, 1.0)
            seconds = time.monotonic() - started
            for is_complete, ready in self._write(result, request.clip, run, folder, for_program):
                outcome = outcome_of(result, folder, seconds, ready)
                yield Update(outcome.text, outcome=outcome, is_complete=is_complete, note=outcome.note)
        finally:
            self._close_live()

    def _close_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live[1].close()

    def _watch(self, progress: _Progress, future: Future[Reconstruction], run: Run) -> Iterator[Update]:
        shown = 0
        while not future.done():
            wait([future], _PREVIEW_INTERVAL_S)
            if run.stopped.is_set():
                yield Update(messages.STOPPING, 1.0)
                wait([future])
                return
            prediction = progress.latest
            if prediction is not None and progress.frames_done != shown:
                shown = progress.frames_done
                yield progress.update(self._engine.preview(prediction), len(prediction.people))

    def _write(
        self, result: Reconstruction, clip: Path | None, run: Run, folder: RunFolder, for_program: bool
    ) -> Iterator[tuple[bool, tuple[str, ...]]]:
        """Write the files, and yield (all are ready, their names): when the result can be viewed and at the end."""
        result.save(folder.path / "reconstruction.npz")
        ready = [name for name in ("reconstruction.npz", MOMENTS_NAME) if folder.file(name)]
        for is_complete, names in ((False, (PLAYER_SCENE_NAME,)), (True, FOR_PROGRAMS if for_program else WITH_RUN)):
            for name in names:
                try:
                    if name not in ready and self._engine.export(result, clip, folder, name):
                        ready.append(name)
                finally:
                    if run.is_deleted:  # with the folder it is written to
                        raise Cancelled(result.num_frames)
            yield is_complete, tuple(ready)


def _yield_to_requests() -> None:
    """Lower the priority of this thread, its threads and its processes below that of requests (Linux only)."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
