"""Open a media file with PyAV, and choose what players show of it: the stream, its packets, the shape of its pixels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
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
from human3r.video.limits import check_packets
from human3r.video.sources.h264_fields import FieldPairs
from human3r.video.sources.timeline import Packet, reaches_end

_DEFAULT_FPS = 30.0
_MAX_HEADER_FPS = 1000.0
"""The clock of streams without a rate, as in WMV."""
_NO_FILM = int(Disposition.attached_pic | Disposition.timed_thumbnails)
_DEPENDENT = 0x80000
"""Disposition of a stream that is only part of a picture, as the tiles of HEIC. Source: FFmpeg 7, avformat.h."""
_COMMON_NAMES = {"mov": "an MP4 or MOV", "matroska": "an MKV or WebM", "avi": "an AVI", "asf": "a WMV"}
"""What people call the formats of FFmpeg's demuxers."""
_RECTILINEAR = (4).to_bytes(4, sys.byteorder)
_PACKED = range(1, 8)
"""Side by side, above each other, and in turns of frames, pixels, lines or columns."""


def open_container(stream: BinaryIO, demuxer: str, *, has_edits: bool = True) -> InputContainer:
    """Open a file from its start with this demuxer of FFmpeg and no other.

    Args:
        has_edits: Follow the edit list of MP4 and MOV.

    Raises:
        MediaDecodeError: The demuxer does not read it.
    """
    stream.seek(0)
    options = {"protocol_whitelist": "file"}
    if demuxer == "mov":
        options["ignore_editlist"] = str(int(not has_edits))
    try:
        source = _Pipe(stream) if demuxer == "avi" else stream
        return av.open(source, mode="r", format=demuxer, options=options, metadata_errors="ignore")
    except (FFmpegError, ValueError) as error:
        raise MediaDecodeError(
            f"The file begins like {_COMMON_NAMES.get(demuxer, demuxer)} but cannot be opened ({reason(error)}).",
            "It is damaged or was cut off; export it again.",
        ) from error


class _Pipe:
    """A file that cannot be searched, so that an AVI is read without its index, which may name wrong places."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read


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
    if readable := [stream for stream in streams if stream.codec_context]:
        return max(readable, key=_preference)
    if streams:
        raise UnsupportedMediaError("No decoder here reads the video's format.", "Export it as MP4 (H.264).")
    if container.streams.audio:
        raise UnsupportedMediaError("The file has sound but no video.", "Give a video.")
    raise UnsupportedMediaError("The file has no picture stream.", "Give a video, a GIF or a zip of images.")


def remark_on_others(container: InputContainer, chosen: VideoStream) -> list[str]:
    """Say which video is used if there are several."""
    films = [stream for stream in container.streams.video if not int(stream.disposition) & (_NO_FILM | _DEPENDENT)]
    num_films = sum(stream.frames != 1 for stream in films)
    width, height = chosen.codec_context.width, chosen.codec_context.height
    return [f"The file holds {num_films} videos; that of {width} x {height} pixels is used."] if num_films > 1 else []


def _preference(stream: VideoStream) -> tuple[bool, bool, bool, int, float]:
    length_s = float((stream.duration or 0) * (stream.time_base or 0))
    disposition, context = int(stream.disposition), stream.codec_context
    is_default = bool(disposition & Disposition.default)
    return not disposition & _DEPENDENT, stream.frames != 1, is_default, context.width * context.height, length_s


def header_fps(video: VideoStream, *, is_bare: bool, has_stamps: bool) -> float:
    """Return the rate in the header, if it is plausible.

    Args:
        is_bare: Without a container the average is FFmpeg's default of 25; the guess is the stream's rate.
        has_stamps: Without time stamps the average is no rate, but count and duration may be right.
    """
    rates: list[Fraction | None] = [None if is_bare else video.average_rate, video.guessed_rate]
    if not has_stamps and video.frames > 1 and video.duration and video.time_base:
        rates.insert(0, video.frames / (video.duration * video.time_base))
    return next((float(rate) for rate in rates if rate and 0 < rate < _MAX_HEADER_FPS), _DEFAULT_FPS)


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


def read_packets(
    container: InputContainer, video: VideoStream, beat: Callable[[], None]
) -> tuple[list[Packet], list[str]]:
    """Return every packet with a shown frame, in decoding order, and remarks on what is missing.

    Raises:
        MediaTooLargeError: There are too many.
        UnsupportedMediaError: The video is encrypted.
    """
    packets: list[Packet] = []
    remarks: list[str] = []
    num_hidden = 0
    fields = FieldPairs(video)
    try:
        for packet in container.demux(video):
            beat()
            if is_shown(packet, video) and not fields.is_second(packet):
                packets.append(Packet(packet.pts, packet.dts, packet.pos, packet.is_keyframe))
                check_packets(len(packets))
            else:
                num_hidden += packet.size > 0
    except FFmpegError as error:
        remarks.append(f"The file is damaged after {len(packets)} frames ({reason(error)}).")
    num_claimed = video.frames - num_hidden
    is_short = num_claimed - len(packets) > max(2, 0.01 * num_claimed) and container.format.name != "gif"
    if is_short and not reaches_end(packets, video.duration):  # an edit list may leave out the end
        remarks.append(f"The file is cut short: {len(packets)} of {num_claimed} frames are there.")
    return packets, remarks


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
