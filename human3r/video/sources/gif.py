"""Take the background color out of a GIF: FFmpeg paints it where browsers let what is behind the picture show through.

FFmpeg does so where no color of a frame is transparent: around a first frame that is smaller than the picture, and
where a frame is disposed of. It has no background color to paint if every frame brings its own colors.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from human3r.video.limits import MEGABYTE

_MAX_BYTES = 512 * MEGABYTE
"""Of a file that is rewritten, in memory."""
_HEADER_BYTES, _DESCRIPTOR_BYTES = 13, 10
_HAS_COLORS, _SIZE_OF_COLORS = 0x80, 0x07
"""Flags of the header and of a frame. Source: GIF89a specification, sections 18 and 20."""
_EXTENSION, _FRAME = 0x21, 0x2C


def without_background(stream: BinaryIO) -> BinaryIO:
    """Return the file with the common colors moved into every frame that has none; a damaged one as it is."""
    encoded = stream.read(_MAX_BYTES)
    flags = encoded[10] if len(encoded) > _HEADER_BYTES else 0
    if not flags & _HAS_COLORS or len(encoded) == _MAX_BYTES:
        return stream
    try:
        return io.BytesIO(_moved(encoded, flags))
    except (IndexError, ValueError):
        return stream


def _moved(encoded: bytes, flags: int) -> bytes:
    end = _HEADER_BYTES + _num_bytes(flags)
    colors = encoded[_HEADER_BYTES:end]
    moved = bytearray(encoded[:_HEADER_BYTES])
    moved[10] &= ~_HAS_COLORS
    while end < len(encoded) and encoded[end] in (_EXTENSION, _FRAME):
        begin = end
        if encoded[begin] == _FRAME:
            own = encoded[begin + 9]
            end += _DESCRIPTOR_BYTES + 1 + (_num_bytes(own) if own & _HAS_COLORS else 0)
            if not own & _HAS_COLORS:
                moved += encoded[begin : begin + 9]
                moved.append(own & ~_SIZE_OF_COLORS | flags & (_HAS_COLORS | _SIZE_OF_COLORS))
                moved += colors
                begin += _DESCRIPTOR_BYTES
        else:
            end += 2
        while encoded[end]:
            end += 1 + encoded[end]
        end += 1
        moved += encoded[begin:end]
    if end > len(encoded) or encoded[end : end + 1] not in (b"", b";"):
        raise ValueError("not a block of a GIF")
    return bytes(moved + encoded[end:])


def _num_bytes(flags: int) -> int:
    """Return the bytes of a table of colors."""
    return 3 << ((flags & _SIZE_OF_COLORS) + 1)
