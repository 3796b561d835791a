"""Recognize the second field of an H.264 frame that is coded as two field pictures, as by camcorders (AVCHD 1080i).

FFmpeg delivers each field as a packet, and both together as one frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.video.stream import VideoStream

_SLICES, _PARAMETERS = (1, 2, 5), 7
"""Types of units: slices, the first partition of one, those of an IDR picture; sequence parameters.
Source: ITU-T H.264, table 7-1."""
_WITH_CHROMA_FORMAT = (44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244)
"""Profiles. Source: ITU-T H.264, section 7.3.2.1.1."""
_MAX_UNIT_BYTES = 1024
"""Of a unit that is looked at: its beginning is enough."""
_START_CODE = re.compile(rb"\x00\x00\x01")


@dataclass(frozen=True)
class _Fields:
    """What the sequence parameters say about the headers of slices."""

    frame_num_bits: int
    has_planes: bool
    """Whether a slice names its color plane."""


class FieldPairs:
    """Looks at the packets of one pass over a video, in order."""

    def __init__(self, video: VideoStream) -> None:
        self._is_h264 = video.codec_context.name == "h264"
        self._length_bytes = 0
        """Of the length in front of each unit; 0 for start codes."""
        self._fields: _Fields | None = None
        """None where every picture is a frame."""
        self._open: tuple[int, int] | None = None
        """Number of the frame and parity of a field without the other one."""
        extradata = video.codec_context.extradata or b""
        if self._is_h264 and extradata[:1] == b"\x01" and len(extradata) > 8:
            self._length_bytes = (extradata[4] & 3) + 1
            self._take_parameters(extradata[8:])
        elif self._is_h264:
            self._picture(extradata)

    def is_second(self, packet: av.Packet[VideoStream]) -> bool:
        """Return whether a packet completes the frame that began in the packet before."""
        if not self._is_h264 or packet.size == 0:
            return False
        field = self._picture(bytes(packet))
        is_second = field is not None and self._open == (field[0], 1 - field[1])
        self._open = None if is_second else field
        return is_second

    def _picture(self, content: bytes) -> tuple[int, int] | None:
        """Return the frame's number and the parity if the content's picture is a field."""
        for unit in self._units(content):
            kind = unit[0] & 0x1F
            if kind == _PARAMETERS:
                self._take_parameters(unit)
            elif kind in _SLICES:
                return None if self._fields is None else _field_of(_Bits(unit[1:]), self._fields)
        return None

    def _take_parameters(self, unit: bytes) -> None:
        try:
            self._fields = _read_parameters(_Bits(unit[1:]))
        except ValueError:  # damaged
            self._fields = None

    def _units(self, content: bytes) -> Iterator[bytes]:
        """Yield the beginnings of the units."""
        if not self._length_bytes:
            starts = (match.end() for match in _START_CODE.finditer(content))
            yield from (content[start : start + _MAX_UNIT_BYTES] for start in starts if start < len(content))
            return
        place = 0
        while place + self._length_bytes < len(content):
            begin = place + self._length_bytes
            yield content[begin : begin + _MAX_UNIT_BYTES]
            place = begin + int.from_bytes(content[place:begin], "big")


class _Bits:
    """Reads the bits of a unit without its first byte."""

    def __init__(self, content: bytes) -> None:
        # Three bytes 0 0 3 stand for 0 0. Source: ITU-T H.264, section 7.4.1.1.
        content = content.replace(b"\x00\x00\x03", b"\x00\x00")
        self._text = f"{int.from_bytes(content, 'big'):0{8 * len(content)}b}" if content else ""
        self._place = 0

    def take(self, count: int) -> int:
        """Return an unsigned number of so many bits."""
        bits = self._text[self._place : self._place + count]
        self._place += count
        return int(bits, 2) if count else 0  # raises ValueError at the end

    def golomb(self) -> int:
        """Return an unsigned Exp-Golomb number. Source: ITU-T H.264, section 9.1."""
        zeros = self._text.find("1", self._place) - self._place
        if not 0 <= zeros <= 32:
            raise ValueError
        self._place += zeros
        return self.take(zeros + 1) - 1

    def skip_golomb(self, count: int) -> None:
        """Skip so many Exp-Golomb numbers."""
        for _ in range(count):
            self.golomb()


def _read_parameters(bits: _Bits) -> _Fields | None:
    """Source: ITU-T H.264, section 7.3.2.1.1."""
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    has_planes = False
    if profile in _WITH_CHROMA_FORMAT:
        chroma_format = bits.golomb()
        has_planes = chroma_format == 3 and bool(bits.take(1))
        bits.skip_golomb(2)
        bits.take(1)
        if bits.take(1):
            for index in range(8 if chroma_format != 3 else 12):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    elif order_type == 1:
        bits.take(1)
        bits.skip_golomb(2)
        bits.skip_golomb(bits.golomb())
    bits.golomb()
    bits.take(1)
    bits.skip_golomb(2)
    has_frames_only = bits.take(1)
    return None if has_frames_only else _Fields(frame_num_bits, has_planes)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """Source: ITU-T H.264, section 7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.golomb()
            following = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        last = following or last


def _field_of(bits: _Bits, fields: _Fields) -> tuple[int, int] | None:
    """Return (frame number, parity) of a slice of a field. Source: ITU-T H.264, section 7.3.3."""
    try:
        bits.skip_golomb(3)
        bits.take(2 if fields.has_planes else 0)
        frame_num = bits.take(fields.frame_num_bits)
        return (frame_num, bits.take(1)) if bits.take(1) else None
    except ValueError:
        return None
