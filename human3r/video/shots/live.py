"""Divide a stream that does not wait into shots, from the past alone.

Frames that seem to begin a shot are held back: when the old place is seen again, it was a flash or a passer-by, and
they are left out; when it is not within ``PATIENCE_S``, the newest frame begins the shot. No other frame is delayed:
a dissolve is found when it has been over for as long.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from human3r.records import Frame
from human3r.video.shots.borders import find_picture
from human3r.video.shots.detection import ShotDetector
from human3r.video.shots.division import thumbnail_of
from human3r.video.shots.thumbnails import Thumbnail

FrameT = TypeVar("FrameT", bound=Frame)

PATIENCE_S = 0.4
"""Time within which the old place may come back."""
_BORDERS_S = 0.2
"""The first frames of a stream are held back for so long, to judge borders by several, where the first has some."""
_MAX_HELD = 32
_MAX_PAST = 64
"""Thumbnails kept of the current shot: dissolves of up to a second at 30 frames per second are found."""


class LiveShots:
    """Judges the frames of one stream in order, as far as they are looked at."""

    def __init__(self) -> None:
        self._detector = ShotDetector(_MAX_PAST)
        self._held: list[tuple[Frame, Thumbnail]] = []
        """Frames that may show another place; at first, frames with borders."""
        self._picture_px: tuple[int, int, int, int] | None = None
        self._has_picture = False
        """The borders of this shot are known; blank frames have none."""
        self._num_taken = 0

    def take(self, frame: FrameT) -> FrameT | None:
        """Return a frame with its marks, see ``Frame``; None: leave it out."""
        thumbnail = thumbnail_of(frame)
        self._held.append((frame, thumbnail))
        if self._has_picture and self._seems_new():
            waited_s = frame.time_s - self._held[0][0].time_s
            if 0 <= waited_s < PATIENCE_S and len(self._held) < _MAX_HELD:
                return None
            return self._begin(frame, thumbnail)
        if not self._has_picture and not thumbnail.is_blank:
            return self._first(frame, thumbnail)
        for index, (_, small) in enumerate(self._held):
            self._detector.begins_shot(small, [later for _, later in self._held[index + 1 :]])
        if self._detector.ended_in_dissolve(PATIENCE_S):
            return self._begin(frame, thumbnail)
        self._held.clear()
        self._num_taken += 1
        return replace(frame, picture_px=self._picture_px)

    def _seems_new(self) -> bool:
        """Return whether the held frames show a place that is not the shot's."""
        first, *ahead = (small for _, small in self._held)
        return replace(self._detector).begins_shot(first, ahead)

    def _begin(self, frame: FrameT, thumbnail: Thumbnail) -> FrameT:
        """Begin a shot, with the picture inside the borders that the held frames of the same place have."""
        same = [each.image for each, small in self._held if not small.is_blank and small.shows_same_place(thumbnail)]
        self._picture_px = find_picture(same or [frame.image])
        self._held.clear()
        self._detector.restart()
        self._detector.begins_shot(thumbnail, ())
        return replace(frame, begins_shot=True, picture_px=self._picture_px)

    def _first(self, frame: FrameT, thumbnail: Thumbnail) -> FrameT | None:
        """Judge the borders of the first frames that show something."""
        shown = [each for each, small in self._held if not small.is_blank]
        waited_s = frame.time_s - shown[0].time_s
        picture_px = find_picture([each.image for each in shown])
        if picture_px is not None and 0 <= waited_s < _BORDERS_S and len(self._held) < _MAX_HELD:
            return None
        self._has_picture = True
        # The network saw the blank frames before with their borders: it begins again.
        return replace(self._begin(frame, thumbnail), begins_shot=picture_px is not None and self._num_taken > 0)
