"""Read a camera, a network stream or a file in real time, from an isolated decoder process.

The parent's side of ``worker``. A camera or stream that is lost is reopened until it is back.
"""

from __future__ import annotations

import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from human3r.child_process import end_child, is_readable, read_exactly, start_child
from human3r.errors import InputError, MediaDecodeError, UnsupportedMediaError, error_from
from human3r.records import Frame
from human3r.video.framing import FramingError, read_message
from human3r.video.limits import DEFAULT_LIMITS, MediaLimits, check_smallest_side

MAX_SIDE_PX = 640
"""Longer side of live frames: more than the networks see."""
_SCHEMES = ("rtsp", "rtsps", "http", "https")
_RETRY_S = 1.0
_FIRST_FRAME_S = 60.0
"""Longest wait for the first frame; a file is scanned before it."""


@dataclass(frozen=True)
class LiveSource:
    """A source of live frames."""

    kind: str
    """``file``, ``camera`` or ``address``."""
    name: str
    """Path, device or address."""

    @property
    def comes_back(self) -> bool:
        """Whether it is reopened after its end."""
        return self.kind != "file"


def parse_source(text: str) -> LiveSource:
    """Parse a camera's number or device, an address, or the path of a file.

    Raises:
        InputError: None of these, or the file or device does not exist.
    """
    scheme = urlsplit(text).scheme.lower() if "://" in text else ""
    if scheme:
        if scheme not in _SCHEMES:
            raise InputError(f"Addresses with {scheme}:// are not supported.", f"Use {', '.join(_SCHEMES)}.")
        return LiveSource("address", text)
    if text.isdecimal():
        text = f"/dev/video{text}" if sys.platform == "linux" else text
        if sys.platform != "linux":
            return LiveSource("camera", text)
    path = Path(text)
    if not path.exists():
        raise InputError(
            f"There is no camera or file {text!r}.", "Give a camera's number, an rtsp:// or http:// address, or a file."
        )
    return LiveSource("camera" if stat.S_ISCHR(path.stat().st_mode) else "file", str(path.absolute()))


@dataclass(frozen=True)
class LiveFrame(Frame):
    """A frame of a live source."""

    due_s: float = 0.0
    """When it was due, by ``time.monotonic``; the start of its latency."""


class LiveReader:
    """Iterate over the frames of a live source; use it in a ``with`` block.

    The clock starts with the iteration. Frames queue up for a slow consumer: read them in a separate thread and
    keep the newest (as ``LiveStream`` does). ``close`` ends the iteration and may be called from another thread.

    Args:
        source: From ``parse_source``.
        limits: Bounds on the media and on the decoder's resources.
        on_note: Called with a message when the source is lost and when it is back.

    Raises:
        InputError: The source cannot be opened.
    """

    def __init__(
        self,
        source: LiveSource,
        limits: MediaLimits = DEFAULT_LIMITS,
        on_note: Callable[[str], object] = lambda note: None,
    ) -> None:
        self._source, self._limits, self._on_note = source, limits, on_note
        self.offered = 0
        """Frames due since the clock started, whether decoded or not."""
        self.num_reconnects = 0
        self.warnings: list[str] = []
        self._is_closed = threading.Event()
        self._size: tuple[int, int] | None = None
        self._child = _Child(source, None, limits)
        try:
            self.fps = self._child.fps
            self._size = self._child.image_size
            check_smallest_side(self._size)
            self.first: np.ndarray = self._child.next_frame(self._size)[1]
            """``H W 3`` uint8, a frame from before the start of the clock, to warm up with."""
        except BaseException:
            self._child.close()
            raise

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of every frame, upright."""
        assert self._size is not None
        return self._size

    def __iter__(self) -> Iterator[LiveFrame]:
        """Start the clock and yield frames, the oldest first, until the end of a file or ``close``.

        Raises:
            MediaDecodeError: A file cannot be decoded to its end.
        """
        index, start_s = 0, None
        while not self._is_closed.is_set():
            offered_before = self.offered
            try:
                self._child.start_clock()
                while True:
                    message, image = self._child.next_frame(self.image_size)
                    self.offered = offered_before + int(message.get("offered", 0))
                    if message["type"] == "end":
                        break
                    if message["type"] == "frame":
                        due_s = float(message["due_s"])
                        start_s = due_s if start_s is None else start_s
                        is_file = not self._source.comes_back
                        time_s = float(message["time_s"]) if is_file else due_s - start_s
                        frame_index = int(message["frame_index"]) if is_file else index
                        yield LiveFrame(image, frame_index, time_s, due_s=due_s)
                        index += 1
                self.warnings = [str(text) for text in message.get("warnings", [])]
                problem = "The stream ended."
            except (MediaDecodeError, UnsupportedMediaError) as error:
                problem = error.message
                if not self._source.comes_back and not self._is_closed.is_set():
                    raise
            if self._is_closed.is_set() or not self._source.comes_back:
                return
            self._open_again(problem)

    def _open_again(self, problem: str) -> None:
        self._on_note(f"{problem} Trying again.")
        while not self._is_closed.wait(_RETRY_S):
            self._child.close()
            with suppress(InputError):
                self._child = _Child(self._source, self._size, self._limits)
                if self._is_closed.is_set():
                    self._child.close()
                    return
                self._child.next_frame(self.image_size)
                self.num_reconnects += 1
                self._on_note("The source is back.")
                return

    def close(self) -> None:
        """End the decoder process and the iteration."""
        self._is_closed.set()
        self._child.close()

    def __enter__(self) -> LiveReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Child:
    """One decoder process."""

    def __init__(self, source: LiveSource, size: tuple[int, int] | None, limits: MediaLimits) -> None:
        request = {
            "kind": source.kind,
            "source": source.name,
            "size": size,
            "max_side_px": MAX_SIDE_PX,
            "limits": limits.to_dict(),
        }
        self._limits = limits
        self._lock = threading.Lock()
        self._process = start_child("human3r.video.live.worker", request, keeps_input=True)
        try:
            message, _ = self._receive(_FIRST_FRAME_S)
            height, width = message["image_size"]
            self.image_size, self.fps = (int(height), int(width)), float(message["fps"])
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            raise MediaDecodeError("The decoder sent an invalid message.", "Try another source.") from error
        except BaseException:
            self.close()
            raise

    def start_clock(self) -> None:
        """Start the clock."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # the process has ended; the next read reports it
            self._process.stdin.write(b"go\n")

    def next_frame(self, size: tuple[int, int]) -> tuple[dict[str, Any], np.ndarray]:
        """Return the next message and, for a frame, its image; raises ``MediaDecodeError`` if there is none."""
        message, body = self._receive(self._limits.silence_s)
        image = np.frombuffer(body, dtype=np.uint8)
        if message.get("type") != "frame":
            return message, image
        if image.size != size[0] * size[1] * 3:
            raise MediaDecodeError("The decoder sent a frame of the wrong size.", "Try another source.")
        return message, image.reshape(*size, 3)

    def _receive(self, patience_s: float) -> tuple[dict[str, Any], bytearray]:
        try:
            with self._lock:
                message, body = read_message(lambda size: self._read(size, patience_s), 3 * self._limits.frame_pixels)
        except FramingError as error:
            raise MediaDecodeError("The decoder sent an invalid message.", "Try another source.") from error
        if message.get("type") == "error":
            raise error_from(*(str(message.get(name)) for name in ("code", "message", "remedy")))
        return message, body

    def _read(self, size: int, patience_s: float) -> bytearray:
        def wait(descriptor: int) -> None:
            if not is_readable(descriptor, patience_s):
                raise MediaDecodeError(f"The source delivered nothing for {patience_s:.0f} s.", "Check it.")

        try:
            return read_exactly(self._process, size, wait)
        except EOFError as error:
            raise MediaDecodeError("The decoder of the source ended.", "Check it.") from error
        except ValueError as error:
            raise MediaDecodeError("The source was closed.") from error

    def close(self) -> None:
        """End the process and close its pipes."""
        self._process.kill()
        with self._lock:  # a reading thread finds the end of the stream first
            end_child(self._process)
