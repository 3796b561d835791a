"""Bounds on what a user may hand in, and on what decoding it may cost.

The media bounds are checked by the probe, before a frame is decoded; the process bounds hold for the decoder child.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from human3r.errors import MediaTooLargeError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class MediaLimits:
    """Largest accepted media and largest allowed decoding cost."""

    file_bytes: int = 200 * MEGABYTE
    """Size of one file (video, GIF, image, zip), bytes; for an image folder, of each image."""
    frame_pixels: int = 8_300_000
    """Pixels per frame (UHD 3840 x 2160 passes)."""
    fps: float = 120.0
    """Average frames per second."""
    duration_s: float = 30 * 60.0
    """Presentation time, seconds."""
    num_frames: int = 54_000
    """Frames in the clip: 30 minutes at 30 fps."""
    zip_total_bytes: int = 4_000 * MEGABYTE
    """Unpacked size of all images of a zip, bytes."""
    child_memory_bytes: int = 2_000 * MEGABYTE
    """Address space of the decoder process, bytes."""
    child_cpu_s: int = 1_800
    """Processor time of the decoder process, seconds."""
    silence_s: float = 30.0
    """Longest time that the decoder may work without delivering anything, seconds."""

    def to_dict(self) -> dict[str, float]:
        """Return the limits as plain numbers."""
        return asdict(self)


DEFAULT_LIMITS = MediaLimits()


def check_file_size(size_bytes: int, limits: MediaLimits) -> None:
    """Refuse a file that is too big.

    Raises:
        MediaTooLargeError: With the measured size and the limit.
    """
    if size_bytes > limits.file_bytes:
        raise MediaTooLargeError(
            f"The file has {size_bytes / MEGABYTE:.0f} MB; the limit is {limits.file_bytes / MEGABYTE:.0f} MB.",
            "Cut or compress it.",
        )


def check_frame_size(height: int, width: int, limits: MediaLimits) -> None:
    """Refuse frames with too many pixels.

    Raises:
        MediaTooLargeError: With the measured size and the limit.
    """
    if height * width > limits.frame_pixels:
        raise MediaTooLargeError(
            f"A frame has {width} x {height} = {height * width / 1e6:.1f} megapixels; "
            f"the limit is {limits.frame_pixels / 1e6:.1f}.",
            "Scale it down to 4K or less.",
        )


def check_length(num_frames: int, fps: float, duration_s: float, limits: MediaLimits) -> None:
    """Refuse clips that are too long or too fast.

    Raises:
        MediaTooLargeError: With the measured value and the limit.
    """
    if duration_s > limits.duration_s:
        raise MediaTooLargeError(
            f"The clip lasts {duration_s / 60:.1f} minutes; the limit is {limits.duration_s / 60:.0f}.", "Cut it."
        )
    if num_frames > limits.num_frames:
        raise MediaTooLargeError(f"The clip has {num_frames} frames; the limit is {limits.num_frames}.", "Cut it.")
    # Half a frame per second of slack: 120 fps cameras write 120.02.
    if fps > limits.fps + 0.5:
        raise MediaTooLargeError(
            f"The clip runs at {fps:.1f} frames per second; the limit is {limits.fps:.0f}.", "Convert it to 60 fps."
        )
