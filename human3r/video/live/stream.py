"""Decode a camera or a network stream with PyAV. Runs inside the decoder process only (see ``live.worker``).

A frame is due when it arrives. A source that arrives faster than its own clock, such as a file behind an address, is
played at the pace of its stamps.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from human3r.errors import MediaDecodeError, UnsupportedMediaError
from human3r.video.limits import MediaLimits, check_frame_size
from human3r.video.live.delivery import Go, Output
from human3r.video.sources.container import reason
from human3r.video.sources.source_frame import FrameShape, SourceFrame, opaque

_OPEN_S, _READ_S = 10.0, 10.0
"""Longest waits for a source to answer, and for its next packet, seconds."""
_MAX_EARLY_S = 1.0
_JUDGED_S = 30.0
"""A stream this far ahead of its own clock within this time is a file rather than a clock that runs fast, seconds."""
_DEFAULT_FPS = 30.0
_CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
_ADDRESS_OPTIONS = {
    "protocol_whitelist": "http,https,tcp,tls,crypto,rtsp,rtp,udp",
    "rtsp_transport": "tcp",
    "flags": "low_delay",
}


def play_stream(kind: str, source: str, limits: MediaLimits, output: Output, go: Go) -> None:
    """Deliver every frame of a camera (``kind`` camera) or an address (``kind`` address) as it arrives."""
    opened = _open_camera(source) if kind == "camera" else _open_address(source)
    with opened as container:
        if not container.streams.video:
            raise UnsupportedMediaError("The source has no picture stream.", "Give a camera or a video stream.")
        video = container.streams.video[0]
        video.thread_type, video.codec_context.thread_count = "SLICE", 2  # frame threads would add delay
        try:
            _deliver(container.decode(video), video, limits, output, go)
        except FFmpegError as error:
            raise MediaDecodeError(f"The source was lost ({reason(error)}).", "Check it.") from error


def _deliver(frames: Iterator[av.VideoFrame], video: VideoStream, limits: MediaLimits, output: Output, go: Go) -> None:
    index, start_s, clock = 0, 0.0, None
    for number, frame in enumerate(frames):
        size = FrameShape(frame.height, frame.width, float(video.sample_aspect_ratio or 1) or 1.0).size
        if clock is None:
            check_frame_size(*size, limits)
            clock = _ArrivalClock(frame)
            output.info(size, _rate_of(video))
        due_s = clock.due_s(frame)
        if number == 0:
            output.frame(SourceFrame(0, 0.0, opaque(frame, size)), due_s, 0)
        if go.is_owner_gone:
            return
        if not go.has_come:
            continue
        start_s = due_s if index == 0 else start_s
        output.frame(SourceFrame(index, due_s - start_s, opaque(frame, size)), due_s, index + 1)
        index += 1
    if clock is None:
        raise MediaDecodeError("The source has no picture that can be decoded.", "Check it.")
    output.end(index)


class _ArrivalClock:
    """Determines when frames are due: on arrival, or at their time stamps if they arrive faster, as from a file."""

    def __init__(self, first: av.VideoFrame) -> None:
        self._start_s, self._start_stamp_s = time.monotonic(), first.time or 0.0
        self._is_file = False

    def due_s(self, frame: av.VideoFrame) -> float:
        """Return when a frame that just arrived is due; waits for it."""
        if frame.time is not None:  # pyright: ignore[reportUnnecessaryComparison] - PyAV declares it float
            elapsed_s, stamp_s = time.monotonic() - self._start_s, frame.time - self._start_stamp_s
            if not self._is_file and stamp_s - elapsed_s > _MAX_EARLY_S and elapsed_s < _JUDGED_S:
                self._is_file = True
                self._start_s, self._start_stamp_s, stamp_s, elapsed_s = time.monotonic(), frame.time, 0.0, 0.0
            if self._is_file and stamp_s > elapsed_s:
                time.sleep(min(stamp_s - elapsed_s, _READ_S))
        return time.monotonic()


def _rate_of(video: VideoStream) -> float:
    return float(video.average_rate or video.guessed_rate or _DEFAULT_FPS)


def _open_address(address: str):
    options = dict(_ADDRESS_OPTIONS)
    if not address.startswith("rtsp"):
        del options["rtsp_transport"]
    return _opened(address, None, options)


@contextmanager
def _open_camera(device: str) -> Iterator[InputContainer]:
    """Open a camera with PyAV where its FFmpeg has the device, else with the program ``ffmpeg``."""
    name = _CAMERA_FORMATS.get(sys.platform)
    if name is None:
        raise UnsupportedMediaError(f"Cameras are not supported on {sys.platform}.", "Give an address or a file.")
    if name in av.formats_available:
        with _opened(device, name, {"framerate": "30"}) as container:
            yield container
        return
    program = shutil.which("ffmpeg")
    if program is None:
        raise UnsupportedMediaError(
            f"The installed PyAV has no {name} and there is no ffmpeg.", "Install ffmpeg, or give an address."
        )
    # FFmpeg's raw container, without encoding.
    command = [program, "-loglevel", "quiet", "-f", name, "-i", device, "-an", "-c:v", "copy", "-f", "nut", "pipe:1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # noqa: S603 - fixed options
    try:
        with _opened(process.stdout, "nut", {}) as container:
            yield container
    finally:
        process.kill()
        process.wait()


@contextmanager
def _opened(source: object, name: str | None, options: dict[str, str]) -> Iterator[InputContainer]:
    try:
        container = av.open(source, "r", format=name, options=options, timeout=(_OPEN_S, _READ_S))
    except (FFmpegError, OSError, ValueError) as error:
        raise MediaDecodeError(
            f"The source cannot be opened ({reason(error)}).", "Check that it is connected and not in use."
        ) from error
    with container:
        yield container
