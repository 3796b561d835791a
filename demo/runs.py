"""One run, from the clip to the files: waits its turn, works in a thread, tells the page how far it is.

``Runs.start`` is a generator of updates; the page and the API consume the same one. Leaving it early stops the run.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demo.engine import Engine, RunListener, RunOptions
from demo.jobs import Job, Line, LineFullError
from demo.page import messages
from demo.storage import MOMENTS_NAME, Shelf, Store
from demo.viewer import LiveScene, LiveScenes
from human3r.errors import Cancelled, Human3RError, InputError

if TYPE_CHECKING:
    from human3r import Reconstruction
    from human3r.records import FramePrediction
    from human3r.video.probe import ClipInfo

_LOG = logging.getLogger(__name__)
_WAIT_STEP_S = 0.5
_PREVIEW_EVERY_S = 0.3
MAIN_FILES = ("scene.glb", "overlay.mp4")
"""Written right after the result is shown; ``reconstruction.npz`` and ``scene.viser`` are written before."""
FURTHER_FILES = ("scene_static.glb", "points.ply", "scene.html", "cameras.json", "manifest.json")
"""Written when somebody asks for them."""
PER_TOOL_FILES = ("bvh.zip", "amass.zip", "colmap.zip", "cameras_tum.txt", "everything.zip")
"""Written when somebody asks for them on the page; ``everything.zip`` holds all the others."""
ON_DEMAND = ("scene.glb", *FURTHER_FILES, *PER_TOOL_FILES)
"""What can be written from the arrays alone, without the clip."""


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    shelf: Shelf
    frames: int
    people: int
    """Identities."""
    fps: float
    """Of the result."""
    seconds: float
    """Time that the run took."""
    warnings: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    """Files that exist already."""
    image_size: tuple[int, int] = (0, 0)
    """(height, width) of the clip."""


@dataclass(frozen=True)
class Update:
    """What changed; a field that is None stays as it was on the page."""

    text: str
    fraction: float | None = None
    """Done part of the run, [0, 1]."""
    preview: np.ndarray | None = None
    """``H W 3`` uint8, the current frame with its people."""
    live_token: str | None = None
    """A live viewer has opened under this token."""
    outcome: Outcome | None = None
    is_shown: bool = False
    """The page shows this outcome already; only ``outcome.ready`` has grown."""
    problem: str | None = None
    """The run ended with this sentence and no result."""
    note: str | None = None
    """A remark beside a valid result."""


@dataclass
class _Worker:
    """The thread that runs the model, and what it has said so far."""

    engine: Engine
    clip: Path
    options: RunOptions
    job: Job
    live: LiveScene | None
    folder: Path
    frames_total: int = 0
    frames_done: int = 0
    latest: FramePrediction | None = None
    first_frame_s: float = 0.0
    ended: queue.Queue[Reconstruction | BaseException] = field(default_factory=lambda: queue.Queue(1))

    def run(self) -> None:
        try:
            listener = RunListener(self._on_start, self._on_frame, self.job.should_stop, self.folder)
            self.ended.put(self.engine.reconstruct(self.clip, self.options, listener))
        except BaseException as error:
            self.ended.put(error)

    def _on_start(self, clip: ClipInfo) -> None:
        self.frames_total = clip.num_selected

    def _on_frame(self, prediction: FramePrediction) -> None:
        if self.live is not None:
            self.live.add(prediction)
        self.latest = prediction
        self.frames_done += 1
        if self.frames_done == 1:
            self.first_frame_s = time.monotonic()

    def frames_per_s(self) -> float:
        if self.frames_done < 2:
            return 0.0
        return (self.frames_done - 1) / max(1e-3, time.monotonic() - self.first_frame_s)


class Runs:
    """Starts runs and remembers what they need.

    Args:
        engine: The reconstruction package.
        line: Who is next.
        store: Where results go.
        live: The live viewers.
    """

    def __init__(self, engine: Engine, line: Line, store: Store, live: LiveScenes) -> None:
        self._engine = engine
        self._line = line
        self._store = store
        self._live = live

    def start(
        self, clip: Path | None, options: RunOptions, owner: str, *, everything: bool = False
    ) -> Iterator[Update]:
        """Yield updates until the last one, which holds an ``outcome`` or a ``problem``.

        Args:
            clip: The clip, or None when the visitor gave none.
            options: The visitor's choices.
            owner: Session; ``stop(owner)`` ends the run.
            everything: Write every file before the end (for programs), instead of on demand.
        """
        if clip is None:
            yield Update("", problem=messages.NO_CLIP)
            return
        try:
            with self._line.place(owner) as job:
                yield from self._wait(job)
                if not job.should_stop():
                    yield from self._work(clip, options, job, everything)
                else:
                    yield Update("", problem=messages.STOPPED_EMPTY)
        except LineFullError as error:
            yield Update("", problem=messages.line_full(error.args[0]))
        except Cancelled:
            yield Update("", problem=messages.STOPPED_EMPTY)
        except InputError as error:
            yield Update("", problem=str(error))
        except Human3RError as error:
            _LOG.warning("run failed: %s", error.code)
            yield Update("", problem=str(error))
        except Exception:
            sentence, identity = messages.internal_error()
            _LOG.exception("internal error %s", identity)
            yield Update("", problem=sentence)

    def find(self, token: str) -> Outcome | None:
        """Return a finished result by its token, or None when there is none or its time is over."""
        from human3r import Reconstruction

        shelf = self._store.get(token)
        if shelf is None or not shelf.file("scene.viser") or (arrays := shelf.file("reconstruction.npz")) is None:
            return None
        ready = tuple(path.name for path in shelf.folder.iterdir() if shelf.file(path.name))
        return outcome_of(Reconstruction.load(arrays), shelf, 0.0, ready)

    def stop(self, owner: str) -> int:
        """Ask the runs of a session to end, and return how many there were."""
        return self._line.stop(owner)

    def leave(self, owner: str) -> None:
        """The visitor closed the page: stop the run, close the live viewer. Files stay until their time is over."""
        self._line.stop(owner)
        self._live.close_owner(owner)

    def _wait(self, job: Job) -> Iterator[Update]:
        while (before := self._line.waiting_before(job, _WAIT_STEP_S)) and not job.should_stop():
            yield Update(messages.waiting(before))

    def _work(self, clip: Path, options: RunOptions, job: Job, everything: bool) -> Iterator[Update]:
        yield Update(messages.LOADING, 0.0)
        self._engine.load(options.model)
        shelf = self._store.open(job.owner)
        with self._store.in_use(shelf.token, time_starts_after=True):
            yield from self._work_in(shelf, shelf.keep(clip), options, job, everything)

    def _work_in(self, shelf: Shelf, clip: Path, options: RunOptions, job: Job, everything: bool) -> Iterator[Update]:
        started = time.monotonic()
        live = self._engine.open_live()
        try:
            if live is not None:
                self._live.add(shelf.token, job.owner, live)
                yield Update(messages.READING, 0.0, live_token=shelf.token)
            worker = _Worker(self._engine, clip, options, job, live, shelf.folder)
            # The request travels along: a Space that lends GPUs has to know for whom.
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(worker.run,), name="human3r-run", daemon=True)
            thread.start()
            try:
                yield from self._watch(worker, thread)
            except GeneratorExit:  # the page left early
                job.stop()
                thread.join()
                raise
            result = worker.ended.get()
            if isinstance(result, BaseException):
                raise result
            yield from self._finish(result, clip, shelf, job, started, everything)
        except BaseException:
            self._store.remove(shelf.token)
            raise
        finally:
            self._live.close(shelf.token)

    def _watch(self, worker: _Worker, thread: threading.Thread) -> Iterator[Update]:
        shown = 0
        while thread.is_alive():
            thread.join(_PREVIEW_EVERY_S)
            if worker.job.should_stop():
                yield Update(messages.STOPPING, 1.0)
                thread.join()
                return
            prediction, done = worker.latest, worker.frames_done
            if prediction is None or done == shown:
                continue
            shown = done
            total = worker.frames_total
            state = messages.Progress(done, total, len(prediction.people), worker.frames_per_s())
            fraction = done / total if total else None
            yield Update(messages.progress(state), fraction, self._engine.preview(prediction))

    def _finish(
        self, result: Reconstruction, clip: Path, shelf: Shelf, job: Job, started: float, everything: bool
    ) -> Iterator[Update]:
        """Write the files and yield the outcome: once when it can be looked at, once more when all is there."""
        seconds = time.monotonic() - started
        note = note_for(result, was_stopped=job.should_stop())
        yield Update(messages.WRITING, 1.0)
        result.save(shelf.folder / "reconstruction.npz")
        ready = [name for name in ("reconstruction.npz", MOMENTS_NAME) if shelf.file(name)]
        later = (*MAIN_FILES, *FURTHER_FILES) if everything else MAIN_FILES
        for name in ("scene.viser", *later):
            if self._engine.export(result, clip, shelf.folder, name):
                ready.append(name)
            if name in ("scene.viser", later[-1]):
                yield Update(
                    messages.finished(result.num_frames, len(result.track_id), result.num_frames / result.fps),
                    outcome=outcome_of(result, shelf, seconds, tuple(ready)),
                    is_shown=name != "scene.viser",
                    note=note,
                )


def note_for(result: Reconstruction, *, was_stopped: bool) -> str | None:
    """Return the remark that belongs beside a result, if any."""
    if was_stopped:
        return messages.STOPPED
    return messages.NO_PEOPLE if len(result.track_id) == 0 else None


def outcome_of(result: Reconstruction, shelf: Shelf, seconds: float, ready: tuple[str, ...]) -> Outcome:
    """Return what the page and the API say about a result."""
    warnings = result.meta.get("warnings", ())
    height, width = (int(value) for value in result.image_size)
    return Outcome(
        shelf=shelf,
        frames=result.num_frames,
        people=len(result.track_id),
        fps=result.fps,
        seconds=seconds,
        warnings=tuple(str(item) for item in warnings) if isinstance(warnings, list | tuple) else (),
        ready=ready,
        image_size=(height, width),
    )
