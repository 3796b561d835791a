"""Decode image folders, zips of images and single images. Runs inside the decoder process only.

A zip is read entry by entry in memory and never unpacked, so names with ``..`` or absolute names are harmless; sizes
are bounded while reading, not by the archive's directory.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

import numpy as np
from PIL import Image

from human3r.errors import InputError, MediaDecodeError, MediaTooLargeError, UnsupportedMediaError
from human3r.video.clip_info import ClipInfo
from human3r.video.limits import MEGABYTE, MediaLimits, check_chosen, check_file_size, check_frame_size
from human3r.video.sampling import Sampling, choose_frames
from human3r.video.sniff import VIDEO_SUFFIXES
from human3r.video.sources.animation import AnimationSource, is_animation
from human3r.video.sources.image_decoding import (
    IMAGE_KINDS,
    IMAGE_SUFFIXES,
    decode_image,
    has_color,
    holds_video,
    image_size,
    is_motion_jpeg,
    num_pages,
    white_level,
)
from human3r.video.sources.sequences import natural_key, one_sequence, without_twins
from human3r.video.sources.source_frame import SourceFrame
from human3r.video.sources.video import VideoSource

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
_OTHER_MEDIA = (*VIDEO_SUFFIXES, ".heic", ".heif", ".dng")
_NUM_LEVELS = 16
"""Images looked at to find out how many bits a sequence has."""
_MAX_TRIED = 100
"""Images looked at, and images decoded, at most to find an intact one."""


@dataclass(frozen=True)
class _Picture:
    """An image that has not been decoded yet."""

    name: str
    open: Callable[[], BinaryIO]
    """Opens it; the caller closes it."""


class ImageSource:
    """A sequence of images as a clip, ``fps`` or 30 per second, in the most frequent size.

    Args:
        kind: ``images`` or ``image``.
        sampling: Which frames to deliver.
        beat: Called repeatedly while decoding progresses.

    Raises:
        MediaDecodeError: Not one image can be decoded.
        MediaTooLargeError: A limit is exceeded.
    """

    def __init__(
        self, pictures: list[_Picture], kind: str, sampling: Sampling, limits: MediaLimits, beat: Callable[[], None]
    ) -> None:
        self._limits, self._beat = limits, beat
        self.warnings: list[str] = []
        self._pictures = pictures = self._of_one_sequence(pictures)
        fps = min(sampling.fps or _FOLDER_FPS, limits.fps)
        self._times_s = [index / fps for index in range(len(pictures))]
        self.chosen = choose_frames(self._times_s, sampling)
        if len(self.chosen) > limits.num_frames:
            check_chosen([self._times_s[index] for index in self.chosen], fps, limits)
        self._white = 65535.0
        self._size, codec = self._size_of_most()
        self._white = self._white_of_all()
        self.info = ClipInfo(
            kind=kind,
            codec=codec,
            image_size=self._size,
            fps=fps,
            duration_s=len(pictures) / fps,
            num_frames=len(pictures),
            num_selected=len(self.chosen),
        )

    def _of_one_sequence(self, pictures: list[_Picture]) -> list[_Picture]:
        singles = [pictures[index] for index in without_twins([picture.name for picture in pictures])]
        if twins := len(pictures) - len(singles):
            self.warnings.append(f"{twins} images were skipped that differ from another one in their ending only.")

        def shows_color(index: int) -> bool:
            try:
                with singles[index].open() as stream:
                    return has_color(stream)
            except InputError:
                return False

        chosen, remark = one_sequence([picture.name for picture in singles], shows_color)
        self.warnings += [remark] if remark else []
        return [singles[index] for index in chosen]

    def _size_of_most(self) -> tuple[tuple[int, int], str]:
        """Return the most frequent (height, width), the first of several, and the format of an image that has it."""
        sizes: list[tuple[int, int] | None] = []
        failure: InputError | None = None
        for picture in self._pictures:
            self._beat()
            try:
                with picture.open() as stream:
                    sizes.append(image_size(stream))
            except InputError as error:
                sizes.append(None)
                failure = error
            if len(sizes) == _MAX_TRIED and not any(sizes):
                break
        counts = Counter(size for size in sizes if size is not None)
        if counts:
            size = counts.most_common(1)[0][0]
            check_frame_size(*size, self._limits)
            for number in [number for number, found in enumerate(sizes) if found == size][:_MAX_TRIED]:
                try:
                    return size, self._decode(number)[1]
                except MediaTooLargeError:
                    raise
                except InputError as error:
                    failure = error
        tried = f"None of the {'first ' * (len(sizes) < len(self._pictures))}{len(sizes)} images can"
        message = f"{'The image cannot' if len(self._pictures) == 1 else tried} be decoded."
        raise MediaDecodeError(message, "Export it as JPEG or PNG.") from failure

    def _white_of_all(self) -> float:
        """Return the level that is white in images of more than 8 bits; one for all, lest they flicker."""
        levels: list[tuple[float, bool]] = []
        for number in self.chosen[:: max(1, len(self.chosen) // _NUM_LEVELS)]:
            self._beat()
            try:
                with self._pictures[number].open() as stream:
                    level, is_stated = white_level(_read_all(stream, self._limits), self._limits)
            except InputError:
                continue
            if level is None:
                break
            levels.append((level, is_stated))
        white, is_stated = max(levels, default=(65535.0, True))
        if not is_stated and 255 < white < 65535:
            self.warnings.append(f"Levels end below {white + 1:.0f} of 65536; this is taken for white.")
        return white

    def _decode(self, number: int) -> tuple[np.ndarray, str]:
        self._beat()
        with self._pictures[number].open() as stream:
            return decode_image(_read_all(stream, self._limits), self._limits, self._white)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield every chosen image, upright."""
        num_bad = num_other_shape = num_resized = 0
        for index in self.chosen:
            try:
                image, _ = self._decode(index)
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
            yield SourceFrame(index, self._times_s[index], image, self._pictures[index].name)
        if num_bad:
            self.warnings.append(f"{num_bad} images could not be decoded and were skipped.")
        if num_other_shape:
            self.warnings.append(f"{num_other_shape} images of another shape were skipped.")
        if num_resized:
            self.warnings.append(f"{num_resized} images were resized to the most frequent size.")


def open_folder(folder: Path, sampling: Sampling, limits: MediaLimits, beat: Callable[[], None]) -> ImageSource:
    """Open every image of a folder, in natural order of the names.

    Raises:
        UnsupportedMediaError: The folder holds no image.
    """
    entries = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
    shown = [entry for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    files = [entry for entry in shown if entry.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UnsupportedMediaError(f"The folder holds no {IMAGE_KINDS}.", "Give a folder of images or a video.")

    def opener(file: Path) -> Callable[[], BinaryIO]:
        def open_file() -> BinaryIO:
            try:
                check_file_size(file.stat().st_size, limits)
                return file.open("rb")
            except OSError as error:
                raise MediaDecodeError(f"{file.name} cannot be read.", "Check its permissions.") from error

        return open_file

    source = ImageSource([_Picture(file.name, opener(file)) for file in files], "images", sampling, limits, beat)
    if others := sum(entry.suffix.lower() in _OTHER_MEDIA for entry in shown):
        source.warnings.append(f"The folder holds {others} videos or images of other kinds, too, which were not used.")
    return source


def open_image(
    stream: BinaryIO, sampling: Sampling, limits: MediaLimits, beat: Callable[[], None]
) -> ImageSource | AnimationSource | VideoSource:
    """Open one image as a clip of one frame, an animated one and Motion JPEG as a clip of all their frames."""
    encoded = _read_all(stream, limits)
    if is_motion_jpeg(encoded):
        return VideoSource(stream, "mjpeg", sampling, limits, beat)
    if is_animation(encoded):
        return AnimationSource(encoded, sampling, limits, beat)
    source = ImageSource([_Picture("", lambda: io.BytesIO(encoded))], "image", sampling, limits, beat)
    if (pages := num_pages(encoded)) > 1:
        source.warnings.append(f"The file has {pages} pages; only the first is used.")
    if holds_video(encoded):
        source.warnings.append("The photo holds a short video, too, which was not used; save it as a video first.")
    return source


def open_zip(stream: BinaryIO, sampling: Sampling, limits: MediaLimits, beat: Callable[[], None]) -> ImageSource:
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
        raise UnsupportedMediaError(f"The zip holds no {IMAGE_KINDS}.", "Pack images, not a video.")
    if any(entry.flag_bits & 0x1 for entry in entries):
        raise UnsupportedMediaError("The zip is encrypted.", "Pack it without a password.")
    total = sum(entry.file_size for entry in entries)
    if total > limits.zip_total_bytes:
        raise MediaTooLargeError(
            f"The zip unpacks to {total / MEGABYTE:.0f} MB; the limit is {limits.zip_total_bytes / MEGABYTE:.0f} MB.",
            "Use fewer or smaller images.",
        )
    entries.sort(key=lambda entry: natural_key(entry.filename))
    pictures = [_Picture(entry.filename, _entry_opener(archive, entry, limits)) for entry in entries]
    return ImageSource(pictures, "images", sampling, limits, beat)


def _is_image_entry(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    is_hidden = any((part.startswith(".") and part not in ("..", ".")) or part == "__MACOSX" for part in path.parts)
    return not entry.is_dir() and not is_hidden and path.suffix.lower() in IMAGE_SUFFIXES


def _entry_opener(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: MediaLimits) -> Callable[[], BinaryIO]:
    def open_entry() -> BinaryIO:
        try:
            with archive.open(entry) as member:
                return io.BytesIO(_read_all(member, limits))
        except _ZIP_ERRORS as error:
            raise MediaDecodeError("An entry of the zip is damaged.", "Pack it again.") from error

    return open_entry


def _read_all(stream: IO[bytes], limits: MediaLimits) -> bytes:
    """Read an entry to its end in pieces: the size stated by the archive may be wrong."""
    content = bytearray()
    while piece := stream.read(MEGABYTE):
        content += piece
        check_file_size(len(content), limits)
    return bytes(content)
