"""Decode a video or GIF with PyAV. Runs inside the decoder process only (see ``decode_worker``).

All packets are read before anything is decoded, so that limits apply to the actual contents and the chosen frames are
known exactly; then frames are decoded in presentation order, turned upright and yielded one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import SideData, Type
from av.video.stream import VideoStream

from human3r.errors import MediaDecodeError
from human3r.video.clip_info import ClipInfo
from human3r.video.limits import MediaLimits, check_chosen, check_frame_size
from human3r.video.orientation import from_display_matrix
from human3r.video.sampling import Sampling, choose_frames, rate_of
from human3r.video.sources.container import (
    header_fps,
    is_shown,
    is_stereo,
    open_container,
    picture_stream,
    pixel_aspect,
    read_packets,
    remark_on_others,
)
from human3r.video.sources.h264_fields import FieldPairs
from human3r.video.sources.interlacing import CombCounter, Deinterlacer
from human3r.video.sources.source_frame import FrameShape, SourceFrame, fit, is_hdr, opaque
from human3r.video.sources.timeline import build_timeline, find_packet, has_stamps

_WITHOUT_PRESENTATION_TIMES = ("avi",)
"""Containers with decoding order only; FFmpeg's guess is wrong for reordered frames."""
_WITHOUT_CLOCK = ("h264", "hevc", "m4v", "mpegvideo", "mjpeg", "obu")
"""Streams without a container; FFmpeg's made-up stamps ignore the stream's rate."""
_WITH_JUMPING_CLOCKS = ("mpegts", "mpeg")
_SEEKABLE = ("mov", "matroska")
"""Containers in which a packet has the same place and stamp after a jump."""
_MAX_BAD_PACKETS = 500
_NUM_REORDERED = 16
_SEEK_WORTH_S = 4.0
_SAME_ASPECT = 0.02
"""Largest relative change of the aspect that is ignored, as between 12:11 and 59:54."""

_REMARKS = {
    "reshaped": "The picture's shape changes inside the clip; {} frames were fitted with borders.",
    "late": "{} frames have time stamps before the frame in front and were skipped.",
    "damaged": "{} frames are damaged: parts of their pictures are guesses of the decoder.",
    "missing": "{} frames could not be decoded and are missing.",
    "interlaced": "{} frames are interlaced; the first of their two moments is used.",
    "combed": "The video is interlaced without saying so: moving edges are combed. Deinterlace it first.",
}


class VideoSource:
    """One video file, opened, counted and probed.

    Args:
        demuxer: FFmpeg's name of the only container format that may be tried.
        sampling: Which frames to deliver.
        beat: Called repeatedly while decoding progresses.

    Raises:
        UnsupportedMediaError: No video stream in the file, or tiles.
        MediaDecodeError: No frame can be decoded.
        MediaTooLargeError: A limit is exceeded.
    """

    def __init__(
        self, stream: BinaryIO, demuxer: str, sampling: Sampling, limits: MediaLimits, beat: Callable[[], None]
    ) -> None:
        self._stream, self._demuxer, self._limits, self._beat = stream, demuxer, limits, beat
        self.warnings: list[str] = []
        self.only_key_frames = False
        """Decode key frames only, so that a slow decoder catches up; may be set while frames are read."""
        self._own_aspects: set[Fraction | int] = set()
        self._has_edits, is_bare = True, demuxer in _WITHOUT_CLOCK
        with self._open() as container:
            video = picture_stream(container)
            check_frame_size(video.codec_context.height, video.codec_context.width, limits)
            self.warnings += remark_on_others(container, video)
            self._packets, remarks = read_packets(container, video, beat)
            tick_s = video.time_base or Fraction(0)
            has_times = is_bare or has_stamps(self._packets, tick_s)
            self._fps = header_fps(video, is_bare=is_bare, has_stamps=has_times)
        if not has_times:
            self._has_edits = False  # an edit list names times
            with self._open() as container:
                self._packets, remarks = read_packets(container, picture_stream(container), beat)
            remarks.append(f"The file has no usable time stamps; {self._fps:g} frames per second are assumed.")
        self.warnings += remarks
        self._timeline = build_timeline(
            self._packets,
            tick_s,
            self._fps,
            has_clock=not is_bare,
            has_pts=demuxer not in _WITHOUT_PRESENTATION_TIMES,
            can_jump=demuxer in _WITH_JUMPING_CLOCKS,
        )
        self.info = self._measure(sampling)

    def _open(self) -> InputContainer:
        return open_container(self._stream, self._demuxer, has_edits=self._has_edits)

    def _measure(self, sampling: Sampling) -> ClipInfo:
        """Decode the first frame that can be decoded, which is the clip's frame 0, and choose the frames."""
        with self._open() as container:
            video = picture_stream(container)
            decoded = self._decode(container, video)
            first_index, first = next(decoded, (0, None))
            if first is None:
                message = f"No frame of the {video.codec_context.name} video can be decoded."
                raise MediaDecodeError(message, "The file is damaged or was cut off; export it again.")
            if first_index > 0:
                first_index = min([first_index, *(index for index, _ in islice(decoded, _NUM_REORDERED))])
            has_audio, codec = bool(container.streams.audio), video.codec_context.name
            # The container's aspect overrides the stream's, of which only changes matter.
            aspect = float(video.sample_aspect_ratio or 1) or 1.0
            own_aspect = float(video.codec_context.sample_aspect_ratio or 1)
        if video.metadata.get("alpha_mode") == "1":
            self.warnings.append("The transparency of this video is not read: what it hides is shown.")
        if is_stereo(first):
            self.warnings.append("Each frame holds both pictures of a 3D film, which are taken for one; crop it.")
        self._timeline = self._timeline.starting_at(first_index)
        times_s = self._timeline.times_s
        self.chosen = choose_frames(times_s, sampling)
        check_chosen([times_s[index] for index in self.chosen], self._fps, self._limits)
        side_data = cast("Iterable[SideData]", first.side_data)
        matrix = next((bytes(item) for item in side_data if item.type == Type.DISPLAYMATRIX), b"")
        self._orientation = from_display_matrix(matrix)
        self._shape = FrameShape(first.height, first.width, aspect)
        self._first_own_aspect = own_aspect
        self._stored_size = self._shape.size
        check_frame_size(*self._stored_size, self._limits)
        if is_hdr(first):
            self.warnings.append("HDR video: colors are approximate.")
        fps = rate_of(times_s, self._fps)
        return ClipInfo(
            kind="video",
            codec=codec,
            image_size=self._orientation.size(*self._stored_size),
            fps=fps,
            duration_s=times_s[-1] + 1 / fps,
            num_frames=len(times_s),
            num_selected=len(self.chosen),
            rotation_deg=self._orientation.rotation_deg,
            is_mirrored=self._orientation.is_mirrored,
            is_vfr=self._timeline.is_uneven,
            is_hdr=is_hdr(first),
            bit_depth=max((component.bits for component in first.format.components), default=8),
            has_audio=has_audio,
        )

    def _decode(
        self, container: InputContainer, video: VideoStream, start: int = 0
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield (index in presentation order, frame); skip damaged packets, stop where the file is truncated.

        Args:
            start: Key packet to seek to; nothing is yielded if the seek ends after it.
        """
        video.thread_type = "AUTO"
        video.codec_context.thread_count = 2
        ranks, fields = self._timeline.ranks, FieldPairs(video)
        number = next_index = bad_packets = 0
        if start:
            key = self._packets[start]
            container.seek(int(key.pts or 0) if key.dts is None else key.dts, stream=video, backward=True)
            number = -1
        packets = container.demux(video)
        while bad_packets < _MAX_BAD_PACKETS:
            try:
                packet = next(packets, None)
            except FFmpegError:
                break
            if packet is None:
                break
            self._beat()
            if is_shown(packet, video) and not fields.is_second(packet):
                if number < 0:
                    number = find_packet(self._packets[: start + 1], packet.pos, packet.pts)
                    if number is None:
                        return
                if ranks is not None:
                    # The decoder copies a packet's stamp to its frame, in whatever order frames come.
                    packet.pts = ranks[number] if number < len(ranks) else None
                number += 1
            video.codec_context.skip_frame = "NONKEY" if self.only_key_frames else "DEFAULT"
            try:
                frames = packet.decode()
            except FFmpegError:
                bad_packets += 1
                continue
            self._own_aspects.add(video.codec_context.sample_aspect_ratio or 1)
            for frame in frames:
                index = next_index if ranks is None or frame.pts is None else frame.pts
                next_index = index + 1
                if index >= 0:
                    yield index, frame
        if bad_packets:
            self.warnings.append(f"{bad_packets} damaged packets were skipped.")

    @property
    def times_s(self) -> list[float]:
        """Times of the chosen frames, seconds."""
        return [self._timeline.times_s[index] for index in self.chosen]

    def reduce_to(self, max_side_px: int) -> None:
        """Deliver frames with a longer side of at most ``max_side_px``, scaled during color conversion."""
        scale = min(1.0, max_side_px / max(self._stored_size))
        height, width = (max(1, round(side * scale)) for side in self._stored_size)
        self._stored_size = height, width
        self.info = replace(self.info, image_size=self._orientation.size(height, width))

    def frames(self, is_wanted: Callable[[int], bool] = lambda index: True) -> Iterator[SourceFrame]:
        """Yield every chosen frame, upright; ``is_wanted`` is asked before one is converted."""
        if not self.chosen:
            return
        wanted, delivered, shape = set(self.chosen), -1, None
        counts = Counter[str]()
        fields, combs = Deinterlacer(), CombCounter()
        for index, frame in fields.apply(self._decode_from(self.chosen[0])):
            if index > self.chosen[-1]:
                break
            if index not in wanted:
                continue
            counts["found"] += 1
            counts["late"] += index <= delivered
            if index <= delivered or not is_wanted(index):
                continue
            if self._demuxer != "gif" and fields.num_frames == 0:  # few colors are mixed in stripes
                combs.see(frame)
            before, shape = shape, self._shape_of(frame)
            delivered = index
            counts["damaged"] += frame.is_corrupt
            counts["reshaped"] += shape != self._shape
            if shape == self._shape:
                image = opaque(frame, self._stored_size)
            else:
                check_frame_size(*shape.size, self._limits)
                image = fit(opaque(frame, shape.size), self._stored_size)
            yield SourceFrame(
                index,
                self._timeline.times_s[index],
                self._orientation.apply(image),
                begins_shot=before is not None and shape != before,
            )
        counts["missing"] = len(wanted) - counts["found"]
        counts["interlaced"], counts["combed"] = fields.num_frames, int(combs.is_interlaced)
        self.warnings += [text.format(counts[name]) for name, text in _REMARKS.items() if counts[name] > 0]

    def _shape_of(self, frame: av.VideoFrame) -> FrameShape:
        ratio = 1.0
        if len(self._own_aspects) > 1:
            # The decoder may be ahead of the frame that it returns.
            ratio = pixel_aspect(frame) / self._first_own_aspect
            ratio = 1.0 if abs(ratio - 1) < _SAME_ASPECT else ratio
        return FrameShape(frame.height, frame.width, self._shape.pixel_aspect * ratio)

    def _decode_from(self, wanted: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode from a key frame before ``wanted``; try earlier ones while the first decoded frame is after it."""
        for start in (*self._key_packets_before(wanted), 0):
            with self._open() as container:
                decoded = self._decode(container, picture_stream(container), start)
                first = next(decoded, None)
                if start == 0 or (first is not None and first[0] <= wanted):
                    yield from () if first is None else chain([first], decoded)
                    return

    def _key_packets_before(self, wanted: int) -> list[int]:
        """Return key packets to try, the nearest first; none if decoding from the start is cheap."""
        ranks, times_s = self._timeline.ranks, self._timeline.times_s
        if ranks is None or times_s[wanted] < _SEEK_WORTH_S or self._demuxer not in _SEEKABLE:
            return []
        keys = [number for number, packet in enumerate(self._packets) if packet.is_keyframe and ranks[number] <= wanted]
        return [keys[-distance] for distance in (1, 2, 4, 8) if distance <= len(keys) and keys[-distance] > 0]
