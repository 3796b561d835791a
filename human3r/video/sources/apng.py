"""Compose the frames of an animated PNG, which Pillow blends wrongly where they are partly transparent."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CONTROL = struct.Struct(">IIIIIHHBB")
"""Number, width, height, x, y, numerator and denominator of the duration, disposal, blending.
Source: PNG, third edition, section 11.3.6.2; so are the numbers below."""
_TO_BACKGROUND, _TO_PREVIOUS, _OVER = 1, 2, 1


def composed_frames(encoded: bytes) -> Iterator[Image.Image]:
    """Yield every frame as a whole RGBA picture; ``info["duration"]`` is in milliseconds.

    Raises:
        ValueError: Damaged; other errors of Pillow are possible, too.
    """
    chunks = _chunks(encoded)
    header = next(chunks)[1]
    canvas = Image.new("RGBA", struct.unpack(">II", header[:8]))
    for control, still in _stills(header, chunks):
        _, width, height, x, y, numerator, denominator, disposal, blending = control
        if x + width > canvas.width or y + height > canvas.height:
            raise ValueError("a frame beyond the picture")
        place, layer = (x, y, x + width, y + height), _rgba(still)
        before = canvas.crop(place)
        if blending == _OVER:
            canvas.alpha_composite(layer, (x, y))
        else:
            canvas.paste(layer, place)
        shown = canvas.copy()
        shown.info["duration"] = 1000 * numerator / (denominator or 100)
        yield shown
        if disposal == _TO_BACKGROUND:
            canvas.paste((0, 0, 0, 0), place)
        elif disposal == _TO_PREVIOUS:
            canvas.paste(before, place)


def _stills(header: bytes, chunks: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield (control, PNG) of each frame; a still for readers without animation is left out."""
    common: list[bytes] = []
    pixels: list[bytes] = []
    control = b""
    for name, content in chunks:
        if name == b"IDAT" and control:
            pixels.append(content)
        elif name == b"fdAT":
            pixels.append(content[4:])
        elif name in (b"PLTE", b"tRNS"):
            common.append(_chunk(name, content))
        elif name in (b"fcTL", b"IEND"):
            if pixels:
                own_header = _chunk(b"IHDR", control[4:12] + header[8:])
                parts = [_SIGNATURE, own_header, *common, _chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")]
                yield _CONTROL.unpack(control), b"".join(parts)
            control, pixels = content, []


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    begin = len(_SIGNATURE)
    while begin + 12 <= len(encoded):
        (size,) = struct.unpack(">I", encoded[begin : begin + 4])
        yield encoded[begin + 4 : begin + 8], encoded[begin + 8 : begin + 8 + size]
        begin += 12 + size
    yield b"IEND", b""  # of a file that was cut off


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _rgba(still: bytes) -> Image.Image:
    with Image.open(io.BytesIO(still), formats=["PNG"]) as image:
        if image.mode.startswith("I"):  # 16 bits of gray, which Pillow would clip
            return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGBA")
        return image.convert("RGBA")
