"""Open a media file with PyAV, and choose what players show of it: the stream, its packets, the shape of its pixels."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from fractions import Fraction
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.sidedata.sidedata import SideData, Type
from av.stream import Disposition
from av.video.stream import VideoStream

from human3r.errors import MediaDecodeError, UnsupportedMediaError

_DEFAULT_FPS, _MAX_HEADER_FPS = 30.0, 1000.0
_NO_FILM = int(Disposition.attached_pic | Disposition.timed_thumbnails)
_DEPENDENT = 0x80000
"""Disposition of a stream that is only part of a picture, as the tiles of HEIC. Source: FFmpeg 7, avformat.h."""
_RECTILINEAR = (4).to_bytes(4, sys.byteorder)
_PACKED = range(1, 8)
"""Side by side, above each other, and in turns of frames, pixels, lines or columns."""


def open_container(stream: BinaryIO, demuxer: str) -> InputContainer:
    """Open a file from its start with this demuxer of FFmpeg and no other.

    Raises:
        MediaDecodeError: The demuxer does not read it.
    """
    stream.seek(0)
    try:
        return av.open(
            stream, mode="r", format=demuxer, options={"protocol_whitelist": "file"}, metadata_errors="ignore"
        )
    except (FFmpegError, ValueError) as error:
        raise MediaDecodeError(
            f"The file begins like {demuxer} but cannot be opened ({reason(error)}).",
            "It is damaged or was cut off; export it again.",
        ) from error


def picture_stream(container: InputContainer) -> VideoStream:
    """Return the stream that players show: prefer video over a still, then the default, the largest, the longest.

    Raises:
        UnsupportedMediaError: There is none, or only tiles of one picture.
    """
    streams = [stream for stream in container.streams.video if not int(stream.disposition) & _NO_FILM]
    if streams and all(int(stream.disposition) & _DEPENDENT for stream in streams):
        raise UnsupportedMediaError(
            "The image consists of tiles (HEIC), which is not supported.", "Convert it to JPEG."
        )
    if streams:
        return max(streams, key=_preference)
    if container.streams.audio:
        raise UnsupportedMediaError("The file has sound but no video.", "Give a video.")
    raise UnsupportedMediaError("The file has no picture stream.", "Give a video, GIF, image folder or zip of images.")


def _preference(stream: VideoStream) -> tuple[bool, bool, bool, int, float]:
    length_s = float((stream.duration or 0) * (stream.time_base or 0))
    disposition, context = int(stream.disposition), stream.codec_context
    is_default = bool(disposition & Disposition.default)
    return not disposition & _DEPENDENT, stream.frames != 1, is_default, context.width * context.height, length_s


def header_fps(video: VideoStream, *, is_bare: bool) -> float:
    """Return the rate in the header, if it is plausible.

    Args:
        is_bare: Without a container the average is FFmpeg's default of 25; the guess is the stream's rate.
    """
    rates = (None if is_bare else video.average_rate, video.guessed_rate)
    return next((float(rate) for rate in rates if rate and 0 < rate <= _MAX_HEADER_FPS), _DEFAULT_FPS)


def is_shown(packet: av.Packet[VideoStream], video: VideoStream) -> bool:
    """Return whether a packet holds a shown frame: edit lists discard some, and VP8 has reference-only frames.

    Raises:
        UnsupportedMediaError: It is encrypted.
    """
    if packet.has_sidedata("encryption_info"):
        raise UnsupportedMediaError("The video is encrypted (DRM).", "Give a copy without protection.")
    if packet.size == 0 or packet.is_discard:
        return False
    # Bit 4 of a VP8 frame is show_frame. Source: RFC 6386, section 9.1.
    return video.codec_context.name not in ("vp8", "libvpx") or bool(bytes(packet)[0] & 0x10)


def is_stereo(frame: av.VideoFrame) -> bool:
    """Return whether a frame is packed of the two pictures of a stereoscopic film.

    Raises:
        UnsupportedMediaError: It is a picture of all directions, which no pinhole camera takes.
    """
    # Both records begin with their kind. Source: FFmpeg 8, stereo3d.h and spherical.h.
    kinds = {item.type: bytes(item)[:4] for item in cast("Iterable[SideData]", frame.side_data)}
    if kinds.get(Type.SPHERICAL, _RECTILINEAR) != _RECTILINEAR:
        raise UnsupportedMediaError(
            "The clip is a 360-degree video, whose pictures no ordinary lens took.", "Export a flat view of it."
        )
    return int.from_bytes(kinds.get(Type.STEREO3D, b""), sys.byteorder) in _PACKED


def pixel_aspect(frame: av.VideoFrame) -> float:
    """Return width by height of a frame's pixels, which PyAV does not tell: a filter's output has that many columns."""
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    graph.link_nodes(source, graph.add("scale", "w=iw*sar:h=2:eval=frame"), graph.add("buffersink")).configure()
    graph.push(frame)
    return cast("av.VideoFrame", graph.pull()).width / frame.width


def reason(error: Exception) -> str:
    """Return what FFmpeg says of an error, without the file's name."""
    return getattr(error, "strerror", None) or type(error).__name__
