"""Live runs: each waits its turn like the run of a clip, and becomes an ordinary result when it stops."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

from demo import messages
from demo.downloads import RECORDING, WITH_RUN
from demo.engine import Engine
from demo.jobs import Job, JobQueue, QueueFullError, Visitor, VisitorLimitError
from demo.live import panel
from demo.live.feed import Feed, decoded
from demo.settings import Settings
from demo.storage import ResultStore, RunFolder
from human3r import (
    KEYFRAMES_NAME,
    MOMENTS_NAME,
    PLAYER_SCENE_NAME,
    FramePrediction,
    Human3RError,
    InputError,
    JpegDecoder,
    KeyframeCollector,
    LiveFrame,
    LiveResult,
    LiveScene,
    LiveStream,
    MediaLimits,
    Moments,
    jpeg_movie,
    return_free_memory,
    save_keyframes,
    skeleton_lines,
)

_LOG = logging.getLogger(__name__)
_QUEUE_UPDATE_S = 0.5
_RATE_S = 2.0
"""The shown rate is that of so many seconds."""
_PICTURE_LIMITS = MediaLimits(frame_pixels=1_000_000, child_cpu_s=3600)
_ENDS = {"time": panel.TIME_IS_UP, "bytes": panel.TOO_MUCH, "patience": panel.ENDED_ALONE}

Message = dict[str, object]


@dataclass(eq=False)
class LiveRun:
    """One live run, from the click to its result."""

    folder: RunFolder
    owner: Visitor
    feed: Feed
    first_taken_s: float = 0.0
    """When the first frame was taken, by the clock of the visitor's browser."""
    is_discarded: bool = False
    """The visitor wants nothing to be kept."""
    state: Message = field(default_factory=lambda: {"type": "waiting", "before": 0})
    """The last message but those about single frames, for a socket that comes back."""
    _send: Callable[[Message], object] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def attach(self, send: Callable[[Message], object]) -> None:
        """Send messages to this socket from now on, and first of all how far the run is."""
        with self._lock:
            self._send = send
            send({"type": "hello", "token": self.folder.token})
            send(self.state)
        self.feed.set_connected(is_connected=True)

    def detach(self, send: Callable[[Message], object]) -> None:
        """Note that a socket is gone, unless another one has taken its place."""
        with self._lock:
            if self._send is not send:
                return
            self._send = None
        self.feed.set_connected(is_connected=False)

    def publish(self, message: Message) -> None:
        """Send a message to the socket that is there."""
        with self._lock:
            if message["type"] != "frame":
                self.state = message
            if self._send is not None:
                self._send(message)


class LiveRuns:
    """Starts live runs and finds them again.

    Args:
        settings: Limits.
        engine: Runs the model and writes the files.
        jobs: The queue that all runs share.
        store: Holds the results.
    """

    def __init__(self, settings: Settings, engine: Engine, jobs: JobQueue, store: ResultStore) -> None:
        self._settings, self._engine, self._jobs, self._store = settings, engine, jobs, store
        self._runs: dict[str, LiveRun] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._live: tuple[str, LiveScene] | None = None

    def open(self, visitor: Visitor) -> LiveRun:
        """Start a run for a visitor; it waits for its turn and for pictures."""
        settings = self._settings
        feed = Feed(settings.max_live_s, settings.max_upload_mb * 1_000_000, settings.live_patience_s)
        folder = self._store.open(visitor.session, visitor.name)
        run = LiveRun(folder, visitor, feed)
        self._runs[folder.token] = run
        thread = threading.Thread(target=self._drive, args=(run,), name="human3r-live-run", daemon=True)
        self._threads[folder.token] = thread
        thread.start()
        return run

    def find(self, token: str) -> LiveRun | None:
        """Return a run that has not ended, or None."""
        return self._runs.get(token)

    def live_url(self, token: str) -> str | None:
        """Return the address of the socket of a run's live viewer, or None when it is not open."""
        live = self._live
        return live[1].url if live is not None and live[0] == token else None

    def close(self) -> None:
        """End every run and wait for it."""
        for run in list(self._runs.values()):
            run.is_discarded = True
            run.feed.end()
        self._jobs.stop()
        for thread in list(self._threads.values()):
            thread.join()

    def _drive(self, run: LiveRun) -> None:
        token, had_turn, has_result = run.folder.token, False, False
        try:
            with self._store.in_use(token, restart_ttl=True), self._jobs.slot(run.owner) as job:
                if had_turn := self._wait_turn(run, job):
                    has_result = self._work(run)
                else:
                    run.publish({"type": "deleted"})
        except VisitorLimitError as error:
            run.publish({"type": "problem", "text": messages.visitor_limit(error.args[0])})
        except QueueFullError as error:
            run.publish({"type": "problem", "text": messages.queue_full(error.args[0])})
        except InputError as error:
            run.publish({"type": "problem", "text": str(error)})
        except Human3RError as error:
            _LOG.warning("live run failed: %s", error.code)
            run.publish({"type": "problem", "text": str(error)})
        except Exception:
            run.publish({"type": "problem", "text": messages.log_internal_error(_LOG)})
        finally:
            if has_result:
                self._store.make_room()
            else:
                self._store.remove(run.folder)
            self._runs.pop(token, None)
            self._threads.pop(token, None)
            if had_turn:
                return_free_memory()

    def _wait_turn(self, run: LiveRun, job: Job) -> bool:
        """Wait; False where the visitor has left meanwhile."""
        while (before := self._jobs.wait_turn(job, _QUEUE_UPDATE_S)) and not job.stopped.is_set():
            run.publish({"type": "waiting", "before": before, "text": messages.waiting(before)})
            if run.feed.has_ended():
                return False
        return not job.stopped.is_set()

    def _work(self, run: LiveRun) -> bool:
        """Follow the camera, then write the result; return whether there is one."""
        engine, folder = self._engine, run.folder
        run.publish({"type": "loading", "text": messages.LOADING})
        engine.load(engine.model_names()[0])
        moments, keyframes = Moments(), KeyframeCollector()
        with LiveResult(engine.model, RECORDING) as kept:
            self._follow(run, kept, moments, keyframes)
            if run.is_discarded:
                run.publish({"type": "deleted"})
                return False
            if len(kept) == 0:
                run.publish({"type": "problem", "text": panel.NO_FRAMES})
                return False
            run.publish({"type": "writing", "text": messages.WRITING})
            ending = _ENDS.get(run.feed.ended_by or "")
            result = kept.finish([ending] if ending else [])
        result.save(folder.path / "reconstruction.npz")
        moments.write(folder.path / MOMENTS_NAME, result)
        save_keyframes(folder.path / KEYFRAMES_NAME, keyframes.finish(), result)
        for name in (PLAYER_SCENE_NAME, *WITH_RUN):
            engine.export(result, folder.path / RECORDING, folder, name)
        if run.is_discarded:
            run.publish({"type": "deleted"})
            return False
        run.publish({"type": "done", "token": folder.token})
        return True

    def _follow(self, run: LiveRun, kept: LiveResult, moments: Moments, keyframes: KeyframeCollector) -> None:
        token = run.folder.token
        with ExitStack() as stack:
            # Its process starts while the browser asks for the camera and loads the player.
            decoder = stack.enter_context(JpegDecoder(_PICTURE_LIMITS))
            scene = stack.enter_context(self._engine.open_live())
            self._live = token, scene
            stack.callback(self._forget_scene)
            side, seconds = self._engine.model.config.image_size, self._settings.max_live_s
            run.publish({"type": "ready", "token": token, "side": side, "seconds": seconds})
            frames = self._recorded(run, decoder)
            stream = stack.enter_context(LiveStream(self._engine.model, frames))
            ends: deque[float] = deque()
            shot = 0
            for prediction in stream:
                taken_s = run.first_taken_s + prediction.time_s
                run.publish(_facts(prediction, taken_s, stream.last_latency_s, _rate(ends)))
                if prediction.shot != shot:  # another camera: the page takes up a scene of its own
                    former, scene, shot = scene, stack.enter_context(self._engine.open_live()), prediction.shot
                    self._live = token, scene
                    former.lead_to("")
                # People are shown first; what is kept can wait.
                scene.add(prediction, with_scene=stream.takes_scene, with_surface=stream.takes_surface)
                kept.add(prediction, with_scene=stream.takes_scene)
                moments.add(prediction)
                if stream.takes_scene:
                    keyframes.add(prediction)
                    if stream.last_source is not None:
                        keyframes.add_source(stream.last_source)
                if stream.last_source is not None:
                    scene.add_source(stream.last_source)

    def _forget_scene(self) -> None:
        self._live = None

    def _recorded(self, run: LiveRun, decoder: JpegDecoder) -> Iterator[LiveFrame]:
        """Yield the frames, and write the pictures that they were into the recording."""
        with ExitStack() as stack:
            movie = None
            for picture, frame in decoded(run.feed, decoder):
                if movie is None:
                    run.first_taken_s = picture.time_s
                    movie = stack.enter_context(jpeg_movie(run.folder.path / RECORDING, frame.image.shape[:2]))
                movie.add(picture.encoded, frame.time_s)
                yield frame


def _rate(ends: deque[float]) -> float:
    """Return frames per second of the last seconds, this one included."""
    now_s = time.monotonic()
    ends.append(now_s)
    while now_s - ends[0] > _RATE_S:
        ends.popleft()
    return (len(ends) - 1) / (now_s - ends[0]) if len(ends) > 1 else 0.0


def _facts(prediction: FramePrediction, taken_s: float, latency_s: float, frames_per_s: float) -> Message:
    """Return what the page shows of one frame, taken at ``taken_s`` by the clock of the browser."""
    return {
        "type": "frame",
        "taken_s": taken_s,
        "fps": round(frames_per_s, 1),
        "latency_ms": round(1000 * latency_s),
        "people": [asdict(person) for person in skeleton_lines(prediction)],
    }
