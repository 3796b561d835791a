"""Clips made on the spot: every pixel value and time stamp is known."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from human3r.video.writer import VideoWriter


def corner_image(height: int, width: int, level: int = 0) -> np.ndarray:
    """Red top-left, green top-right, blue bottom-left, gray bottom-right quarter; gray carries ``level``."""
    image = np.full((height, width, 3), level, np.uint8)
    image[: height // 2, : width // 2] = (220, 20, 20)
    image[: height // 2, width // 2 :] = (20, 220, 20)
    image[height // 2 :, : width // 2] = (20, 20, 220)
    return image


def noise_clip(path: Path, num_frames: int, seed: int = 3) -> Path:
    """Write frames of 60 x 80 random squares, 10 per second, without any loss that matters."""
    rng = np.random.default_rng(seed)
    with VideoWriter(path, fps=10, quality=10) as writer:
        for _ in range(num_frames):
            writer.append(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(10, axis=0).repeat(10, axis=1))
    return path


def write_clip(
    path: Path,
    num_frames: int = 12,
    size: tuple[int, int] = (48, 64),
    fps: float = 10,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times_s: list[float] | None = None,
    container_options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=codec_options or {})
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(corner_image(*size, level=(index * 16) % 256), format="rgb24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[index] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def patch_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Overwrite the 2x2 part of the track header's matrix (identity comes first in the file's ``tkhd``)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = matrix
    values = [a << 16, b << 16, 0, c << 16, d << 16, 0]
    content[place : place + 24] = struct.pack(">6i", *values)
    path.write_bytes(content)
    return path
