"""Read a ``.viser`` recording back: timed messages and their binary buffers.

Source: the layout comments of viser 1.1.1's StateSerializer.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import zstandard


@dataclass(frozen=True)
class Recording:
    """One parsed file."""

    duration_s: float
    version: str
    messages: list[tuple[float, dict]]

    def of_type(self, kind: str) -> list[tuple[float, dict]]:
        return [(time_s, message) for time_s, message in self.messages if message["type"] == kind]


def read_recording(content: bytes) -> Recording:
    size = int.from_bytes(content[:8], "little")
    inner = zstandard.ZstdDecompressor().decompressobj().decompress(content[8:])
    assert len(inner) == size
    length = int.from_bytes(inner[:8], "little")
    document = msgspec.msgpack.decode(inner[8 : 8 + length])
    return Recording(document["durationSeconds"], document["viserVersion"], document["messages"])
