"""Read chunks of the motion tape back, from the messages that carry them."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass

import numpy as np

_PREFIX, _SUFFIX = 'window.h3r&&h3r.take("', '")'


@dataclass(frozen=True)
class Chunk:
    """One parsed chunk."""

    header: dict
    cameras: np.ndarray
    """``n 7`` quaternions wxyz and positions."""
    joints: dict[int, np.ndarray]
    """Identity to ``n 55 7``."""
    labels: dict[int, np.ndarray]
    """Identity to ``n 3``."""
    pictures: dict[int, bytes]


def chunk_in(source: str) -> Chunk:
    """Return the chunk in the source of a script message."""
    assert source.startswith(_PREFIX)
    assert source.endswith(_SUFFIX)
    content = base64.b64decode(source[len(_PREFIX) : -len(_SUFFIX)])
    (length,) = struct.unpack_from("<I", content)
    header = json.loads(content[4 : 4 + length])
    offset = 4 + length

    def floats(*shape: int) -> np.ndarray:
        nonlocal offset
        values = np.frombuffer(content, "<f4", int(np.prod(shape)), offset).reshape(shape)
        offset += values.nbytes
        return values

    cameras = floats(len(header["times_s"]), 7)
    rows = {body["id"]: floats(len(body["frames"]), 55 * 7 + 3) for body in header["bodies"]}
    pictures = {}
    for frame, size in header["pictures"]:
        pictures[frame] = content[offset : offset + size]
        offset += size
    assert offset == len(content)
    joints = {track: row[:, :-3].reshape(-1, 55, 7) for track, row in rows.items()}
    return Chunk(header, cameras, joints, {track: row[:, -3:] for track, row in rows.items()}, pictures)
