"""Divide a stream of frames into shots, and find the picture inside borders of each shot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from human3r.records import Frame
from human3r.video.shots.borders import find_picture
from human3r.video.shots.detection import Lookahead, ShotDetector, with_lookahead
from human3r.video.shots.thumbnails import Thumbnail

_SAMPLED_SIDE = 192
"""Long side, pixels, to which a frame is subsampled before its thumbnail is averaged."""


def thumbnail_of(frame: Frame) -> Thumbnail:
    """Return the thumbnail of a frame."""
    step = max(1, max(frame.image.shape[:2]) // _SAMPLED_SIDE)
    picture = np.array(frame.image[::step, ::step])  # a decoder's image is not writable, of which torch warns
    return Thumbnail(torch.from_numpy(picture).permute(2, 0, 1).float(), frame.time_s)


def find_shots(frames: Iterable[Frame], lookahead: Lookahead | None = None) -> Iterator[Frame]:
    """Mark the frames that begin a shot, and the picture inside borders; the first frame of a clip is not marked.

    Args:
        frames: In order; marks that are already set are kept.
        lookahead: Number of frames read before one is yielded.
    """
    detector = ShotDetector()
    picture_px, is_first = None, True
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
        begins_shot |= frame.begins_shot
        if begins_shot or is_first:
            picture_px, is_first = _picture_of_shot(frame, thumbnail, ahead), False
        yield replace(frame, begins_shot=begins_shot, picture_px=picture_px)


def _picture_of_shot(
    frame: Frame, thumbnail: Thumbnail, ahead: Sequence[tuple[Frame, Thumbnail]]
) -> tuple[int, int, int, int] | None:
    images = [frame.image]
    for other, small in ahead:
        # After a cut borders may be gone, and blank frames have none.
        if other.begins_shot or not (small.is_blank or thumbnail.is_blank or thumbnail.shows_same_place(small)):
            break
        if not small.is_blank:
            images.append(other.image)
    return find_picture(images)
