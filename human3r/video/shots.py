"""Divide the frames of a clip into shots as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from human3r.records import Frame
from human3r.video.shot_detection import Lookahead, ShotDetector, with_lookahead
from human3r.video.thumbnails import Thumbnail

_SAMPLED_SIDE = 192
"""Pixels of a frame's long side from which its thumbnail is averaged."""


def thumbnail_of(frame: Frame) -> Thumbnail:
    """Return a frame's small copy."""
    step = max(1, max(frame.image.shape[:2]) // _SAMPLED_SIDE)
    picture = np.ascontiguousarray(frame.image[::step, ::step])
    return Thumbnail(torch.from_numpy(picture).permute(2, 0, 1).float(), frame.time_s)


def find_shots(frames: Iterable[Frame], lookahead: Lookahead | None = None) -> Iterator[Frame]:
    """Mark the frames that begin a shot; the first frame of a clip begins none.

    Args:
        frames: In order. Those that are marked already begin a shot whatever they show.
        lookahead: How far ahead frames may be read before one is yielded.
    """
    detector = ShotDetector()
    pairs = ((frame, thumbnail_of(frame)) for frame in frames)
    for (frame, thumbnail), ahead in with_lookahead(
        pairs, lookahead or Lookahead(), lambda pair: pair[0].time_s, lambda pair: pair[0].image.nbytes
    ):
        if frame.begins_shot:
            detector.restart()
        coming: list[Thumbnail] = []
        for other, small in ahead:
            if other.begins_shot:
                break
            coming.append(small)
        begins_shot = detector.begins_shot(thumbnail, coming)
        yield replace(frame, begins_shot=frame.begins_shot or begins_shot)
