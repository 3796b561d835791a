"""Frames of GIF and animated PNG as browsers compose them; the expected levels are those of Chromium."""

from __future__ import annotations

import io
import struct
import zlib

import pytest

from human3r.video.limits import DEFAULT_LIMITS
from human3r.video.sampling import Sampling
from human3r.video.sources.gif import as_in_browsers
from human3r.video.sources.image import open_image
from human3r.video.sources.video import VideoSource

BEHIND = (128, 128, 128)
COLORS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (240, 240, 240))


def gif_frame(place: tuple[int, int, int, int], color: int, disposal: int, delay: int = 10) -> bytes:
    """One color in (x, y, width, height)."""
    codes = [code for _ in range(place[2] * place[3]) for code in (4, color)] + [5]  # the table never grows
    number = sum(code << 3 * index for index, code in enumerate(codes))
    data = number.to_bytes(len(codes) * 3 // 8 + 1, "little")
    blocks = b"".join(bytes([len(part)]) + part for part in (data[i : i + 255] for i in range(0, len(data), 255)))
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", disposal << 2, delay, 0, 0)
    return control + b"\x2c" + struct.pack("<HHHHB", *place, 0) + b"\2" + blocks + b"\0"


def gif_of(*frames: bytes) -> bytes:
    colors = bytes(level for color in COLORS for level in color)
    return b"GIF89a" + struct.pack("<HHBBB", 16, 8, 0x81, 2, 0) + colors + b"".join(frames) + b";"


@pytest.mark.parametrize(("disposal", "left"), [(1, COLORS[0]), (2, BEHIND), (3, BEHIND)])
def test_what_is_behind_a_gif_shows_where_a_frame_was(disposal, left):
    encoded = gif_of(gif_frame((0, 0, 8, 8), 0, disposal), gif_frame((4, 0, 4, 8), 1, 1))
    stream = as_in_browsers(io.BytesIO(encoded))
    first, second = (frame.image for frame in VideoSource(stream, "gif", Sampling(), DEFAULT_LIMITS, int).frames())
    assert [tuple(first[4, x]) for x in (2, 6, 12)] == [COLORS[0], COLORS[0], BEHIND]
    assert [tuple(second[4, x]) for x in (2, 6, 12)] == [left, COLORS[1], BEHIND]


def test_frames_of_a_gif_are_not_shorter_than_in_browsers():
    stream = as_in_browsers(io.BytesIO(gif_of(*(gif_frame((0, 0, 16, 8), 0, 1, delay) for delay in (1, 0, 2, 10)))))
    times_s = VideoSource(stream, "gif", Sampling(), DEFAULT_LIMITS, int).times_s
    assert times_s == pytest.approx([0, 0.1, 0.2, 0.22])


@pytest.mark.parametrize("num_bytes", [5, 20, 30, 60])
def test_a_damaged_gif_stays_as_it_is(num_bytes):
    encoded = gif_of(gif_frame((0, 0, 16, 8), 0, 1))[:num_bytes]
    assert as_in_browsers(io.BytesIO(encoded)).getvalue() == encoded


def apng_of(*frames: tuple[tuple[int, ...], int, int], kind: tuple[int, int] = (8, 6)) -> bytes:
    """8 x 8 pixels: the bytes of a color, a disposal and a blending each; later frames cover the right half."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    chunks = [chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, *kind, 0, 0, 0))]
    chunks.append(chunk(b"acTL", struct.pack(">II", len(frames), 0)))
    for index, (color, disposal, blending) in enumerate(frames):
        width = 4 if index else 8
        control = (2 * index - (index > 0), width, 8, 8 - width, 0, 1, 10, disposal, blending)
        data = zlib.compress((b"\0" + bytes(color) * width) * 8)
        chunks.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", *control)))
        chunks.append(chunk(b"fdAT", struct.pack(">I", 2 * index) + data) if index else chunk(b"IDAT", data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("disposal", "blending", "third"),
    [(0, 1, (65, 97, 33)), (1, 1, (64, 128, 64)), (2, 1, (65, 97, 33)), (0, 0, (64, 128, 64))],
)
def test_half_transparent_frames_of_an_animated_png_are_blended(disposal, blending, third):
    encoded = apng_of(((130, 66, 66, 255), 0, 0), ((0, 0, 0, 0), disposal, blending), ((0, 128, 0, 128), 0, blending))
    source = open_image(io.BytesIO(encoded), Sampling(), DEFAULT_LIMITS, lambda: None)
    frames = [frame.image for frame in source.frames()]
    assert len(frames) == 3
    assert tuple(frames[2][4, 6]) == pytest.approx(third, abs=1)
    assert all(tuple(frame[4, 1]) == (130, 66, 66) for frame in frames)


def test_sixteen_bit_gray_of_an_animated_png_is_scaled():
    encoded = apng_of(((100, 100), 0, 0), ((50, 50), 0, 0), kind=(16, 0))
    source = open_image(io.BytesIO(encoded), Sampling(), DEFAULT_LIMITS, lambda: None)
    assert [int(frame.image[0, -1, 0]) for frame in source.frames()] == [100, 50]
