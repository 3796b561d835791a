"""Recognize a file by its first bytes, never by its name, which only tells what to look at in a folder.

The result selects the one demuxer that FFmpeg may use: a playlist or script named like a video is refused before FFmpeg
could follow addresses in it.
"""

from __future__ import annotations

import re
from typing import BinaryIO, Literal

MediaKind = Literal["video", "image", "zip"]

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".flv", ".wmv", ".ogv",
    ".3gp", ".h264", ".h265", ".hevc", ".gif",
)  # fmt: skip
"""Suffixes of what counts as a clip in a searched folder; a file given by name may have any suffix."""
_HEAD_BYTES = 1024
_VIDEO_PREFIXES = {
    b"\x1a\x45\xdf\xa3": "matroska",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"FLV\x01": "flv",
    b"\x00\x00\x01\xba": "mpeg",
    b"\x00\x00\x01\xb3": "mpegvideo",
    b"\x00\x00\x01\xb0": "m4v",
    b"\x30\x26\xb2\x75": "asf",
    b"OggS": "ogg",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02": "mxf",
    b"nut/multimedia container\x00": "nut",
    b"DKIF": "ivf",
    b"YUV4MPEG2 ": "yuv4mpegpipe",
    b".RMF": "rm",
    b"\x1f\x07\x00": "dv",
    b"\x12\x00\x0a": "obu",
}
_IMAGE_PREFIXES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"uuid")
_TS_SYNC = b"\x47"
_TS_SIZES = (188, 192, 204)
"""Bytes of a packet: broadcast, AVCHD and Blu-ray (a time code in front), with error correction."""
_NUM_TS_PACKETS = 4
"""So many in a row are no coincidence, wherever the first begins: a recording may start inside a packet."""
_START_CODE = re.compile(rb"\x00{2,64}\x01")
_H264_FIRST_UNITS = {6: True, 7: False, 9: True}
"""Additional information, sequence parameters, access unit delimiter -> whether nothing refers to it.
Source: ITU-T H.264, table 7-1."""
_HEVC_FIRST_UNITS = (32, 33, 35, 39)
"""Video and sequence parameters, access unit delimiter, additional information. Source: ITU-T H.265, table 7-1."""


def sniff(head: bytes) -> tuple[MediaKind, str] | None:
    """Return (kind, format name) of a file from its first ``HEAD_BYTES`` bytes, or None if it is unknown.

    For a video the format name is that of FFmpeg's demuxer.
    """
    for prefix, name in _VIDEO_PREFIXES.items():
        if head.startswith(prefix):
            return "video", name
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        return "zip", "zip"
    if head.startswith(_IMAGE_PREFIXES):
        return "image", "image"
    if head.startswith(b"RIFF"):
        if head[8:12] == b"AVI ":
            return "video", "avi"
        return ("image", "image") if head[8:12] == b"WEBP" else None
    if head[4:8] in _ISO_BOXES:
        return ("image", "image") if head[8:12] in (b"avif", b"avis") else ("video", "mov")
    if any(_has_ts_packets(head, size) for size in _TS_SIZES):
        return "video", "mpegts"
    stream = _elementary_stream(head)
    return None if stream is None else ("video", stream)


def _has_ts_packets(head: bytes, size: int) -> bool:
    if len(head) < _NUM_TS_PACKETS * size:  # a short file
        return any(head[at : at + 1] == head[at + size : at + size + 1] == _TS_SYNC for at in (0, 4))
    return any(set(head[at::size][:_NUM_TS_PACKETS]) == set(_TS_SYNC) for at in range(size))


def _elementary_stream(head: bytes) -> str | None:
    """Recognize H.264 and H.265 without a container by the type of the first unit."""
    if start := _START_CODE.match(head):
        unit = head[start.end() : start.end() + 2]
        if len(unit) == 2 and not unit[0] & 0x80:
            if _H264_FIRST_UNITS.get(unit[0] & 0x1F) is (unit[0] & 0x60 == 0):
                return "h264"
            if unit[0] >> 1 in _HEVC_FIRST_UNITS and unit[0] & 1 == 0 and unit[1] == 1:
                return "hevc"
    return None


def read_head(stream: BinaryIO) -> bytes:
    """Read the bytes that ``sniff`` wants and rewind the stream."""
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    return head
