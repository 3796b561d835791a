"""H.264 whose frames are pairs of field pictures (PAFF), of uncompressed macroblocks: no free encoder writes it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_BLOCKS = 2
"""Macroblocks per side of a field."""


class _Writer:
    """Bits of one unit."""

    def __init__(self) -> None:
        self.bits = ""

    def fixed(self, value: int, count: int) -> _Writer:
        self.bits += f"{value:0{count}b}" if count else ""
        return self

    def golomb(self, *values: int) -> _Writer:
        for value in values:
            length = (value + 1).bit_length()
            self.fixed(value + 1, 2 * length - 1)
        return self

    def align(self, bit: str) -> None:
        self.bits += bit * (-len(self.bits) % 8)

    def unit(self, first_byte: int) -> bytes:
        self.bits += "1"
        self.align("0")
        content = bytearray()
        for value in int(self.bits, 2).to_bytes(len(self.bits) // 8, "big"):
            if content[-2:] == b"\0\0" and value <= 3:
                content.append(3)
            content.append(value)
        return bytes([0, 0, 0, 1, first_byte]) + bytes(content)


def field_pictures(levels: list[int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (top field, bottom field) of frames of 32 x 64 gray pixels."""
    for index, level in enumerate(levels):
        parameters = _parameters() if index == 0 else b""
        yield parameters + _field(level, index, is_bottom=False), _field(level, index, is_bottom=True)


def _parameters() -> bytes:
    sequence = _Writer().fixed(77, 8).fixed(0, 8).fixed(30, 8).golomb(0, 0, 2, 1).fixed(0, 1)
    sequence.golomb(_BLOCKS - 1, _BLOCKS - 1).fixed(0b0010, 4).fixed(0, 1)  # fields, 8x8 inference; no timing
    picture = _Writer().golomb(0, 0).fixed(0, 2).golomb(0, 0, 0).fixed(0, 3).golomb(0, 0, 0).fixed(0, 3)
    return sequence.unit(0x67) + picture.unit(0x68)


def _field(level: int, index: int, *, is_bottom: bool) -> bytes:
    """Return a field of one intra slice; the first one of a frame is an IDR picture."""
    writer = _Writer().golomb(0, 7, 0).fixed(0, 4).fixed(1, 1).fixed(int(is_bottom), 1)
    if is_bottom:
        writer.fixed(0, 1)
    else:
        writer.golomb(index % 2).fixed(0, 2)
    writer.golomb(0)
    block = np.full(256, level, np.uint8).tobytes() + bytes([128]) * 128
    for _ in range(_BLOCKS**2):
        writer.golomb(25)
        writer.align("0")
        writer.bits += f"{int.from_bytes(block, 'big'):0{8 * len(block)}b}"
    return writer.unit(0x61 if is_bottom else 0x65)
