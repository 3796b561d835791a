"""Depth out of OpenEXR files. ZIP-compressed scan lines are read here; for other kinds the package OpenEXR is asked.

Source: OpenEXR file layout (openexr.com, "OpenEXR File Layout").
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from human3r.errors import FormatError

_MAGIC = 20000630
_TILED_OR_PARTS = 0x200 | 0x800 | 0x1000
_ROWS_PER_CHUNK = {0: 1, 2: 1, 3: 16}
"""Compression (none, ZIP of one line, ZIP of sixteen) -> lines per chunk."""
_TYPES = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}
_MAX_SIDE = 16384


@dataclass(frozen=True)
class _Header:
    channels: tuple[tuple[str, np.dtype], ...]
    compression: int
    size: tuple[int, int]
    """(height, width)"""
    first_row: int
    end: int
    """Where the table of chunks begins."""


def read_exr_channel(path: Path, channel: str) -> np.ndarray:
    """Return one channel ``H W`` as float32.

    Raises:
        FormatError: No EXR file, no such channel, damaged, or of a kind that needs the package OpenEXR.
    """
    try:
        content = path.read_bytes()
        header = _read_header(content)
        if header.compression not in _ROWS_PER_CHUNK:
            return _read_with_package(path, channel)
        if channel not in dict(header.channels):
            raise FormatError(f"{path.name} has no channel {channel!r}, only {[name for name, _ in header.channels]}.")
        return _read_chunks(content, header, channel)
    except (OSError, ValueError, KeyError, IndexError, struct.error, zlib.error) as error:
        raise FormatError(f"{path.name} is not a readable EXR file ({error}).") from error


def _read_header(content: bytes) -> _Header:
    magic, version = struct.unpack_from("<II", content)
    if magic != _MAGIC or version & _TILED_OR_PARTS:
        raise ValueError("not a file of scan lines")
    attributes: dict[str, bytes] = {}
    position = 8
    while content[position]:
        name, position = _text(content, position)
        _, position = _text(content, position)
        (size,) = struct.unpack_from("<i", content, position)
        attributes[name] = content[position + 4 : position + 4 + size]
        position += 4 + size
    x0, y0, x1, y1 = struct.unpack("<4i", attributes["dataWindow"])
    height, width = y1 - y0 + 1, x1 - x0 + 1
    if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
        raise ValueError(f"a size of {width}x{height}")
    return _Header(_channels(attributes["channels"]), attributes["compression"][0], (height, width), y0, position + 1)


def _text(content: bytes, position: int) -> tuple[str, int]:
    end = content.index(0, position)
    return content[position:end].decode("latin-1"), end + 1


def _channels(content: bytes) -> tuple[tuple[str, np.dtype], ...]:
    channels, position = [], 0
    while content[position]:
        name, position = _text(content, position)
        kind, _, x_sampling, y_sampling = struct.unpack_from("<iiii", content, position)
        if (x_sampling, y_sampling) != (1, 1):
            raise ValueError("a channel of lower resolution")
        channels.append((name, _TYPES[kind]))
        position += 16
    return tuple(channels)


def _read_chunks(content: bytes, header: _Header, channel: str) -> np.ndarray:
    height, width = header.size
    rows_per_chunk = _ROWS_PER_CHUNK[header.compression]
    num_chunks = math.ceil(height / rows_per_chunk)
    before = sum(kind.itemsize for name, kind in header.channels if name < channel) * width
    kind = dict(header.channels)[channel]
    row_bytes = sum(kind.itemsize for _, kind in header.channels) * width
    result = np.empty((height, width), np.float32)
    for offset in struct.unpack_from(f"<{num_chunks}Q", content, header.end):
        row, size = struct.unpack_from("<ii", content, offset)
        row -= header.first_row
        rows = min(rows_per_chunk, height - row)
        chunk = _decompressed(content[offset + 8 : offset + 8 + size], rows * row_bytes)
        lines = np.frombuffer(chunk, np.uint8).reshape(rows, row_bytes)[:, before : before + width * kind.itemsize]
        result[row : row + rows] = np.ascontiguousarray(lines).view(kind)
    return result


def _decompressed(chunk: bytes, size: int) -> bytes:
    """Undo ZIP: differences, all even places first; a chunk that would have grown is stored as it was."""
    if len(chunk) == size:
        return chunk
    inflater = zlib.decompressobj()
    stored = np.frombuffer(inflater.decompress(chunk, size + 1), np.uint8)
    if len(stored) != size or not inflater.eof:
        raise ValueError("a chunk of wrong length")
    steps = stored.astype(np.int64)
    steps[1:] -= 128
    values = (np.cumsum(steps) & 255).astype(np.uint8)
    result = np.empty(size, np.uint8)
    half = (size + 1) // 2
    result[0::2], result[1::2] = values[:half], values[half:]
    return result.tobytes()


def _read_with_package(path: Path, channel: str) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError as error:
        raise FormatError(
            f"{path.name} is compressed in a way that needs the package OpenEXR.",
            "Run: pip install -r human3r/training/paper/requirements.txt",
        ) from error
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return np.asarray(file.channels()[channel].pixels, dtype=np.float32)
