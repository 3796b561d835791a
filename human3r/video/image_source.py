"""Decode image folders, zips of images and single images. Runs inside the decoder process only.

A zip is read entry by entry in memory and never unpacked, so names with ``..`` or absolute names have nothing to
escape to; sizes are bounded while reading, not by what the archive's directory claims.
"""

from __future__ import annotations

import io
import lzma
import re
import warnings as python_warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from human3r.errors import InputError, MediaDecodeError, MediaTooLargeError, UnsupportedMediaError
from human3r.video.limits import MEGABYTE, MediaLimits, check_file_size, check_frame_size, check_length
from human3r.video.orientation import from_exif
from human3r.video.probe import ClipInfo
from human3r.video.sampling import Sampling, choose_frames

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".avif")
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "AVIF")
_EXIF_ORIENTATION = 0x0112
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
)
_FOLDER_FPS = 30.0
_ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class _Picture:
    """One image that has not been decoded yet."""

    name: str
    read: Callable[[], bytes]


class ImageSource:
    """A sequence of images as a clip. Images have no times: they count as ``fps``, or 30, per second.

    Args:
        pictures: The images in order.
        kind: ``images`` or ``image``.
        sampling: Which frames to deliver.
        limits: What is refused.

    Raises:
        MediaDecodeError: Not one image can be decoded.
        MediaTooLargeError: A limit is exceeded.
    """

    def __init__(self, pictures: list[_Picture], kind: str, sampling: Sampling, limits: MediaLimits) -> None:
        self._pictures, self._limits = pictures, limits
        self.warnings: list[str] = []
        fps = min(sampling.fps or _FOLDER_FPS, limits.fps)
        check_length(len(pictures), 0.0, 0.0, limits)
        self._times_s = [index / fps for index in range(len(pictures))]
        self.chosen = choose_frames(self._times_s, sampling)
        first, codec = self._first_decodable()
        self._size = first.shape[:2]
        self.info = ClipInfo(
            kind=kind,
            codec=codec,
            image_size=(first.shape[0], first.shape[1]),
            fps=fps,
            duration_s=len(pictures) / fps,
            num_frames=len(pictures),
            num_selected=len(self.chosen),
        )

    def _first_decodable(self) -> tuple[np.ndarray, str]:
        failure: InputError | None = None
        for picture in self._pictures[:100]:
            try:
                return decode_image(picture.read(), self._limits)
            except MediaTooLargeError:
                raise
            except InputError as error:
                failure = error
        raise MediaDecodeError(
            f"None of the {len(self._pictures)} images can be decoded.", "Export them as JPEG or PNG."
        ) from failure

    def frames(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """Yield (frame index, time in seconds, upright ``H W 3`` uint8 RGB) of every chosen image."""
        num_bad = num_other_shape = num_resized = 0
        for index in self.chosen:
            try:
                image, _ = decode_image(self._pictures[index].read(), self._limits)
            except InputError:
                num_bad += 1
                continue
            height, width = self._size
            if image.shape[:2] != self._size:
                if abs(image.shape[1] / image.shape[0] * height / width - 1) > _ASPECT_TOLERANCE:
                    num_other_shape += 1
                    continue
                num_resized += 1
                image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
            yield index, self._times_s[index], image
        if num_bad:
            self.warnings.append(f"{num_bad} images could not be decoded and were skipped.")
        if num_other_shape:
            self.warnings.append(f"{num_other_shape} images have another shape than the first and were skipped.")
        if num_resized:
            self.warnings.append(f"{num_resized} images were resized to the size of the first.")


def decode_image(encoded: bytes, limits: MediaLimits) -> tuple[np.ndarray, str]:
    """Decode one image to upright ``H W 3`` uint8 RGB; returns it with the format's name.

    Raises:
        MediaTooLargeError: Too many pixels; checked from the header, before any pixel is decoded.
        MediaDecodeError: Not a supported image, or damaged.
    """
    try:
        with python_warnings.catch_warnings():
            # Our own limit on pixels is stricter than Pillow's bomb warning and has a readable message.
            python_warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
                check_frame_size(image.height, image.width, limits)
                orientation = from_exif(int(image.getexif().get(_EXIF_ORIENTATION, 1)))
                codec = str(image.format).lower()
                return orientation.apply(_to_rgb(image)), codec
    except UnidentifiedImageError as error:
        raise MediaDecodeError("This is not a JPEG, PNG, BMP, WebP or AVIF image.", "Convert it to JPEG.") from error
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise MediaDecodeError("The image is damaged.", "Export it again.") from error


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips 16-bit gray to 255 instead of scaling it.
        gray = np.asarray(image).astype(np.float64)
        gray = (gray / (257.0 if gray.max(initial=0) > 255 else 1.0)).round().clip(0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def open_folder(folder: Path, sampling: Sampling, limits: MediaLimits) -> ImageSource:
    """Open every image of a folder, in natural order of the names.

    Raises:
        UnsupportedMediaError: The folder holds no image.
    """
    files = [
        entry
        for entry in sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".") and entry.is_file()
    ]
    if not files:
        raise UnsupportedMediaError(
            "The folder holds no JPEG, PNG, BMP, WebP or AVIF image.", "Give a folder of images or a video."
        )

    def reader(file: Path) -> Callable[[], bytes]:
        def read() -> bytes:
            check_file_size(file.stat().st_size, limits)
            return file.read_bytes()

        return read

    return ImageSource([_Picture(file.name, reader(file)) for file in files], "images", sampling, limits)


def open_image(stream: BinaryIO, sampling: Sampling, limits: MediaLimits) -> ImageSource:
    """Open one image as a clip of one frame."""
    encoded = stream.read(limits.file_bytes + 1)
    return ImageSource([_Picture("image", lambda: encoded)], "image", sampling, limits)


def open_zip(stream: BinaryIO, sampling: Sampling, limits: MediaLimits) -> ImageSource:
    """Open every image of a zip, in natural order of the paths.

    Raises:
        UnsupportedMediaError: No image inside, or the archive is encrypted.
        MediaTooLargeError: Too many entries or bytes.
        MediaDecodeError: The archive is damaged.
    """
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise MediaDecodeError("The zip file is damaged.", "Pack it again.") from error
    entries = [entry for entry in archive.infolist() if _is_image_entry(entry)]
    if not entries:
        raise UnsupportedMediaError("The zip holds no JPEG, PNG, BMP, WebP or AVIF image.", "Pack images, not a video.")
    if any(entry.flag_bits & 0x1 for entry in entries):
        raise UnsupportedMediaError("The zip is encrypted.", "Pack it without a password.")
    total = sum(entry.file_size for entry in entries)
    if total > limits.zip_total_bytes:
        raise MediaTooLargeError(
            f"The zip unpacks to {total / MEGABYTE:.0f} MB; the limit is {limits.zip_total_bytes / MEGABYTE:.0f} MB.",
            "Use fewer or smaller images.",
        )
    entries.sort(key=lambda entry: natural_key(entry.filename))
    pictures = [_Picture(entry.filename, _entry_reader(archive, entry, limits)) for entry in entries]
    return ImageSource(pictures, "images", sampling, limits)


def _is_image_entry(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    is_hidden = any((part.startswith(".") and part not in ("..", ".")) or part == "__MACOSX" for part in path.parts)
    return not entry.is_dir() and not is_hidden and path.suffix.lower() in IMAGE_SUFFIXES


def _entry_reader(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: MediaLimits) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with archive.open(entry) as member:
                encoded = member.read(limits.file_bytes + 1)
        except _ZIP_ERRORS as error:
            raise MediaDecodeError("An entry of the zip is damaged.", "Pack it again.") from error
        check_file_size(len(encoded), limits)
        return encoded

    return read


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``2.png`` before ``10.png``."""
    return [
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part.lower())
        for part in re.split(r"([0-9]{1,15})", name)
        if part
    ]
