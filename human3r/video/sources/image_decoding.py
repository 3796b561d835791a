"""Decode one image with Pillow: upright, opaque RGB. Runs inside the decoder process only."""

from __future__ import annotations

import io
import re
import warnings as python_warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
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
_GRAY_BITS = re.compile(rb"\0\0\0\x01sBIT(.)", re.DOTALL)
"""Of a PNG, number of bits that the samples had at first. Source: PNG specification, section 11.3.2.5."""
_MAX_SAMPLE = 0x0119
"""Tag of a TIFF. Source: TIFF 6.0, MaxSampleValue."""
_DEPTHS = (8, 10, 12, 14, 16)
"""Bits of the cameras whose gray levels are stored in 16 bits."""
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
    """Return the level that is white in an image of more than 8 bits of gray, and whether the file states it.

    None for every other image.

    Raises:
        MediaTooLargeError: Too many pixels.
        MediaDecodeError: Not a supported image, or damaged.
    """
    with open_image_file(io.BytesIO(encoded)) as image:
        check_frame_size(image.height, image.width, limits)
        if not _is_deep_gray(image):
            return None, True
        if image.format == "PNG" and (bits := _GRAY_BITS.search(encoded[:4096])):
            return 2.0 ** min(max(bits[1][0], 1), 16) - 1, True
        if isinstance(image, TiffImageFile) and (stated := float(np.max(image.tag_v2.get(_MAX_SAMPLE, 0)))) > 0:
            return stated, True
        largest = float(_gray_levels(image).max(initial=0))
        if image.mode == "F" and largest <= 1:
            return 1.0, False
        return next((2.0**bits - 1 for bits in _DEPTHS if largest < 2**bits), largest), False


def _is_deep_gray(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _gray_levels(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)


def decode_image(encoded: bytes, limits: MediaLimits, white: float = 65535) -> tuple[np.ndarray, str]:
    """Decode one image to upright ``H W 3`` uint8 RGB; returns it with the format's name.

    Args:
        white: Level that is white in an image of more than 8 bits of gray.

    Raises:
        MediaTooLargeError: Too many pixels; checked from the header, before any pixel is decoded.
        MediaDecodeError: Not a supported image, or damaged.
    """
    with open_image_file(io.BytesIO(encoded)) as image:
        check_frame_size(image.height, image.width, limits)
        return orientation_of(image).apply(opaque_rgb(image, white)), str(image.format).lower()


def opaque_rgb(image: Image.Image, white: float = 65535) -> np.ndarray:
    """Return ``H W 3`` uint8, transparent pixels blended over gray; ``white`` is that of ``decode_image``."""
    if _is_deep_gray(image):
        # Pillow clips 16-bit gray to 255 instead of scaling it.
        gray = (_gray_levels(image) * (255 / white)).round().clip(0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if image.has_transparency_data:
        layers = np.asarray(image.convert("RGBA"))
        if layers[..., 3].min(initial=255) < 255:
            return on_neutral_ground(layers)
    return np.asarray(image.convert("RGB"))
