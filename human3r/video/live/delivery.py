"""What the decoder process of a live source says and hears: frames and heartbeats out, the start of the clock in."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image

from human3r.video.framing import write_message
from human3r.video.sources.source_frame import SourceFrame, fit

BEAT_S = 0.5
"""Longest silence while the source runs, seconds."""
_WARM_UP_S = 600.0
"""Longest time between opening a source and the start of the clock."""


class Output:
    """Standard output: frames and heartbeats, each with the number of frames due so far."""

    def __init__(self, stream: BinaryIO, max_side_px: int, size: tuple[int, int] | None) -> None:
        self._stream, self._max_side_px, self._size = stream, max_side_px, size
        self._last_s = time.monotonic()

    def info(self, image_size: tuple[int, int], fps: float) -> None:
        """Announce the source; all frames are scaled to (height, width)."""
        self._size = self._size or reduced_size(image_size, self._max_side_px)
        write_message(self._stream, {"type": "info", "image_size": self._size, "fps": fps})

    def frame(self, frame: SourceFrame, due_s: float, offered: int) -> None:
        """Write one frame."""
        assert self._size is not None
        image = frame.image if frame.image.shape[:2] == self._size else _scaled(frame.image, self._size)
        header = {"type": "frame", "frame_index": frame.index, "time_s": frame.time_s}
        write_message(
            self._stream, {**header, "due_s": due_s, "offered": offered}, np.ascontiguousarray(image).data.cast("B")
        )
        self._last_s = time.monotonic()

    def beat(self, offered: int) -> None:
        """Write a heartbeat if nothing was written for a while."""
        if time.monotonic() - self._last_s >= BEAT_S:
            write_message(self._stream, {"type": "progress", "offered": offered})
            self._last_s = time.monotonic()

    def end(self, offered: int, warnings: Sequence[str] = ()) -> None:
        """Announce the end of the source."""
        write_message(self._stream, {"type": "end", "offered": offered, "warnings": list(warnings)})


class Go:
    """Waits for the second line on standard input, which starts the clock; its end means that the parent has ended."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._happened = stream, threading.Event()
        self.is_owner_gone = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        self.is_owner_gone = not self._stream.readline()
        self._happened.set()

    @property
    def has_come(self) -> bool:
        """Whether the clock runs."""
        return self._happened.is_set()

    def wait(self) -> bool:
        """Wait for the start; False if the parent has ended."""
        return self._happened.wait(_WARM_UP_S) and not self.is_owner_gone


def reduced_size(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """Return (height, width) scaled down to a longer side of at most ``max_side_px``."""
    scale = min(1.0, max_side_px / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale to ``size``, with borders if the aspect differs."""
    if abs(image.shape[0] * size[1] - image.shape[1] * size[0]) <= max(size):
        return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return fit(image, size)
