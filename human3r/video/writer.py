"""Write frames to an H.264 MP4 that every browser plays: yuv420p, even size, index in front, whole or absent."""

from __future__ import annotations

import os
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from human3r.errors import DiskFullError, InputError
from human3r.temporary import temporary_file

_CLOCK = 90_000
"""Ticks per second of the time stamps; divides all usual frame rates. Source: ISO/IEC 13818-1 (MPEG clock)."""


class VideoWriter:
    """Append frames in a ``with`` block, whose end publishes the file under its name.

    Args:
        path: The MP4 to write.
        fps: Frames per second, unless ``append`` is given times.
        quality: x264's constant rate factor; lower is better, with larger files.

    Raises:
        InputError: The frame rate is not positive.
    """

    def __init__(self, path: str | Path, fps: float, quality: int = 20) -> None:
        if not 0 < fps <= 1000:
            raise InputError(f"The frame rate is {fps}; it must be more than 0.")
        import av

        self._path = Path(path)
        self._stack = ExitStack()
        self._temporary = self._stack.enter_context(temporary_file(self._path))
        self._container = av.open(str(self._temporary), mode="w", format="mp4", options={"movflags": "+faststart"})
        self._fps, self._quality = fps, quality
        self._stream = None
        self._last_pts = -1
        self.num_frames = 0

    def append(self, image: np.ndarray, time_s: float | None = None) -> None:
        """Add one frame.

        Args:
            image: ``H W 3`` uint8 RGB; an odd last row or column is cut off.
            time_s: Presentation time in seconds; None is the next tick of ``fps``.
        """
        import av

        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        if min(height, width) < 2:
            image = np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)
            height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        try:
            if self._stream is None:
                self._stream = self._add_stream(height, width)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
            seconds = self.num_frames / self._fps if time_s is None else time_s
            frame.pts = max(round(seconds * _CLOCK), self._last_pts + 1)
            frame.time_base = Fraction(1, _CLOCK)
            self._last_pts = frame.pts
            self._container.mux(self._stream.encode(frame))
        except OSError as error:
            raise _disk_error(self._path, error) from error
        self.num_frames += 1

    def _add_stream(self, height: int, width: int):
        rate = Fraction(self._fps).limit_denominator(1001)
        options = {"crf": str(self._quality), "preset": "veryfast", "tune": "zerolatency"}
        stream = self._container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        stream.codec_context.thread_count = 2
        return stream

    def close(self) -> None:
        """Finish and publish the file; without frames there is none."""
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if self.num_frames:
                with self._temporary.open("rb") as written:
                    os.fsync(written.fileno())
                self._temporary.chmod(0o644)
                self._temporary.replace(self._path)
        except OSError as error:
            raise _disk_error(self._path, error) from error
        finally:
            self._stack.close()

    def abort(self) -> None:
        """Discard the file."""
        try:
            self._container.close()
        except OSError:
            # The trailer of a discarded file could not be written.
            self.num_frames = 0
        finally:
            self._stack.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _disk_error(path: Path, error: OSError) -> DiskFullError:
    return DiskFullError(
        f"Could not write {path.name}: {error.strerror or type(error).__name__}.",
        "Free some space or choose another folder.",
    )
