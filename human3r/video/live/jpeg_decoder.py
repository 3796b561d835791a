"""Decode JPEG images of a stream in an isolated process, and write them to a Motion JPEG file without decoding."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np

from human3r.child_process import end_child, is_readable, read_exactly, start_child
from human3r.errors import MediaDecodeError
from human3r.video.framing import FramingError, read_message, write_message
from human3r.video.limits import MediaLimits

_PATIENCE_S = 10.0
_TICKS_PER_S = 1000


class JpegDecoder:
    """Decodes images of unknown origin; use it in a ``with`` block, from one thread.

    A decoder that ended is restarted.
    """

    def __init__(self, limits: MediaLimits) -> None:
        self._limits = limits
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return start_child("human3r.video.live.jpeg_worker", self._limits.to_dict(), keeps_input=True)

    def decode(self, encoded: bytes) -> np.ndarray:
        """Return an image as ``H W 3`` uint8 RGB.

        Raises:
            MediaDecodeError: Damaged, too large, or no image.
        """
        if self._process.poll() is not None:
            self.close()
            self._process = self._start()
        try:
            assert self._process.stdin is not None
            write_message(cast("io.BufferedWriter", self._process.stdin), {}, encoded)
            message, body = read_message(self._read, 3 * self._limits.frame_pixels)
            if "error" in message:
                raise MediaDecodeError(str(message["error"]))
            height, width = (int(side) for side in message["size"])
            return np.frombuffer(body, np.uint8).reshape(height, width, 3)
        except (OSError, EOFError, FramingError, KeyError, TypeError, ValueError) as error:
            self._process.kill()
            raise MediaDecodeError("The picture cannot be decoded.", "Send another one.") from error

    def _read(self, size: int) -> bytearray:
        def wait(descriptor: int) -> None:
            if not is_readable(descriptor, _PATIENCE_S):
                raise OSError("the decoder does not answer")

        return read_exactly(self._process, size, wait)

    def close(self) -> None:
        """End the process."""
        end_child(self._process)

    def __enter__(self) -> JpegDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class JpegMovie:
    """Writes JPEG images with their times as Motion JPEG, without decoding them."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        import av

        self._container = av.open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream("mjpeg", rate=30)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuvj420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        self._last = -1

    def add(self, encoded: bytes, time_s: float) -> None:
        """Add an image; times ascend."""
        import av

        packet = av.Packet(encoded)
        self._last = max(self._last + 1, round(time_s * _TICKS_PER_S))
        packet.pts = packet.dts = self._last
        packet.stream, packet.time_base, packet.is_keyframe = self._stream, Fraction(1, _TICKS_PER_S), True
        self._container.mux(packet)

    def close(self) -> None:
        """Finish the file."""
        self._container.close()


@contextmanager
def jpeg_movie(path: Path, size: tuple[int, int]) -> Iterator[JpegMovie]:
    """Open a ``JpegMovie`` of (height, width) images for the length of a ``with`` block."""
    movie = JpegMovie(path, size)
    try:
        yield movie
    finally:
        movie.close()
