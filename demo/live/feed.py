"""Images of a visitor's camera for the model: at most one waits, and a lost socket may be resumed."""

from __future__ import annotations

import math
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from human3r import InputError, JpegDecoder, LiveFrame

MAX_PICTURE_BYTES = 1_000_000
_HEADER = struct.Struct("<d")
_POLL_S = 0.2


@dataclass(frozen=True)
class Picture:
    """One received image."""

    encoded: bytes
    """JPEG."""
    time_s: float
    """Capture time by the browser's clock."""
    due_s: float
    """Arrival by ``time.monotonic``."""


def read_picture(message: bytes) -> Picture:
    """Return the picture in a message of the socket: a little-endian float64 with its time in seconds, then JPEG.

    Raises:
        InputError: Not such a message, or too large.
    """
    if not _HEADER.size < len(message) <= MAX_PICTURE_BYTES:
        raise InputError(f"A picture has {len(message)} bytes; the limit is {MAX_PICTURE_BYTES}.")
    (time_s,) = _HEADER.unpack_from(message)
    if not math.isfinite(time_s):
        raise InputError("A picture has no time.")
    return Picture(message[_HEADER.size :], time_s, time.monotonic())


class Feed:
    """The newest image, and the end of the stream.

    Args:
        limit_s: Longest time from the first picture to the end, seconds.
        max_bytes: Most bytes of all pictures.
        patience_s: Longest time without a socket, or without a picture, seconds.
    """

    def __init__(self, limit_s: float, max_bytes: int, patience_s: float) -> None:
        self._limit_s, self._max_bytes, self._patience_s = limit_s, max_bytes, patience_s
        self._changed = threading.Condition()
        self._picture: Picture | None = None
        self._num_bytes = 0
        self._first_s: float | None = None
        self._lost_s: float | None = None
        self._last_s: float | None = None
        """When the last picture came, or was awaited first."""
        self._is_ended = False
        self.ended_by: str | None = None
        """Which limit ended the stream: ``time``, ``bytes`` or ``patience``; None: the visitor, or it has not ended."""
        self.num_offered = 0

    def put(self, picture: Picture) -> None:
        """Take a picture in place of the one that waits."""
        with self._changed:
            self._first_s = picture.due_s if self._first_s is None else self._first_s
            self._last_s = picture.due_s
            self._num_bytes += len(picture.encoded)
            self.num_offered += 1
            self._picture = picture
            self._changed.notify_all()

    def set_connected(self, *, is_connected: bool) -> None:
        """Record that a socket is connected or lost."""
        with self._changed:
            self._lost_s = None if is_connected else time.monotonic()

    def has_ended(self) -> bool:
        """Return whether the visitor ended the stream or has been away for too long."""
        with self._changed:
            return self._is_ended or self._reached_limit(time.monotonic()) is not None

    def end(self) -> None:
        """End the stream after the pictures on their way."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def pictures(self) -> Iterator[Picture]:
        """Yield the newest image repeatedly until the end."""
        with self._changed:
            self._last_s = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._picture is not None or self._is_ended, _POLL_S)
                self.ended_by = self._reached_limit(time.monotonic())
                if self._is_ended or self.ended_by is not None:
                    return
                picture, self._picture = self._picture, None
            if picture is not None:
                yield picture

    def _reached_limit(self, now_s: float) -> str | None:
        if self._first_s is not None and now_s - self._first_s > self._limit_s:
            return "time"
        if self._num_bytes > self._max_bytes:
            return "bytes"
        # Who holds the turn must use it: a question for the camera may stay without an answer.
        silent_s = min(one for one in (self._lost_s, self._last_s, now_s) if one is not None)
        if now_s - silent_s > self._patience_s:
            return "patience"
        return None


def decoded(feed: Feed, decoder: JpegDecoder) -> Iterator[tuple[Picture, LiveFrame]]:
    """Yield every picture with its frame, numbered in order; damaged ones, and those of another size, are dropped."""
    index, first_s, last_s, shape = 0, 0.0, -math.inf, None
    for picture in feed.pictures():
        try:
            image = decoder.decode(picture.encoded)
        except InputError:
            continue
        shape = shape or image.shape
        first_s = picture.time_s if index == 0 else first_s
        time_s = picture.time_s - first_s
        if image.shape != shape or not time_s > last_s:
            continue
        yield picture, LiveFrame(image, index, time_s, due_s=picture.due_s)
        index, last_s = index + 1, time_s
