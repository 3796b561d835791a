"""Hundreds of damaged clips and images: frames or a typed error for each, no dead process, no hang.

    python tests/hostile/mutations.py 520 [--first N]

Encodes a small clip in every container and picture format that this build can write, damages copies of them by seed,
and reads each to the end with a decoder of its own, under the limits of a visitor's clip. Prints one row per format;
exit code 1 if anything but frames or an ``InputError`` came out, a decoder was ended by a signal, or an input took more
than 30 s or more than 5 s of processor time.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import av
import numpy as np
from PIL import Image

from human3r.errors import InputError
from human3r.video.limits import MediaLimits
from human3r.video.reader import FrameReader

MAX_WALL_S, MAX_CPU_S = 30.0, 5.0
_NUM_FRAMES, _SIZE = 12, (48, 64)
_VIDEOS = {
    "h264.mp4": ("libx264", "yuv420p", {}),
    "hevc.mp4": ("libx265", "yuv420p", {}),
    "fragmented.mp4": ("libx264", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "h264.mov": ("libx264", "yuv420p", {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}),
    "h264.mkv": ("libx264", "yuv420p", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {}),
    "vp8.webm": ("libvpx", "yuv420p", {}),
    "av1.mp4": ("libsvtav1", "yuv420p", {}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {}),
    "h264.m2ts": ("libx264", "yuv420p", {}),
    "mpeg1.mpg": ("mpeg1video", "yuv420p", {}),
    "flv1.flv": ("flv", "yuv420p", {}),
    "wmv2.wmv": ("wmv2", "yuv420p", {}),
    "h263.3gp": ("h263", "yuv420p", {}),
    "raw.h264": ("libx264", "yuv420p", {}),
}
_PICTURES = {
    "still.jpg": "JPEG",
    "still.png": "PNG",
    "still.tiff": "TIFF",
    "still.bmp": "BMP",
    "still.avif": "AVIF",
    "moving.gif": "GIF",
    "moving.webp": "WEBP",
    "moving.png": "PNG",
}


@dataclass(frozen=True)
class Reading:
    """What reading one input gave and cost."""

    outcome: str
    """``frames``, the name of a typed error, ``signal``, or the name of any other exception."""
    wall_s: float
    cpu_s: float
    """Of this process and the decoder."""

    @property
    def is_good(self) -> bool:
        """Frames or a typed error, in time."""
        is_typed = self.outcome == "frames" or self.outcome.endswith("Error!")
        return is_typed and self.wall_s <= MAX_WALL_S and self.cpu_s <= MAX_CPU_S


def _images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (_NUM_FRAMES, _SIZE[0] // 8, _SIZE[1] // 8, 3), dtype=np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2))


def _video(folder: Path, name: str) -> bytes:
    codec, pix_fmt, options = _VIDEOS[name]
    path = folder / name
    size = (96, 128) if codec == "h263" else _SIZE
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        for image in _images():
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    if codec == "libsvtav1" and hasattr(os, "sched_setscheduler"):
        # As root, SVT-AV1 gives the calling thread the highest real-time priority: all other processes would starve.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path.read_bytes()


def _picture(name: str) -> bytes:
    first, *others = [Image.fromarray(image) for image in _images()]
    options = {"save_all": True, "append_images": others, "duration": 40} if name.startswith("moving") else {}
    stream = io.BytesIO()
    first.save(stream, _PICTURES[name], **options)
    return stream.getvalue()


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.png", _picture("still.png"))
    return stream.getvalue()


@cache
def healthy_inputs() -> dict[str, bytes]:
    """Return every input that this build of the libraries can write, by name."""
    found: dict[str, bytes] = {"pictures.zip": _zip()}
    with tempfile.TemporaryDirectory() as folder:
        makers: dict[str, Callable[[], bytes]] = {name: partial(_video, Path(folder), name) for name in _VIDEOS}
        makers |= {name: partial(_picture, name) for name in _PICTURES}
        for name, make in makers.items():
            try:
                found[name] = make()
            except (av.FFmpegError, ValueError, KeyError, OSError) as error:
                print(f"{name} cannot be written here ({type(error).__name__})", file=sys.stderr)
    return found


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a damaged copy."""
    changed, kind = bytearray(content), int(rng.integers(7))
    head = min(len(content), 4096 if rng.integers(2) else len(content))
    if kind == 0:  # some bytes
        for place in rng.integers(4, head, int(rng.integers(1, 40))):
            changed[place] = int(rng.integers(256))
    elif kind == 1:  # an end that is missing
        del changed[int(rng.integers(1, len(changed))) :]
    elif kind == 2:  # a gap
        start = int(rng.integers(4, len(changed)))
        del changed[start : start + int(rng.integers(1, 1 + len(changed) // 4))]
    elif kind == 3:  # a repetition
        start = int(rng.integers(4, len(changed)))
        part = changed[start : start + int(rng.integers(1, 1 + len(changed) // 4))]
        changed[start:start] = part * int(rng.integers(1, 20))
    elif kind == 4:  # extreme sizes and counts
        for place in rng.integers(4, max(5, head - 4), int(rng.integers(1, 6))):
            value = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00FFFFFF]))
            changed[place : place + 4] = struct.pack(">I" if rng.integers(2) else "<I", value)
    elif kind == 5:  # a hole of zeros
        start = int(rng.integers(4, len(changed)))
        end = min(len(changed), start + int(rng.integers(1, 1 + len(changed) // 2)))
        changed[start:end] = bytes(end - start)
    else:  # the end of another file
        other = list(healthy_inputs().values())[int(rng.integers(len(healthy_inputs())))]
        changed[int(rng.integers(8, len(changed))) :] = other[int(rng.integers(len(other))) :]
    return bytes(changed)


def inputs(count: int, first: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield (name of the format, damaged content), the formats in turn."""
    names = sorted(healthy_inputs())
    for seed in range(first, first + count):
        name = names[seed % len(names)]
        yield name, damaged(healthy_inputs()[name], np.random.default_rng(seed))


def read(path: Path) -> Reading:
    """Read a file to the end."""
    started_s, cpu_s = time.monotonic(), _cpu_s()
    try:
        with FrameReader(path, limits=MediaLimits()) as reader:
            for _ in reader:
                pass
        outcome = "frames"
    except InputError as error:
        outcome = "signal" if "by signal" in error.message else f"{type(error).__name__}!"
    except Exception as error:
        outcome = type(error).__name__
    return Reading(outcome, time.monotonic() - started_s, _cpu_s() - cpu_s)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=520)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    options = parser.parse_args()
    readings: dict[str, list[Reading]] = {}
    num_bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, content) in enumerate(inputs(options.count, options.first)):
            path = Path(folder) / name
            path.write_bytes(content)
            reading = read(path)
            readings.setdefault(name, []).append(reading)
            if not reading.is_good:
                num_bad += 1
                print(f"seed {options.first + number}, {name}: {reading}", file=sys.stderr)
    print(f"{'format':<16}{'inputs':>7}{'frames':>8}{'errors':>8}{'wall s':>8}{'CPU s':>7}  errors by type")
    for name, own in readings.items():
        kinds = Counter(each.outcome.rstrip("!") for each in own if each.outcome != "frames")
        frames = sum(each.outcome == "frames" for each in own)
        worst = max(each.wall_s for each in own), max(each.cpu_s for each in own)
        said = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())
        print(f"{name:<16}{len(own):>7}{frames:>8}{len(own) - frames:>8}{worst[0]:>8.1f}{worst[1]:>7.1f}  {said}")
    total = [each for own in readings.values() for each in own]
    print(f"{len(total)} inputs, {num_bad} bad, worst {max(each.wall_s for each in total):.1f} s wall")
    return 1 if num_bad else 0


if __name__ == "__main__":
    sys.exit(main())
