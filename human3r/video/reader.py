"""Read a clip frame by frame from an isolated decoder process.

The parent's side of ``decode_worker``: starts it, bounds its silence, turns its messages into frames and typed errors,
and always ends it. Only one frame is in memory; a slow consumer blocks the decoder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from human3r.child_process import end_child, is_readable, read_exactly, start_child
from human3r.errors import MediaDecodeError, MediaTooLargeError, error_from
from human3r.records import Frame
from human3r.video.clip_info import ClipInfo
from human3r.video.framing import FramingError, read_message
from human3r.video.limits import DEFAULT_LIMITS, MediaLimits
from human3r.video.orientation import turned
from human3r.video.sampling import Sampling

_POLL_S = 1.0
_MAX_WAIT_FACTOR = 20


class FrameReader:
    """Iterate over the chosen frames of a clip; use it in a ``with`` block.

    Args:
        path: Video, GIF, image, folder of images or zip of images.
        sampling: Which frames to deliver; all by default.
        limits: Bounds on the media and on the decoder's resources.
        probe_only: Measure the clip and deliver no frames.
        rotate: Additional clockwise rotation: 0, 90, 180 or 270 degrees.

    Raises:
        InputError: The clip is missing, unsupported, too large or damaged.
    """

    info: ClipInfo
    """Facts measured before the first frame."""

    def __init__(
        self,
        path: str | Path,
        sampling: Sampling | None = None,
        limits: MediaLimits = DEFAULT_LIMITS,
        probe_only: bool = False,
        rotate: int = 0,
    ) -> None:
        self._limits = limits
        self._turn = turned(rotate)
        self.warnings: list[str] = []
        self.num_delivered = 0
        self.processor_s = 0.0
        """Processor time of the decoder without its start; known after the last frame."""
        request = {
            "path": str(Path(path).absolute()),
            "sampling": asdict(sampling or Sampling()),
            "limits": limits.to_dict(),
            "probe_only": probe_only,
        }
        self._process = start_child("human3r.video.decode_worker", request)
        try:
            message, _ = self._receive()
            info = ClipInfo.from_dict({name: value for name, value in message.items() if name != "type"})
            self._decoded_size = info.image_size
            self.info = replace(info, image_size=self._turn.size(*info.image_size))
            self.warnings = list(self.info.warnings)
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            raise MediaDecodeError("The decoder sent an invalid message.", "Export the clip again.") from error
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in presentation order.

        Damage after the first frame ends the iteration with a warning.

        Raises:
            MediaDecodeError: Nothing could be decoded.
        """
        previous_index = -1
        while True:
            try:
                message, body = self._receive()
            except MediaTooLargeError:
                raise
            except MediaDecodeError as error:
                if self.num_delivered == 0:
                    raise
                self.warnings.append(f"Decoding stopped after {self.num_delivered} frames: {error.message}")
                return
            if message["type"] == "end":
                self.warnings = [str(text) for text in message.get("warnings", [])]
                self.processor_s = float(message.get("processor_s", 0.0))
                return
            frame = self._to_frame(message, body)
            if frame.frame_index <= previous_index:
                raise MediaDecodeError("The decoder sent an invalid message.", "Export the clip again.")
            previous_index = frame.frame_index
            self.num_delivered += 1
            yield frame

    def _to_frame(self, message: dict[str, Any], body: bytearray) -> Frame:
        image = np.frombuffer(body, dtype=np.uint8)
        height, width = self._decoded_size
        if image.size != height * width * 3:
            raise MediaDecodeError("The decoder sent a frame of the wrong size.", "Export the clip again.")
        index, time_s, name = int(message["frame_index"]), float(message["time_s"]), str(message["name"])
        begins_shot = bool(message.get("begins_shot"))
        return Frame(self._turn.apply(image.reshape(height, width, 3)), index, time_s, name, begins_shot)

    def _receive(self) -> tuple[dict[str, Any], bytearray]:
        """Return the next message other than signs of progress."""
        message, body = {"type": "progress"}, bytearray()
        while message.get("type") == "progress":
            try:
                message, body = read_message(self._read_exactly, max_body=3 * self._limits.frame_pixels)
            except FramingError as error:
                raise MediaDecodeError("The decoder sent an invalid message.", "Export the clip again.") from error
        if message.get("type") == "error":
            raise error_from(*(str(message.get(name)) for name in ("code", "message", "remedy")))
        return message, body

    def _read_exactly(self, size: int) -> bytearray:
        limit_s = self._limits.silence_s
        silence = _Silence(self._process.pid, limit_s)

        def wait(descriptor: int) -> None:
            while not is_readable(descriptor, min(limit_s, _POLL_S)):
                if silence.is_over_the_limit():
                    message = f"The decoder delivered nothing for {limit_s:.0f} s."
                    raise MediaDecodeError(message, "Export the clip again.")

        try:
            return read_exactly(self._process, size, wait)
        except EOFError as error:
            raise MediaDecodeError(_describe_end(self._process.wait()), "Export the clip again.") from error

    def close(self) -> None:
        """End the decoder process and close its pipes."""
        end_child(self._process)

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def probe(path: str | Path, limits: MediaLimits = DEFAULT_LIMITS) -> ClipInfo:
    """Measure size, rotation, rate and length of a clip, and collect warnings, in the decoder process.

    Raises:
        InputError: The clip is missing, unsupported, too large or damaged; the message has value and limit.
    """
    with FrameReader(path, limits=limits, probe_only=True) as reader:
        return reader.info


class _Silence:
    """Time since the decoder last delivered anything: its processor time, which does not depend on the machine's load.

    Wall time is used if that cannot be measured, and bounds a decoder that is itself waiting.
    """

    def __init__(self, pid: int, limit_s: float) -> None:
        self._pid, self._limit_s = pid, limit_s
        self._started_s, self._processor_s = time.monotonic(), _processor_s(pid)

    def is_over_the_limit(self) -> bool:
        now_s, waited_s = _processor_s(self._pid), time.monotonic() - self._started_s
        if now_s is None or self._processor_s is None:
            return waited_s > self._limit_s
        return now_s - self._processor_s > self._limit_s or waited_s > _MAX_WAIT_FACTOR * self._limit_s


def _processor_s(pid: int) -> float | None:
    """Return the processor time of a process so far; None if the system does not report it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # User and system time in clock ticks. Source: proc(5).
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _describe_end(code: int) -> str:
    if code < 0:
        return f"The decoder was ended by signal {-code} while reading this file."
    return "The decoder ended in the middle of this file."
