"""Decode one image with Pillow: upright, opaque RGB. Runs inside the decoder process only."""

from __future__ import annotations

import io
import re
import warnings as python_warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from human3r.errors import MediaDecodeError, UnsupportedMediaError
from human3r.video.limits import MediaLimits, check_frame_size
from human3r.video.orientation import UPRIGHT, Orientation, from_exif
from human3r.video.sources.source_frame import on_neutral_ground

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".webp", ".avif", ".tif", ".tiff")
IMAGE_KINDS = "JPEG, PNG, BMP, WebP, AVIF or TIFF image"
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "AVIF", "TIFF")
_EXIF_ORIENTATION = 0x0112
_JPEG_TO_JPEG = b"\xff\xd9\xff\xd8\xff"
"""The end of a JPEG and the beginning of the next."""
_VIDEO_AFTER_JPEG = re.compile(rb"\xff\xd9.{0,4096}?\x00\x00\x00.ftyp[a-z]", re.DOTALL)
_FIRST_BITS = re.compile(rb"\0\0\0[\x01-\x04]sBIT(.)", re.DOTALL)
"""Of a PNG, number of bits that the samples had at first. Source: PNG specification, section 11.3.2.5."""
_DEEP_PNG = re.compile(rb"\x89PNG\r\n\x1a\n.{16}\x10[\x02\x04\x06]", re.DOTALL)
"""A PNG of 16 bits of color, or of gray with transparency. Source: PNG specification, section 11.2.1."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _RGB = 0x0102, 0x0106, 0x0112, 2
"""Tags of a TIFF, and the photometric interpretation of color. Source: TIFF 6.0."""
_MAX_SAMPLE = 0x0119
"""Tag of a TIFF. Source: TIFF 6.0, MaxSampleValue."""
_DEPTHS = (8, 10, 12, 14, 16)
"""Bits of the cameras whose levels are stored in 16 bits."""
_PREVIEW, _IS_REDUCED, _DNG_VERSION = 0x00FE, 1, 0xC612
"""Tags of a TIFF whose first picture is the preview of a raw photo. Source: TIFF 6.0, NewSubfileType; DNG 1.4."""


@contextmanager
def open_image_file(stream: BinaryIO) -> Iterator[Image.Image]:
    """Open an image; only its header is read.

    Raises:
        MediaDecodeError: Not a supported image, or damaged; also raised from within the block.
        UnsupportedMediaError: A camera's raw photo.
    """
    try:
        with python_warnings.catch_warnings():
            # Our own limit on pixels is stricter than Pillow's bomb warning and has a readable message.
            python_warnings.simplefilter("ignore")
            with Image.open(stream, formats=_FORMATS) as image:
                if isinstance(image, TiffImageFile) and _is_preview(image):
                    raise UnsupportedMediaError(
                        "This is a camera's raw photo, of which only the preview can be read.", "Develop it to JPEG."
                    )
                yield image
    except UnidentifiedImageError as error:
        raise MediaDecodeError(f"This is not a {IMAGE_KINDS}.", "Convert it to JPEG.") from error
    except (OSError, ValueError, SyntaxError, TypeError, EOFError, RuntimeError, Image.DecompressionBombError) as error:
        raise MediaDecodeError("The image is damaged.", "Export it again.") from error


def _is_preview(image: TiffImageFile) -> bool:
    return bool(int(image.tag_v2.get(_PREVIEW, 0)) & _IS_REDUCED) or _DNG_VERSION in image.tag_v2


def orientation_of(image: Image.Image) -> Orientation:
    """Return the orientation of an image; Pillow itself applies that of TIFF."""
    return UPRIGHT if image.format == "TIFF" else from_exif(int(image.getexif().get(_EXIF_ORIENTATION, 1)))


def image_size(stream: BinaryIO) -> tuple[int, int]:
    """Return (height, width) of the upright image from its header.

    Raises:
        MediaDecodeError: Not a supported image, or damaged.
    """
    with open_image_file(stream) as image:
        return orientation_of(image).size(image.height, image.width)


def has_color(stream: BinaryIO) -> bool:
    """Return whether an image stores colors rather than levels of gray or numbers of labels.

    Raises:
        MediaDecodeError: Not a supported image, or damaged.
    """
    with open_image_file(stream) as image:
        return len(image.getbands()) >= 3


def holds_video(encoded: bytes) -> bool:
    """Return whether a JPEG ends in a video, as the motion photos of phones do."""
    return encoded.startswith(_JPEG_TO_JPEG[2:]) and _VIDEO_AFTER_JPEG.search(encoded) is not None


def is_motion_jpeg(encoded: bytes) -> bool:
    """Return whether a JPEG is followed by another one of its size: a stream without a container.

    Pillow calls an image MPO if its header announces further views; a preview that cameras append is smaller.
    """
    end = encoded.find(_JPEG_TO_JPEG) if encoded.startswith(_JPEG_TO_JPEG[2:]) else -1
    if end < 0:
        return False
    try:
        with open_image_file(io.BytesIO(encoded)) as first, open_image_file(io.BytesIO(encoded[end + 2 :])) as second:
            return first.format == "JPEG" and first.size == second.size
    except MediaDecodeError:
        return False


def num_pages(encoded: bytes) -> int:
    """Return the number of pages of a TIFF; 1 for everything else."""
    with open_image_file(io.BytesIO(encoded)) as image:
        return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1


def white_level(encoded: bytes, limits: MediaLimits) -> tuple[float | None, bool]:
    """Return the level that is white in an image of more than 8 bits, and whether the file states it.

    None for every other image.

    Raises:
        MediaTooLargeError: Too many pixels.
        MediaDecodeError: Not a supported image, or damaged.
    """
    with open_image_file(io.BytesIO(encoded)) as image:
        check_frame_size(image.height, image.width, limits)
        levels = _deep_levels(image, encoded)
        if levels is None:
            return None, True
        largest = float(levels.max(initial=0))
        if image.format == "PNG" and (bits := _FIRST_BITS.search(encoded[:4096])):
            unit = 2 ** (16 - min(max(bits[1][0], 1), 16))
            # Levels should be scaled to 16 bits, but cameras write them as they are.
            is_scaled = largest >= 65536 / unit or not np.any(levels % unit)
            return (65535.0 if is_scaled else 65536.0 / unit - 1), True
        if isinstance(image, TiffImageFile) and (stated := float(np.max(image.tag_v2.get(_MAX_SAMPLE, 0)))) > 0:
            return stated, True
        if image.mode == "F" and largest <= 1:
            return 1.0, False
        if not np.any(levels % 257):  # 8 bits, scaled
            return 65535.0, True
        return next((2.0**bits - 1 for bits in _DEPTHS if largest < 2**bits), largest), False


def _deep_levels(image: Image.Image, encoded: bytes) -> np.ndarray | None:
    """Return the levels of an image of more than 8 bits as ``H W`` of gray or ``H W C``; None for every other image."""
    if image.mode.startswith("I") or image.mode == "F":
        return np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)
    if _DEEP_PNG.match(encoded):
        return _sixteen_bit_samples("png", encoded)
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _RGB:
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, ())
        samples = _sixteen_bit_samples("tiff", encoded) if set(bits) == {16} else None
        return None if samples is None else from_exif(int(image.tag_v2.get(_ORIENTATION, 1))).apply(samples)
    return None


def _sixteen_bit_samples(codec: str, encoded: bytes) -> np.ndarray | None:
    """Decode an image with FFmpeg, as Pillow keeps 8 bits of color; None if FFmpeg cannot."""
    context = cast("VideoCodecContext", av.CodecContext.create(codec, "r"))
    context.thread_count = 1
    try:
        frame = (context.decode(av.Packet(encoded)) or context.decode(None))[0]
    except (FFmpegError, IndexError):
        return None
    components, plane = frame.format.components, frame.planes[0]
    if len(frame.planes) > 1 or any(component.bits != 16 for component in components):
        return None
    order = ">u2" if frame.format.is_big_endian else "<u2"
    rows = np.frombuffer(bytes(plane), order).reshape(-1, plane.line_size // 2)[: frame.height]
    return rows[:, : frame.width * len(components)].reshape(frame.height, frame.width, -1).astype(np.uint16)


def decode_image(encoded: bytes, limits: MediaLimits, white: float = 65535) -> tuple[np.ndarray, str]:
    """Decode one image to upright ``H W 3`` uint8 RGB; returns it with the format's name.

    Args:
        white: Level that is white in an image of more than 8 bits.

    Raises:
        MediaTooLargeError: Too many pixels; checked from the header, before any pixel is decoded.
        MediaDecodeError: Not a supported image, or damaged.
    """
    with open_image_file(io.BytesIO(encoded)) as image:
        check_frame_size(image.height, image.width, limits)
        is_gray = image.mode.startswith("I") or image.mode == "F"
        levels = _deep_levels(image, encoded) if is_gray or white != 65535 else None
        rgb = opaque_rgb(image) if levels is None else _shown(levels * np.float32(255 / white))
        return orientation_of(image).apply(rgb), str(image.format).lower()


def _shown(levels: np.ndarray) -> np.ndarray:
    """Return ``H W 3`` uint8 from levels of gray, gray and alpha, color, or color and alpha, of which 255 is white."""
    layers = np.atleast_3d(levels.round().clip(0, 255).astype(np.uint8))
    num_colors = layers.shape[2] - (layers.shape[2] + 1) % 2
    colors = np.broadcast_to(layers[..., :num_colors], (*layers.shape[:2], 3))
    if num_colors == layers.shape[2]:
        return np.ascontiguousarray(colors)
    return on_neutral_ground(np.concatenate([colors, layers[..., num_colors:]], axis=2))


def opaque_rgb(image: Image.Image) -> np.ndarray:
    """Return ``H W 3`` uint8, transparent pixels blended over gray."""
    if image.has_transparency_data:
        layers = np.asarray(image.convert("RGBA"))
        if layers[..., 3].min(initial=255) < 255:
            return on_neutral_ground(layers)
    return np.asarray(image.convert("RGB"))
