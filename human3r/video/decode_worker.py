"""The decoder process: opens one clip under resource limits and writes its frames to standard output.

Started by ``reader.FrameReader``, one per clip. A file that crashes, floods or hangs the decoder costs only this
process. The request is one JSON line on standard input.
"""

from __future__ import annotations

import json
import stat
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from human3r.child_process import restrict_process
from human3r.errors import Human3RError, InputError, MediaDecodeError, MediaTooLargeError, UnsupportedMediaError
from human3r.video.framing import write_message
from human3r.video.limits import MEGABYTE, MediaLimits, check_file_size
from human3r.video.sampling import Sampling
from human3r.video.sniff import read_head, sniff

_BEAT_S = 1.0
"""Time between two signs of life, seconds."""
_KNOWN = "Give a video (MP4, MOV, MKV, WebM, AVI), a GIF, an image or a zip of images."


def open_source(path: Path, sampling: Sampling, limits: MediaLimits, beat: Callable[[], None], stack: ExitStack):
    """Open a clip of any kind; the source has ``info``, ``warnings`` and ``frames()``, and calls ``beat`` meanwhile.

    Raises:
        InputError: The clip is missing, of an unknown kind, too large or damaged.
    """
    # Imported after the limits are set, so that they hold for the libraries from the start.
    from human3r.video.sources.gif import as_in_browsers
    from human3r.video.sources.image import open_folder, open_image, open_zip
    from human3r.video.sources.video import VideoSource

    if _is_folder(path):
        return open_folder(path, sampling, limits, beat)
    stream = _open_regular_file(path, limits, stack)
    found = sniff(read_head(stream))
    if found is None:
        raise UnsupportedMediaError("The file is not a video or image of a known kind, whatever its name.", _KNOWN)
    kind, name = found
    if kind == "image":
        return open_image(stream, sampling, limits, beat)
    if kind == "zip":
        return open_zip(stream, sampling, limits, beat)
    if name == "gif":
        stream = as_in_browsers(stream)
    return VideoSource(stream, name, sampling, limits, beat)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise InputError(f"There is no file {path.name[:80]!r}.", "Check the path.") from error


def _open_regular_file(path: Path, limits: MediaLimits, stack: ExitStack) -> BinaryIO:
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        raise InputError(f"There is no file {path.name!r}.", "Check the path.") from error
    if not stat.S_ISREG(facts.st_mode):
        raise UnsupportedMediaError(f"{path.name!r} is not a regular file.", _KNOWN)
    if facts.st_size == 0:
        raise UnsupportedMediaError("The file is empty (0 bytes).", "Export or upload it again.")
    check_file_size(facts.st_size, limits)
    try:
        return stack.enter_context(path.open("rb"))
    except OSError as error:
        raise InputError(f"The file {path.name!r} cannot be read.", "Check its permissions.") from error


class _Heartbeat:
    """Signals progress to the parent while there is no frame to deliver."""

    def __init__(self, output: BinaryIO) -> None:
        self._output, self._last_s = output, time.monotonic()

    def __call__(self) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s >= _BEAT_S:
            self._last_s = now_s
            write_message(self._output, {"type": "progress"})


def _serve(request: dict[str, Any], output: BinaryIO) -> None:
    limits = MediaLimits(**request["limits"])
    with ExitStack() as stack:
        sampling = Sampling(**request["sampling"])
        source = open_source(Path(request["path"]), sampling, limits, _Heartbeat(output), stack)
        write_message(output, {"type": "info", **source.info.to_dict(), "warnings": source.warnings})
        num_frames, started = 0, time.process_time()
        if not request["probe_only"]:
            for frame in source.frames():
                header = {"type": "frame", "frame_index": frame.index, "time_s": frame.time_s, "name": frame.name}
                header["begins_shot"] = frame.begins_shot
                write_message(output, header, frame.image.data.cast("B"))
                num_frames += 1
        seconds = time.process_time() - started
        end = {"type": "end", "num_frames": num_frames, "warnings": source.warnings, "processor_s": seconds}
        write_message(output, end)


def _as_human3r_error(error: Exception, limits: MediaLimits) -> Human3RError:
    if isinstance(error, Human3RError):
        return error
    if isinstance(error, MemoryError):
        return MediaTooLargeError(
            f"Decoding needs more than {limits.child_memory_bytes / MEGABYTE:.0f} MB of memory.", "Scale the clip down."
        )
    return MediaDecodeError(f"The clip cannot be decoded ({type(error).__name__}).", "Export it again.")


def main() -> int:
    """Serve one request; errors are sent as messages."""
    request = json.loads(sys.stdin.buffer.readline())
    limits = MediaLimits(**request["limits"])
    restrict_process({"AS": limits.child_memory_bytes, "CPU": limits.child_cpu_s, "FSIZE": 0})
    output = sys.stdout.buffer
    try:
        _serve(request, output)
    except BrokenPipeError:
        return 1
    except Exception as error:
        known = _as_human3r_error(error, limits)
        with suppress(OSError):
            message = {"type": "error", "code": known.code, "message": known.message, "remedy": known.remedy}
            write_message(output, message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
