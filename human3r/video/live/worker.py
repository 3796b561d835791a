"""The decoder process of a live source: writes the newest frames to standard output when they are due.

Started by ``reader.LiveReader``. The request comes as one JSON line on standard input; a second line starts the
clock. A file plays at its own pace, whether or not its frames are decoded in time: late ones are skipped.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from human3r.child_process import restrict_process
from human3r.errors import Human3RError, MediaDecodeError
from human3r.video.decode_worker import open_source
from human3r.video.framing import write_message
from human3r.video.limits import MediaLimits
from human3r.video.live.delivery import BEAT_S, Go, Output
from human3r.video.live.stream import play_stream
from human3r.video.sampling import Sampling
from human3r.video.sources.source_frame import SourceFrame
from human3r.video.sources.video import VideoSource

_AHEAD = 4
"""Frames of a file decoded ahead of time."""
_LATE_S = 0.1
"""A frame this late is skipped, unless none was sent for as long."""
_HOPELESS_S = 1.0
"""A decoder this late skips to the next key frame."""


class _Ahead:
    """Decodes a file in a thread, a few frames ahead of the clock."""

    def __init__(self, frames: Iterator[SourceFrame]) -> None:
        self._queue: queue.Queue[SourceFrame | Exception | None] = queue.Queue(_AHEAD)
        self._frames = frames
        threading.Thread(target=self._decode, daemon=True).start()

    def _decode(self) -> None:
        try:
            for frame in self._frames:
                self._queue.put(frame)
            self._queue.put(None)
        except Exception as error:
            self._queue.put(error)

    def next(self, timeout_s: float) -> SourceFrame | None:
        """Return the next frame, or None at the end. Raises ``queue.Empty``, and what the decoder raises."""
        item = self._queue.get(timeout=timeout_s)
        if isinstance(item, Exception):
            raise item
        return item


class _Pace:
    """The clock of a file: which frames are due, and which are worth decoding.

    Args:
        times_s: When every frame falls due, seconds from the start.
    """

    def __init__(self, times_s: Sequence[float]) -> None:
        self.times_s = times_s
        self.start_s: float | None = None
        self._last_used_s = 0.0

    def offered(self) -> int:
        """Return how many frames have fallen due."""
        return 0 if self.start_s is None else bisect_right(self.times_s, time.monotonic() - self.start_s)

    def lag_s(self, index: int) -> float:
        """Return how late frame ``index`` is."""
        return 0.0 if self.start_s is None else time.monotonic() - self.start_s - self.times_s[index]

    def uses(self, index: int) -> bool:
        """Decide whether to send a decoded frame: a late one only if none was sent for a while."""
        now_s = time.monotonic()
        is_used = self.lag_s(index) < _LATE_S or now_s - self._last_used_s > _LATE_S
        self._last_used_s = now_s if is_used else self._last_used_s
        return is_used


def play_file(path: Path, limits: MediaLimits, output: Output, go: Go, max_side_px: int, stack: ExitStack) -> None:
    """Play a clip of any kind in real time, from its first frame."""
    source = open_source(path, Sampling(), limits, lambda: None, stack)
    if isinstance(source, VideoSource):
        source.reduce_to(max_side_px)
        pace = _Pace(source.times_s)

        def is_wanted(index: int) -> bool:
            source.only_key_frames = pace.lag_s(index) > (_LATE_S if source.only_key_frames else _HOPELESS_S)
            return pace.uses(index)

        frames = source.frames(is_wanted)
    else:
        pace = _Pace([index / source.info.fps for index in range(source.info.num_selected)])
        frames = source.frames()
    output.info(source.info.image_size, source.info.fps)
    ahead = _Ahead(frames)
    frame = ahead.next(limits.silence_s)
    if frame is None:
        raise MediaDecodeError("No frame of the clip can be decoded.", "Export it again.")
    output.frame(frame, time.monotonic(), 0)
    if not go.wait():
        return
    start_s = pace.start_s = time.monotonic() - frame.time_s
    while frame is not None:
        _sleep_until(start_s + frame.time_s, output, pace)
        output.frame(frame, start_s + frame.time_s, pace.offered())
        frame = _next_in_time(ahead, output, pace)
    _sleep_until(start_s + pace.times_s[-1], output, pace)
    output.end(len(pace.times_s), source.warnings)


def _sleep_until(due_s: float, output: Output, pace: _Pace) -> None:
    while (wait_s := due_s - time.monotonic()) > 0:
        time.sleep(min(wait_s, BEAT_S))
        output.beat(pace.offered())


def _next_in_time(ahead: _Ahead, output: Output, pace: _Pace) -> SourceFrame | None:
    while True:
        with suppress(queue.Empty):
            return ahead.next(BEAT_S)
        output.beat(pace.offered())


def main() -> int:
    """Serve one source; errors are sent as messages."""
    request: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    limits = MediaLimits(**request["limits"])
    restrict_process({"AS": limits.child_memory_bytes, "CPU": limits.child_cpu_s, "FSIZE": 0})
    size = None if request["size"] is None else (int(request["size"][0]), int(request["size"][1]))
    output, go = Output(sys.stdout.buffer, int(request["max_side_px"]), size), Go(sys.stdin.buffer)
    try:
        with ExitStack() as stack:
            if request["kind"] == "file":
                play_file(Path(request["source"]), limits, output, go, int(request["max_side_px"]), stack)
            else:
                play_stream(request["kind"], request["source"], limits, output, go)
    except BrokenPipeError:
        return 1
    except Exception as error:
        known = error if isinstance(error, Human3RError) else _as_decode_error(error)
        with suppress(OSError):
            message = {"type": "error", "code": known.code, "message": known.message, "remedy": known.remedy}
            write_message(sys.stdout.buffer, message)
        return 1
    return 0


def _as_decode_error(error: Exception) -> Human3RError:
    return MediaDecodeError(f"The source cannot be decoded ({type(error).__name__}).", "Try another one.")


if __name__ == "__main__":
    sys.exit(main())
