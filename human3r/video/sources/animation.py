"""Decode animated WebP, PNG and AVIF with Pillow. Runs inside the decoder process only."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from itertools import islice

from PIL import Image

from human3r.errors import MediaDecodeError, MediaTooLargeError
from human3r.video.clip_info import ClipInfo
from human3r.video.limits import MediaLimits, check_chosen, check_frame_size
from human3r.video.sampling import Sampling, choose_frames, rate_of
from human3r.video.sources.apng import composed_frames
from human3r.video.sources.image_decoding import opaque_rgb, open_image_file, orientation_of
from human3r.video.sources.source_frame import SourceFrame

ANIMATED_FORMATS = ("WEBP", "PNG", "AVIF")
_ERRORS = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error)
_MAX_IGNORED_MS, _DEFAULT_FRAME_MS = 10.0, 100.0
"""Durations that are not believed, and what is taken instead, as in browsers."""


def is_animation(encoded: bytes) -> bool:
    """Return whether an image is animated.

    Raises:
        MediaDecodeError: Not a supported image, or damaged.
    """
    with open_image_file(io.BytesIO(encoded)) as image:
        return image.format in ANIMATED_FORMATS and _num_pictures(image) - _first(image) > 1


class AnimationSource:
    """An animated image as a clip.

    Args:
        sampling: Which frames to deliver.
        beat: Called repeatedly while decoding progresses.

    Raises:
        MediaDecodeError: Damaged before its second frame.
        MediaTooLargeError: A limit is exceeded.
    """

    def __init__(self, encoded: bytes, sampling: Sampling, limits: MediaLimits, beat: Callable[[], None]) -> None:
        self._encoded, self._beat = encoded, beat
        self.warnings: list[str] = []
        with open_image_file(io.BytesIO(encoded)) as image:
            check_frame_size(image.height, image.width, limits)
            num_pictures = _num_pictures(image)
            if num_pictures > limits.num_frames:
                raise MediaTooLargeError(
                    f"The animation has {num_pictures} frames; the limit is {limits.num_frames}.", "Cut it."
                )
            codec, size = str(image.format).lower(), orientation_of(image).size(image.height, image.width)
            self._times_s, end_s = self._read_times(image)
        fps = rate_of(self._times_s, 1 / end_s)
        self.chosen = choose_frames(self._times_s, sampling)
        check_chosen([self._times_s[index] for index in self.chosen], fps, limits)
        self.info = ClipInfo(
            kind="video",
            codec=codec,
            image_size=size,
            fps=fps,
            duration_s=end_s,
            num_frames=len(self._times_s),
            num_selected=len(self.chosen),
        )

    def _read_times(self, image: Image.Image) -> tuple[list[float], float]:
        """Return the start of each frame and the end of the last one, seconds."""
        times_s: list[float] = []
        end_ms = 0.0
        for image_at in self._pictures(image):
            duration_ms = float(image_at.info.get("duration") or 0)
            duration_ms = duration_ms if duration_ms > _MAX_IGNORED_MS else _DEFAULT_FRAME_MS
            begin_ms = max(float(image_at.info.get("timestamp", end_ms)), end_ms if not times_s else 0.0)
            if times_s and begin_ms <= times_s[-1] * 1000:
                begin_ms = end_ms
            times_s.append(begin_ms / 1000)
            end_ms = begin_ms + duration_ms
        if not times_s:
            raise MediaDecodeError("No frame of the animation can be decoded.", "Export it again.")
        return times_s, end_ms / 1000

    def _pictures(self, image: Image.Image) -> Iterator[Image.Image]:
        """Decode the frames in order; damage ends them with a warning."""
        pictures = composed_frames(self._encoded) if image.format == "PNG" else _loaded(image)
        pictures = islice(pictures, _num_pictures(image) - _first(image))
        num_decoded = 0
        while True:
            self._beat()
            try:
                picture = next(pictures, None)
            except _ERRORS:
                text = f"The file is damaged after {num_decoded} frames."
                self.warnings += [] if text in self.warnings else [text]
                return
            if picture is None:
                return
            num_decoded += 1
            yield picture

    def frames(self) -> Iterator[SourceFrame]:
        """Yield every chosen frame, upright."""
        if not self.chosen:
            return
        wanted, last = set(self.chosen), self.chosen[-1]
        with open_image_file(io.BytesIO(self._encoded)) as image:
            orientation = orientation_of(image)
            for index, image_at in enumerate(self._pictures(image)):
                if index in wanted:
                    yield SourceFrame(index, self._times_s[index], orientation.apply(opaque_rgb(image_at)))
                if index >= last:
                    return


def _loaded(image: Image.Image) -> Iterator[Image.Image]:
    for number in range(_num_pictures(image)):
        image.seek(number)
        image.load()
        yield image


def _num_pictures(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def _first(image: Image.Image) -> int:
    """Return the number of the first frame: a PNG may begin with a still for readers without animation."""
    return int(bool(image.info.get("default_image")))
