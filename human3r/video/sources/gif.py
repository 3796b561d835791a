"""Rewrite a GIF so that FFmpeg shows it as browsers do.

FFmpeg paints the background color where browsers let what is behind the picture show through: if no color of a frame is
transparent, around a first frame that is smaller than the picture, and where a frame is disposed of. It has none to
paint if every frame brings its own colors. Browsers show frames of 10 ms and less for 100 ms.
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
_CONTROL, _DELAY = b"\x21\xf9\x04", slice(4, 6)
_TOO_SHORT, _USUAL = (b"\0\0", b"\1\0"), b"\x0a\0"
"""Durations in hundredths of a second."""


def as_in_browsers(stream: BinaryIO) -> BinaryIO:
    """Return the file with the common colors moved into every frame that has none; a damaged one as it is."""
    encoded = stream.read(_MAX_BYTES)
    if len(encoded) == _MAX_BYTES:
        return stream
    try:
        return io.BytesIO(_rewritten(encoded))
    except (IndexError, ValueError):
        return stream


def _rewritten(encoded: bytes) -> bytes:
    flags = encoded[10]
    end = _HEADER_BYTES + _num_bytes(flags)
    colors = encoded[_HEADER_BYTES:end]
    content = bytearray(encoded[:_HEADER_BYTES])
    content[10] &= ~_HAS_COLORS
    while end < len(encoded) and encoded[end] in (_EXTENSION, _FRAME):
        begin = end
        end += 2
        if encoded[begin] == _FRAME:
            own = encoded[begin + 9]
            end = begin + _DESCRIPTOR_BYTES + _num_bytes(own) + 1
            if not own & _HAS_COLORS:
                content += encoded[begin : begin + 9]
                content.append(own & ~_SIZE_OF_COLORS | flags & (_HAS_COLORS | _SIZE_OF_COLORS))
                content += colors
                begin += _DESCRIPTOR_BYTES
        while encoded[end]:
            end += 1 + encoded[end]
        end += 1
        block = bytearray(encoded[begin:end])
        if block.startswith(_CONTROL) and bytes(block[_DELAY]) in _TOO_SHORT:
            block[_DELAY] = _USUAL
        content += block
    if end > len(encoded) or encoded[end : end + 1] not in (b"", b";"):
        raise ValueError("not a block of a GIF")
    return bytes(content + encoded[end:])


def _num_bytes(flags: int) -> int:
    """Return the bytes of the table of colors that follows."""
    return 3 << ((flags & _SIZE_OF_COLORS) + 1) if flags & _HAS_COLORS else 0
