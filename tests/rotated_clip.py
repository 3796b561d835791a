"""Phone videos: clips whose header says that they have to be turned or mirrored."""

from __future__ import annotations

import struct
from pathlib import Path


def patch_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Overwrite the 2x2 part of the track header's matrix (identity comes first in the file's ``tkhd``)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = matrix
    values = [a << 16, b << 16, 0, c << 16, d << 16, 0]
    content[place : place + 24] = struct.pack(">6i", *values)
    path.write_bytes(content)
    return path
