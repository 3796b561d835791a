"""A stream that does not wait: the model steps on the newest frame, and what it is too slow for is dropped.

At most one frame waits. On a CPU, ``compact`` runs in three threads (reading; people; encoding and recurrence) besides
the consumer's, which describes the frames; other models step in the consumer's thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from human3r.inference.encoding import detect
from human3r.inference.live.budget import Budget, BudgetOptions
from human3r.inference.live.handover import Handover
from human3r.inference.live.report import LiveReport, Timings
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.threads import stage_threads
from human3r.inference.recurrence import Advanced
from human3r.inference.session import Session
from human3r.memory import return_free_memory
from human3r.models.parts import FULL_EFFORT, BatchRecord, FrameTokens, InferredFrame
from human3r.records import Frame, FramePrediction
from human3r.video.live.reader import LiveFrame
from human3r.video.preprocess import PreparedImage
from human3r.video.shots.live import LiveShots

_NUM_WARM_UP = 3
_MEMORY_S = 20.0
"""Between two times that freed memory is returned to the system, which takes milliseconds."""
_JOIN_S = 1.0
"""Longest wait for a source that is in the middle of a frame."""


@dataclass
class _Item:
    """One frame on its way."""

    frame: LiveFrame
    prepared: PreparedImage
    human: BatchRecord | None = None
    """From ``detect``."""
    advanced: Advanced | None = None
    slowest_s: float = 0.0
    """Time of the slowest stage so far."""

    def timed(self, started_s: float) -> None:
        """Count a stage that began at ``started_s`` and ends now."""
        self.slowest_s = max(self.slowest_s, time.monotonic() - started_s)


class LiveStream:
    """Iterate over the predictions of a model for a source that does not wait; use it in a ``with`` block.

    Args:
        model: The model.
        frames: ``LiveFrame``, ``Frame`` or ``H W 3`` uint8 RGB, all of one size, at the source's own pace: a camera's
            loop, a socket, a ``LiveReader``. Read in a thread of its own. Plain images are due when they come.
        budget: What is left out when the machine is late; None never leaves out anything but whole frames.
        finds_cuts: Divide the stream into shots; False takes it for one.
    """

    def __init__(
        self,
        model: LoadedModel,
        frames: Iterable[LiveFrame | Frame | np.ndarray],
        budget: BudgetOptions | None = BudgetOptions(),  # noqa: B008 - frozen
        *,
        finds_cuts: bool = True,
    ) -> None:
        self._model, self._frames = model, frames
        self._session = Session(model)
        self.budget = None if budget is None else Budget(budget)
        self._shots = LiveShots() if finds_cuts else None
        self._timings = Timings()
        self._newest: Handover[LiveFrame] = Handover()
        self._detected: Handover[_Item] = Handover()
        self._advanced: Handover[_Item] = Handover()
        self._threads: list[threading.Thread] = []
        self._stages = ExitStack()
        self.takes_scene = True
        """Whether the scene should be updated with the last prediction; see ``Budget``."""
        self.takes_surface = True
        """Whether its surface may grow."""
        self.last_latency_s = 0.0
        """From the time the last frame fell due until its people were known."""
        self.last_source: np.ndarray | None = None
        """``H W 3`` uint8, the source frame of the last prediction."""
        self._num_read = 0
        self._whole: FrameTokens | None = None
        """The last frame that was encoded whole."""

    def warm_up(self, image: np.ndarray) -> None:
        """Run the model on an ``H W 3`` uint8 frame beside the stream: the first steps of a size are slower."""
        session = Session(self._model)
        with stage_threads(self._model.profile, self._model.device):
            for _ in range(_NUM_WARM_UP):
                session.step(image)

    def __enter__(self) -> LiveStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[FramePrediction]:
        """Start reading, and yield predictions until the source is over or ``stop`` was called.

        Raises:
            Human3RError: The source or the model failed.
        """
        self._stages.enter_context(stage_threads(self._model.profile, self._model.device))
        overlaps = self._model.device.type == "cpu" and self._model.profile.overlaps_on_cpu
        self._timings.start()
        returned_s = time.monotonic()
        self._start(self._read)
        if overlaps:
            self._start(self._detect)
            self._start(self._advance)
        try:
            while (item := self._advanced.take() if overlaps else self._step_newest()) is not None:
                started_s = time.monotonic()
                assert item.advanced is not None
                prediction = self._describe(item.advanced)
                known_s = time.monotonic()
                self.last_source = item.frame.image
                self.last_latency_s = known_s - item.frame.due_s
                self._timings.add(self.last_latency_s, known_s)
                self.takes_scene = self.budget is None or self.budget.takes_scene(prediction.time_s)
                self.takes_surface = self.budget is None or self.budget.takes_surface
                yield prediction
                item.timed(started_s)
                now_s = time.monotonic()
                if self.budget is not None:
                    self.budget.add(item.slowest_s, now_s)
                if now_s - returned_s > _MEMORY_S:
                    return_free_memory(collects=False)
                    returned_s = now_s
        finally:
            self.close()

    @property
    def num_rejected(self) -> int:
        """Blank or unusable frames so far."""
        return self._session.num_rejected

    def stop(self) -> None:
        """Take no more frames; those on their way are still yielded. For any thread, and for signal handlers' flags."""
        self._newest.close(abort=True)

    def close(self) -> None:
        """End the threads; frames on their way are dropped."""
        for place in (self._newest, self._detected, self._advanced):
            place.close(abort=True)
        for thread in self._threads:
            thread.join(_JOIN_S)
        self._threads.clear()
        self._stages.close()

    def report(self, offered: int | None = None) -> LiveReport:
        """Return the counts and times so far.

        Args:
            offered: Frames that fell due, where the source knows better than the number that came.
        """
        return self._timings.report(self._num_read if offered is None else offered)

    def _start(self, stage: Callable[[], None]) -> None:
        thread = threading.Thread(target=stage, name=f"human3r-live{stage.__name__}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read(self) -> None:
        try:
            for frame in self._frames:
                self._num_read += 1
                if not self._newest.replace(_as_live(frame, self._num_read - 1, self._timings.started_s)):
                    return
            self._newest.close()
        except BaseException as error:
            self._newest.close(error)

    def _detect(self) -> None:
        try:
            human = None
            while (frame := self._newest.take()) is not None:
                started_s = time.monotonic()
                item = self._begin(frame)
                if item is None:
                    continue
                effort = FULL_EFFORT if self.budget is None else self.budget.effort
                before = None if item.frame.begins_shot else human
                item.human = human = detect(self._model, item.prepared, before, effort)
                item.timed(started_s)
                if not self._detected.give(item):
                    return
            self._detected.close()
        except BaseException as error:
            self._detected.close(error)

    def _begin(self, frame: LiveFrame) -> _Item | None:
        """Return the item of a frame, or None where it is left out."""
        judged = frame if self._shots is None else self._shots.take(frame)
        return None if judged is None else _Item(judged, self._session.prepare(judged.image, judged.picture_px))

    def _advance(self) -> None:
        try:
            while (item := self._detected.take()) is not None:
                self._advance_one(item)
                if not self._advanced.give(item):
                    return
            self._advanced.close()
        except BaseException as error:
            self._advanced.close(error)

    def _advance_one(self, item: _Item) -> None:
        started_s, frame = time.monotonic(), item.frame
        recurrence, ahead = self._session.recurrence, None
        if item.human is not None:
            ahead = recurrence.encode_next(item.prepared, item.human, None if frame.begins_shot else self._whole)
            if not isinstance(ahead.tokens.human, InferredFrame):
                self._whole = ahead.tokens
        item.advanced = recurrence.advance(
            item.prepared, frame.time_s, frame.frame_index, ahead, begins_shot=frame.begins_shot
        )
        item.timed(started_s)

    def _describe(self, advanced: Advanced) -> FramePrediction:
        examines_hands = self.budget is None or self.budget.takes_hands(advanced.time_s)
        return self._session.describer.describe(advanced, examines_hands=examines_hands)

    def _step_newest(self) -> _Item | None:
        while (frame := self._newest.take()) is not None:
            item = self._begin(frame)
            if item is not None:
                self._advance_one(item)
                return item
        return None


def _as_live(frame: LiveFrame | Frame | np.ndarray, index: int, started_s: float) -> LiveFrame:
    if isinstance(frame, LiveFrame):
        return frame
    now_s = time.monotonic()
    if isinstance(frame, Frame):
        return LiveFrame(frame.image, frame.frame_index, frame.time_s, frame.name, due_s=now_s)
    return LiveFrame(frame, index, now_s - started_s, due_s=now_s)
