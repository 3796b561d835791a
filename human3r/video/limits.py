"""Bounds on the media of a user, and on the resources for decoding them.

The media bounds are checked by the probe and apply to the requested part of the clip; the process bounds apply to the
decoder process. ``MediaLimits()`` is for visitors of a server, ``DEFAULT_LIMITS`` for the local user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from human3r.errors import InputError, MediaTooLargeError, UnsupportedMediaError
from human3r.video.sampling import rate_of

MEGABYTE = 1_000_000
MIN_SIDE_PX = 16
"""Side of one patch of the networks."""
MAX_PACKETS = 5_000_000
"""Frames in a file, since each costs memory: two days at 30 fps."""


@dataclass(frozen=True)
class MediaLimits:
    """Largest accepted media and largest allowed decoding cost."""

    file_bytes: int = 200 * MEGABYTE
    """Size of one file (video, GIF, image, zip), bytes; for an image folder, of each image."""
    frame_pixels: int = 8_300_000
    """Pixels per frame (UHD 3840 x 2160 passes)."""
    fps: float = 120.0
    """Average rate of the chosen frames, frames per second."""
    duration_s: float = 30 * 60.0
    """Duration of the requested part, seconds."""
    num_frames: int = 54_000
    """Chosen frames: 30 minutes at 30 fps."""
    zip_total_bytes: int = 4_000 * MEGABYTE
    """Unpacked size of all images of a zip, bytes."""
    child_memory_bytes: int = 2_000 * MEGABYTE
    """Address space of the decoder process, bytes."""
    child_cpu_s: int = 1_800
    """Processor time of the decoder process, seconds."""
    silence_s: float = 30.0
    """Longest time that the decoder may work without any progress, seconds of its processor time."""

    def to_dict(self) -> dict[str, float]:
        """Return the limits by name."""
        return asdict(self)


DEFAULT_LIMITS = MediaLimits(
    file_bytes=1_000_000 * MEGABYTE,
    frame_pixels=34_000_000,  # 8K UHD passes
    fps=1_000.0,
    duration_s=24 * 3600.0,
    num_frames=2_600_000,
    zip_total_bytes=1_000_000 * MEGABYTE,
    child_memory_bytes=8_000 * MEGABYTE,
    child_cpu_s=7 * 24 * 3600,
)


def raise_limits(limits: MediaLimits, changes: Sequence[str]) -> MediaLimits:
    """Return limits with some replaced; a change has the form ``NAME=NUMBER``.

    Raises:
        InputError: An unknown limit, or not a positive number.
    """
    kinds = {field.name: type(getattr(limits, field.name)) for field in fields(limits)}
    for change in changes:
        name, _, text = change.partition("=")
        try:
            value = kinds[name](float(text))
        except (KeyError, ValueError, OverflowError):
            value = 0
        if not value > 0:
            raise InputError(
                f"The limit {change!r} cannot be set.", f"Give NAME=NUMBER with one of {', '.join(kinds)}."
            )
        limits = replace(limits, **{name: value})
    return limits


def check_file_size(size_bytes: int, limits: MediaLimits) -> None:
    """Refuse a file that is too large.

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
            "Scale it down.",
        )


def check_smallest_side(size: tuple[int, int]) -> None:
    """Refuse frames that are too small.

    Args:
        size: (height, width), pixels.

    Raises:
        UnsupportedMediaError: With the measured size and the limit.
    """
    if min(size) < MIN_SIDE_PX:
        raise UnsupportedMediaError(
            f"A frame has {size[1]} x {size[0]} pixels; at least {MIN_SIDE_PX} on each side are needed.",
            "Give a larger video.",
        )


def check_packets(num_packets: int) -> None:
    """Refuse a file with too many frames.

    Raises:
        MediaTooLargeError: With the limit.
    """
    if num_packets > MAX_PACKETS:
        raise MediaTooLargeError(f"The file has more than {MAX_PACKETS} frames.", "Cut it.")


def check_chosen(times_s: Sequence[float], default_fps: float, limits: MediaLimits) -> None:
    """Refuse a part that is too long or too fast.

    Args:
        times_s: Times of the chosen frames, seconds.
        default_fps: Rate of a part with fewer than two frames.

    Raises:
        MediaTooLargeError: With the measured value and the limit.
    """
    fps = rate_of(times_s, default_fps)
    duration_s = times_s[-1] - times_s[0] + 1 / fps if times_s else 0.0
    remedy = "Use a part of it (start, duration) or fewer frames per second."
    if duration_s > limits.duration_s:
        raise MediaTooLargeError(
            f"The clip lasts {duration_s / 60:.1f} minutes; the limit is {limits.duration_s / 60:.0f}.", remedy
        )
    if len(times_s) > limits.num_frames:
        raise MediaTooLargeError(f"The clip has {len(times_s)} frames; the limit is {limits.num_frames}.", remedy)
    # Half a frame per second of tolerance: 120 fps cameras write 120.02.
    if len(times_s) > 1 and fps > limits.fps + 0.5:
        raise MediaTooLargeError(
            f"The clip runs at {fps:.1f} frames per second; the limit is {limits.fps:.0f}.",
            "Use fewer frames per second.",
        )
