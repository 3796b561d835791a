"""Find the frames with which a new shot begins: cuts, dissolves, and cuts behind a fade or a flash.

A frame that shows another place than the frame before begins a shot, unless the old place returns within the lookahead:
then it was a flash, a person in front of the lens, or a fade out and in. A dissolve is an interval between two places
whose middle is a mixture of its ends; the shot begins in the middle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from human3r.video.shots.thumbnails import Thumbnail

ItemT = TypeVar("ItemT")

_BACK = (1, 2, 4, 8, 16)
"""Number of kept frames, counted from the newest, that are compared with a returning place."""
_AHEAD = (0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 31)
_AROUND_FADE = 8
"""Frames before and after a fade among which the clearest are compared: those next to it are nearly blank."""
_HALF_DISSOLVES = (26, 20, 15, 11, 8, 6, 4, 3, 2)
"""Half lengths of dissolves, frames; the longest that fits locates the middle."""
_MIN_CHANGE = 5.0
"""Root mean square difference between the ends of a dissolve, gray levels."""
_MAX_MISFIT, _MAX_MISFIT_ASIDE = 0.15, 0.2
"""Squared difference of the middle, and of the quarters, from a mixture of the ends, over that of the ends."""
_MIN_EXPLAINED = 0.36
"""Share of the middle's local contrast that the ends explain."""
_MAX_SIMILARITY = 0.33
"""Of the ends of a dissolve."""


@dataclass(frozen=True)
class Lookahead:
    """Number of frames read before a decision; in a live stream they add delay."""

    time_s: float = 1.0
    max_frames: int = 32
    max_bytes: int = 100_000_000
    """Of waiting frames."""
    min_frames: int = 2


@dataclass
class ShotDetector:
    """Decides frame by frame; keeps frames of the current shot."""

    max_past: int = 32
    """Frames kept of the current shot."""
    _past: list[Thumbnail] = field(default_factory=list)
    """Non-blank frames of the current shot, the last one at the end."""
    _last_blank: Thumbnail | None = None
    _is_after_blank: bool = False
    _num_passing: int = 0
    """Coming frames that show something passing in front of the current place."""

    def begins_shot(self, frame: Thumbnail, ahead: Sequence[Thumbnail]) -> bool:
        """Return whether the next frame begins a shot; to be called once per frame, in order.

        Args:
            frame: The frame.
            ahead: The frames after it that are known.
        """
        begins = self._decide(frame, ahead)
        if begins:
            self.restart()
        if self._num_passing > 0:
            self._num_passing -= 1
        elif frame.is_blank:
            self._last_blank, self._is_after_blank = frame, True
        else:
            self._past = [*self._past, frame][-self.max_past :]
            self._is_after_blank = False
        return begins

    def restart(self) -> None:
        """Reset: the next frame is the first of another shot."""
        self._past, self._last_blank, self._is_after_blank, self._num_passing = [], None, False, 0

    def _decide(self, frame: Thumbnail, ahead: Sequence[Thumbnail]) -> bool:
        if frame.is_blank or self._num_passing > 0:
            return False
        if not self._past:
            card = self._last_blank
            return card is not None and not card.is_empty and not card.shows_same_place(frame)
        before, after = self._past[-1], frame
        if self._is_after_blank:
            before = max(self._past[-_AROUND_FADE:], key=lambda one: one.detail)
            after = max((frame, *ahead[:_AROUND_FADE]), key=lambda one: one.detail)
        if before.shows_same_place(after):
            return self._is_middle_of_dissolve(frame, ahead)
        return not self._comes_back(frame, ahead)

    def _comes_back(self, frame: Thumbnail, ahead: Sequence[Thumbnail]) -> bool:
        """Return whether the place returns; the decision waits until then."""
        coming = (frame, *ahead)
        for back in _BACK[: len(self._past)]:
            for distance in _AHEAD:
                if back > len(self._past) or distance >= len(coming) or coming[distance].is_blank:
                    continue
                if self._past[-back].shows_same_place(coming[distance]):
                    self._num_passing = distance
                    return True
        return False

    def ended_in_dissolve(self, wait_s: float) -> bool:
        """Return whether the shot has dissolved into another place, judged by the frames so far.

        Args:
            wait_s: Since the end of the dissolve; the old place did not return meanwhile.
        """
        past, newest_s = self._past, self._past[-1].time_s if self._past else 0.0
        end = sum(newest_s - one.time_s >= wait_s for one in past) - 1
        return any(
            replace(self, _past=past[: end - half])._share_of_dissolve(half, *past[end - half :]) is not None
            for half in _HALF_DISSOLVES
            if half <= end
        )

    def _is_middle_of_dissolve(self, frame: Thumbnail, ahead: Sequence[Thumbnail]) -> bool:
        shares = (self._share_of_dissolve(half, frame, *ahead) for half in _HALF_DISSOLVES)
        share = next((share for share in shares if share is not None), None)
        return share is not None and share >= 0.5

    def _share_of_dissolve(self, half: int, frame: Thumbnail, *ahead: Thumbnail) -> float | None:
        """Return the share of the coming place in the middle of a dissolve; None if the frame is not one."""
        if half + 2 > len(self._past) or half > len(ahead):
            return None
        share = self._share_of_new(half, frame, ahead)
        return share if share is not None and self._is_between_places(half, frame, ahead) else None

    def _share_of_new(self, half: int, frame: Thumbnail, ahead: Sequence[Thumbnail]) -> float | None:
        """Return the share of the coming place in a mixture; None if the frame is not a mixture."""
        start, end = self._past[-half].color, ahead[half - 1].color
        if start.shape != end.shape:
            return None
        change = end - start
        total = float(change.square().sum())
        if total < _MIN_CHANGE**2 * change.numel():
            return None

        def mixture(one: Thumbnail) -> tuple[float, float]:
            share = float(((one.color - start) * change).sum()) / total
            return share, float((one.color - start - share * change).square().sum()) / total

        aside = max(half // 2, 1)
        (share, misfit) = mixture(frame)
        if not 0.15 <= share <= 0.85 or misfit > _MAX_MISFIT:
            return None
        (earlier, misfit_before), (later, misfit_after) = mixture(self._past[-aside]), mixture(ahead[aside - 1])
        is_gradual = earlier < share - 0.02 and share < later - 0.02
        return share if is_gradual and max(misfit_before, misfit_after) <= _MAX_MISFIT_ASIDE else None

    def _is_between_places(self, half: int, frame: Thumbnail, ahead: Sequence[Thumbnail]) -> bool:
        """Return whether the frame is a mixture of images of two places."""
        start, end = self._past[-half], ahead[half - 1]
        if end.is_blank or start.similarity(end) > _MAX_SIMILARITY or start.shows_same_place(end):
            return False
        if frame.explained_by(start, end) < _MIN_EXPLAINED:
            return False
        # A break inside the interval is a cut behind a fade, which is found later.
        chain = (frame, *ahead[:half])
        if any(not one.shows_same_place(other) for one, other in pairwise(chain)):
            return False
        # Someone in front of the lens: the old place returns.
        earlier, later = self._past[-half::-4], ahead[half - 1 :: 4]
        return not any(one.shows_same_place(other) for one in earlier for other in later if not other.is_blank)


def with_lookahead(
    items: Iterable[ItemT], lookahead: Lookahead, time_of: Callable[[ItemT], float], bytes_of: Callable[[ItemT], int]
) -> Iterator[tuple[ItemT, list[ItemT]]]:
    """Yield every item with the items that follow it, up to the lookahead."""
    waiting: deque[ItemT] = deque()
    source = iter(items)
    is_over = False
    while True:
        while not is_over and not _is_enough(waiting, lookahead, time_of, bytes_of):
            try:
                waiting.append(next(source))
            except StopIteration:
                is_over = True
        if not waiting:
            return
        item = waiting.popleft()
        yield item, list(waiting)


def _is_enough(
    waiting: Sequence[ItemT], lookahead: Lookahead, time_of: Callable[[ItemT], float], bytes_of: Callable[[ItemT], int]
) -> bool:
    ahead = len(waiting) - 1
    if ahead < lookahead.min_frames:
        return False
    return (
        ahead >= lookahead.max_frames
        or time_of(waiting[-1]) - time_of(waiting[0]) >= lookahead.time_s
        or ahead * bytes_of(waiting[0]) >= lookahead.max_bytes
    )
