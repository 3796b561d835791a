"""Decode a video or GIF with PyAV. Runs inside the decoder process only (see ``decode_worker``).

Packets are counted before anything is decoded, so limits hold against what the file contains and the chosen frames
are known exactly; then frames are decoded in presentation order, turned upright and handed on one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import av
import av.error
import numpy as np

from human3r.errors import MediaDecodeError, UnsupportedMediaError
from human3r.video.limits import MediaLimits, check_frame_size, check_length
from human3r.video.orientation import UPRIGHT, Orientation, from_display_matrix
from human3r.video.probe import ClipInfo
from human3r.video.sampling import Sampling, choose_frames, rate_of

_HDR_TRANSFERS = (16, 18)
"""SMPTE 2084 (PQ) and ARIB STD-B67 (HLG). Source: ITU-T H.273, table 3."""
_WITHOUT_PRESENTATION_TIMES = ("avi",)
"""Containers that store decoding order only; FFmpeg guesses, wrongly where frames are reordered."""
_MAX_BAD_PACKETS = 500
_SEEK_WORTH_S = 4.0


class VideoSource:
    """One video file, opened, counted and probed.

    Args:
        stream: The file, open for reading.
        demuxer: FFmpeg's name of the only container format that may be tried.
        sampling: Which frames to deliver.
        limits: What is refused.

    Raises:
        UnsupportedMediaError: No picture in the file.
        MediaDecodeError: Not one frame can be decoded.
        MediaTooLargeError: A limit is exceeded.
    """

    def __init__(self, stream: BinaryIO, demuxer: str, sampling: Sampling, limits: MediaLimits) -> None:
        self._stream, self._demuxer, self._limits = stream, demuxer, limits
        self.warnings: list[str] = []
        container = self._open()
        video = _picture_stream(container)
        check_frame_size(video.codec_context.height, video.codec_context.width, limits)
        claimed_frames = video.frames
        self._pts = self._count_packets(container, video)
        self._times_s = self._presentation_times(video)
        default_fps = float(video.average_rate or 0) or 30.0
        self._fps = rate_of(self._times_s, default_fps)
        duration_s = (self._times_s[-1] + 1 / self._fps) if self._times_s else 0.0
        check_length(len(self._times_s), self._fps if len(self._times_s) > 1 else 0.0, duration_s, limits)
        if claimed_frames - len(self._times_s) > max(2, 0.01 * claimed_frames) and demuxer != "gif":
            self.warnings.append(f"The file is cut short: {len(self._times_s)} of {claimed_frames} frames are there.")
        container.close()
        self.chosen = choose_frames(self._times_s, sampling)
        self._orientation = UPRIGHT
        self.info = self._probe_first_frame(duration_s)

    def _open(self) -> av.container.InputContainer:
        self._stream.seek(0)
        try:
            return av.open(
                self._stream,
                mode="r",
                format=self._demuxer,
                options={"protocol_whitelist": "file"},
                metadata_errors="ignore",
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaDecodeError(
                f"The file looks like {self._demuxer} but cannot be opened ({_reason(error)}).",
                "It is damaged or was cut off; export it again.",
            ) from error

    def _count_packets(self, container: av.container.InputContainer, video: av.VideoStream) -> list[int | None]:
        stamps: list[int | None] = []
        self._has_presentation_stamps = self._demuxer not in _WITHOUT_PRESENTATION_TIMES
        try:
            for packet in container.demux(video):
                if packet.size == 0 or packet.is_discard:
                    continue
                self._has_presentation_stamps &= packet.pts is not None
                stamps.append(packet.pts if packet.pts is not None else packet.dts)
                if len(stamps) > self._limits.num_frames:
                    check_length(len(stamps), 0.0, 0.0, self._limits)
        except av.error.FFmpegError as error:
            self.warnings.append(f"The file is damaged after {len(stamps)} frames ({_reason(error)}).")
        return stamps

    def _presentation_times(self, video: av.VideoStream) -> list[float]:
        known = [stamp for stamp in self._pts if stamp is not None]
        self._index_of_pts: dict[int, int] = {}
        if len(set(known)) == len(self._pts) and video.time_base:
            ordered = sorted(known)
            # Decoding times are right as a set, but they do not name the decoded frames.
            if self._has_presentation_stamps:
                self._index_of_pts = {stamp: index for index, stamp in enumerate(ordered)}
            return [float((stamp - ordered[0]) * video.time_base) for stamp in ordered]
        if self._pts:
            self.warnings.append("The time stamps are missing or repeated; an even frame rate is assumed.")
        rate = float(video.average_rate or video.guessed_rate or 30)
        return [index / rate for index in range(len(self._pts))]

    def _probe_first_frame(self, duration_s: float) -> ClipInfo:
        container = self._open()
        video = _picture_stream(container)
        first = next((frame for _, frame in self._decode(container, video)), None)
        if first is None:
            raise MediaDecodeError(
                f"Not one of {len(self._pts)} frames of the {video.codec_context.name} video can be decoded.",
                "The file is damaged; export it again.",
            )
        matrix = next((bytes(item) for item in first.side_data if item.type.name == "DISPLAYMATRIX"), b"")
        self._orientation: Orientation = from_display_matrix(matrix)
        aspect = float(video.sample_aspect_ratio or 1) or 1.0
        self._coded_size = (first.height, first.width)
        self._stored_size = (first.height, max(1, round(first.width * aspect)))
        check_frame_size(*self._stored_size, self._limits)
        is_hdr = first.color_trc in _HDR_TRANSFERS
        if is_hdr:
            self.warnings.append("HDR video: colors are approximate.")
        size = self._orientation.size(*self._stored_size)
        info = ClipInfo(
            kind="video",
            codec=video.codec_context.name,
            image_size=size,
            fps=self._fps,
            duration_s=duration_s,
            num_frames=len(self._times_s),
            num_selected=len(self.chosen),
            rotation_deg=self._orientation.rotation_deg,
            is_mirrored=self._orientation.is_mirrored,
            is_vfr=_is_uneven(self._times_s),
            is_hdr=is_hdr,
            bit_depth=max((component.bits for component in first.format.components), default=8),
            has_audio=bool(container.streams.audio),
        )
        container.close()
        return info

    def _decode(
        self, container: av.container.InputContainer, video: av.VideoStream
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield (index in presentation order, frame); skip damaged packets, stop where the file is cut."""
        video.thread_type = "AUTO"
        video.codec_context.thread_count = 2
        next_index = bad_packets = 0
        packets = container.demux(video)
        while bad_packets < _MAX_BAD_PACKETS:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                break
            if packet is None:
                break
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                bad_packets += 1
                continue
            for frame in frames:
                index = self._index_of_pts.get(frame.pts, next_index) if frame.pts is not None else next_index
                next_index = index + 1
                yield index, frame
        if bad_packets:
            self.warnings.append(f"{bad_packets} damaged packets were skipped.")

    def frames(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """Yield (frame index, time in seconds, upright ``H W 3`` uint8 RGB) of every chosen frame."""
        if not self.chosen:
            return
        container = self._open()
        video = _picture_stream(container)
        self._seek_near(container, video, self.chosen[0])
        wanted, last, delivered = set(self.chosen), self.chosen[-1], -1
        has_changed_size = False
        for index, frame in self._decode(container, video):
            if index > last:
                break
            if index not in wanted or index <= delivered:
                continue
            has_changed_size |= (frame.height, frame.width) != self._coded_size
            delivered = index
            yield index, self._times_s[index], self._orientation.apply(self._to_rgb(frame))
        if has_changed_size:
            self.warnings.append("The picture size changes inside the clip; later frames were resized to the first.")
        container.close()

    def _seek_near(self, container: av.container.InputContainer, video: av.VideoStream, index: int) -> None:
        """Jump to the key frame before ``index`` where time stamps allow an exact index afterwards."""
        if not self._index_of_pts or self._times_s[index] < _SEEK_WORTH_S or self._demuxer not in ("mov", "matroska"):
            return
        target = sorted(self._index_of_pts)[index]
        container.seek(target, stream=video, backward=True)

    def _to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        height, width = self._stored_size
        if (frame.height, frame.width) != (height, width):
            check_frame_size(frame.height, frame.width, self._limits)
            frame = frame.reformat(width=width, height=height, format="rgb24")
        return frame.to_ndarray(format="rgb24")


def _picture_stream(container: av.container.InputContainer) -> av.VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    if container.streams.audio:
        raise UnsupportedMediaError("The file has sound but no picture.", "Give a video.")
    raise UnsupportedMediaError("The file has no picture stream.", "Give a video, GIF, image folder or zip of images.")


def _is_uneven(times_s: list[float]) -> bool:
    steps = np.diff(np.asarray(times_s))
    if len(steps) < 2:
        return False
    return bool(np.mean(np.abs(steps - np.median(steps)) > 0.2 * np.median(steps)) > 0.02)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
