"""Reports of a run: ``Update`` while it is active, ``Outcome`` at its end, and the feed that pages follow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from demo import messages
from demo.storage import RunFolder
from human3r import Reconstruction


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
    step: int = 1
    """Step between the used frames of the clip."""
    note: str | None = None
    """A remark that is shown above the result."""

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
    is_stop: bool = False
    """The problem is that the visitor stopped the run before it had a result."""
    note: str | None = None
    """A remark about a valid result."""

    @property
    def is_milestone(self) -> bool:
        """Whether every page has to see this update, even a slow one."""
        return self.live_token is not None or self.outcome is not None or self.problem is not None


class Feed:
    """The updates of one run, for any number of pages; a page that comes later starts from the state so far."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: list[deque[Update]] = []
        self._state: Update | None = None
        self._has_ended = False

    def publish(self, update: Update) -> None:
        """Hand an update to every page; progress that a page has not taken yet is replaced."""
        with self._changed:
            before = self._state
            self._state = update
            if before is not None and update.outcome is None and update.problem is None:
                preview = before.preview if update.preview is None else update.preview
                self._state = replace(update, live_token=update.live_token or before.live_token, preview=preview)
            for queue in self._queues:
                if queue and not queue[-1].is_milestone and not update.is_milestone:
                    queue.pop()
                queue.append(update)
            self._changed.notify_all()

    def end(self) -> None:
        """End the feed."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def watch(self) -> Iterator[Update]:
        """Yield the state so far and every later update until the end."""
        queue: deque[Update] = deque()
        with self._changed:
            if self._state is not None:
                queue.append(replace(self._state, is_complete=False))
                if self._state.is_complete:
                    queue.append(self._state)
            self._queues.append(queue)
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: queue or self._has_ended)
                    if not queue:
                        return
                    update = queue.popleft()
                yield update
        finally:
            with self._changed:
                self._queues.remove(queue)


def outcome_of(result: Reconstruction, folder: RunFolder, seconds: float, ready: tuple[str, ...]) -> Outcome:
    """Return the facts about a result that the page and the API show."""
    listed = result.meta.get("warnings", ())
    warnings = [str(item) for item in listed] if isinstance(listed, list | tuple) else []
    note = next((text for text in warnings if text.startswith("Stopped after ")), None)
    if note is None and len(result.track_id) == 0:
        note = messages.NO_PEOPLE
    height, width = (int(value) for value in result.image_size)
    steps = np.diff(result.frame_index)
    return Outcome(
        folder=folder,
        frames=result.num_frames,
        people=len(result.track_id),
        fps=result.fps,
        seconds=seconds,
        warnings=tuple(text for text in warnings if text != note),
        ready=ready,
        image_size=(height, width),
        step=int(np.median(steps)) if len(steps) else 1,
        note=note,
    )
