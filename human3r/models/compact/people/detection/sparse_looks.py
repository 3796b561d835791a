"""Second looks at the frames between two that were examined: people between two consistent looks are interpolated.

A person between two looks is interpolated if both differ little and the first look at the frame itself agrees; the
others are examined in the middle frame, recursively. A first look may be interpolated as well (``same_people``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.models.compact.matching import mutually_nearest
from human3r.models.compact.people.detection.keypoints import ImageKeypoints, person_size
from human3r.models.compact.people.detection.person_crops import PersonCropDetector, keep_apart, torso_length


@dataclass(frozen=True)
class SparseLookOptions:
    """When a person is interpolated; lengths in torsos. Source: eleven real clips, see the model card."""

    min_score: float = 0.2
    """Keypoints with higher scores are compared."""
    max_change: float = 0.3
    """Largest difference between the looks before and after, by the second most moved keypoint; of first looks too: at
    .5 the limbs of people who turn over are exchanged."""
    max_deviation: float = 0.2
    """Largest distance of the first look from the line between the first looks before and after, by the same rule."""
    first_look_share: float = 0.5
    """Share of that distance that is added: a compromise between noise and motion."""
    max_distance: float = 0.8
    """Largest median distance of one person's keypoints in two frames."""


def look_between(
    detector: PersonCropDetector,
    images: Sequence[Tensor],
    first: Sequence[ImageKeypoints],
    ends: tuple[ImageKeypoints, ImageKeypoints],
    options: SparseLookOptions | None = None,
) -> list[ImageKeypoints]:
    """Return the people between two frames with the keypoints of crops, or interpolated between those of other frames.

    Args:
        detector: Makes the crops.
        images: ``3 H W`` RGB in [-1, 1], the consecutive frames between the two.
        first: First looks at the frame before, at each of these and at the frame after.
        ends: Second looks at the frames before and after.
        options: When a person is interpolated.
    """
    group = _Group(detector, images, first, ends, options or SparseLookOptions())
    group.fill(0, len(images) + 1)
    return group.finished()


def same_people(
    first: ImageKeypoints, later: ImageKeypoints, options: SparseLookOptions | None = None
) -> Tensor | None:
    """Return the rows in the later of two frames of the people in the first; None unless both show the same people.

    People who moved far are not recognized.
    """
    options = options or SparseLookOptions()
    if len(first) != len(later):
        return None
    rows = matching_rows(first, later, options)
    if bool((rows < 0).any()):
        return None
    moved = later.select(rows)
    is_trusted = torch.minimum(first.keypoint_score, moved.keypoint_score) > options.min_score
    change = _second_largest(moved.keypoints_px - first.keypoints_px, is_trusted)
    torso = torso_length(first.keypoints_px, person_size(first))
    return rows if bool((change < options.max_change * torso).all()) else None


def matching_rows(people: ImageKeypoints, others: ImageKeypoints, options: SparseLookOptions | None = None) -> Tensor:
    """Return the row of each person among those of another frame, -1 without."""
    options = options or SparseLookOptions()
    apart = torch.linalg.vector_norm(people.keypoints_px[:, None] - others.keypoints_px[None], dim=-1)
    distance = apart.median(dim=-1).values / torso_length(people.keypoints_px, person_size(people))[:, None]
    return mutually_nearest(distance, options.max_distance)


def interpolated(first: ImageKeypoints, later: ImageKeypoints, share: float) -> ImageKeypoints:
    """Return people between two looks at them, in the same order; ``share`` 0 is the first, 1 the later."""
    return ImageKeypoints(
        **{name: torch.lerp(values, getattr(later, name), share) for name, values in vars(first).items()}
    )


class _Group:
    def __init__(
        self,
        detector: PersonCropDetector,
        images: Sequence[Tensor],
        first: Sequence[ImageKeypoints],
        ends: tuple[ImageKeypoints, ImageKeypoints],
        options: SparseLookOptions,
    ) -> None:
        self._detector, self._images, self._first, self._options = detector, images, first, options
        self._second = [ends[0], *first[1:-1], ends[1]]
        self._is_known = [torch.zeros_like(one.score, dtype=torch.bool) for one in first]
        for known in (self._is_known[0], self._is_known[-1]):
            known[:] = True
        self._is_interpolated = [False] * len(first)

    def _look(self, frame: int) -> None:
        """Crop the people of a frame who are not known yet."""
        rows = (~self._is_known[frame]).nonzero()[:, 0]
        if len(rows):
            found = self._detector(self._images[frame - 1], self._first[frame].select(rows))
            self._put(frame, rows, found.keypoints_px, found.keypoint_score)

    def fill(self, start: int, end: int) -> None:
        """Find the people of the frames between two that are known."""
        between = range(start + 1, end)
        for frame in between:
            self._interpolate(frame, start, end)
        if all(bool(self._is_known[frame].all()) for frame in between):
            return
        middle = (start + end) // 2
        self._look(middle)
        self.fill(start, middle)
        self.fill(middle, end)

    def finished(self) -> list[ImageKeypoints]:
        """Return the people; of two who became one, the one that changed more gets its first look."""
        return [
            keep_apart(first, second, self._detector.options) if mixed else second
            for first, second, mixed in zip(self._first, self._second, self._is_interpolated, strict=True)
        ][1:-1]

    def _interpolate(self, frame: int, start: int, end: int) -> None:
        options, now = self._options, self._first[frame]
        rows = (~self._is_known[frame]).nonzero()[:, 0]
        now = now.select(rows)
        ends = [(other, self._rows_of(now, other)) for other in (start, end)]
        is_in_both = (ends[0][1] >= 0) & (ends[1][1] >= 0)
        rows, now = rows[is_in_both], now.select(is_in_both)
        if len(rows) == 0:
            return
        first = [self._first[other].select(found[is_in_both]) for other, found in ends]
        second = [self._second[other].select(found[is_in_both]) for other, found in ends]
        share = (frame - start) / (end - start)
        deviation = now.keypoints_px - torch.lerp(first[0].keypoints_px, first[1].keypoints_px, share)
        is_trusted = torch.minimum(second[0].keypoint_score, second[1].keypoint_score) > options.min_score
        torso = torso_length(now.keypoints_px, person_size(now))
        change = _second_largest(second[1].keypoints_px - second[0].keypoints_px, is_trusted) / torso
        is_clear = (change < options.max_change) & (
            _second_largest(deviation, is_trusted) < options.max_deviation * torso
        )
        place = torch.lerp(second[0].keypoints_px, second[1].keypoints_px, share)
        score = torch.lerp(second[0].keypoint_score, second[1].keypoint_score, share)
        # Between a joint and one that is somebody else's there is none.
        score = score * (torch.minimum(second[0].keypoint_score, second[1].keypoint_score) > 0)
        place = place + options.first_look_share * deviation
        self._put(frame, rows[is_clear], place[is_clear], score[is_clear])
        self._is_interpolated[frame] |= bool(is_clear.any())

    def _rows_of(self, people: ImageKeypoints, frame: int) -> Tensor:
        """Return the row of each person in another frame, -1 if absent or unknown there."""
        others = self._first[frame]
        if len(others) == 0:
            return torch.full_like(people.score, -1, dtype=torch.int64)
        rows = matching_rows(people, others, self._options)
        return torch.where(self._is_known[frame][rows], rows, -1)

    def _put(self, frame: int, rows: Tensor, keypoints_px: Tensor, keypoint_score: Tensor) -> None:
        old = self._second[frame]
        self._second[frame] = replace(
            old,
            keypoints_px=old.keypoints_px.index_copy(0, rows, keypoints_px),
            keypoint_score=old.keypoint_score.index_copy(0, rows, keypoint_score),
        )
        self._is_known[frame][rows] = True


def _second_largest(shift: Tensor, is_trusted: Tensor) -> Tensor:
    """Return ``P`` lengths: the second largest of ``P 17 2`` among the trusted; infinite without two of them."""
    length = torch.linalg.vector_norm(shift, dim=-1).masked_fill(~is_trusted, -torch.inf)
    second = length.topk(2, dim=-1).values[..., -1]
    return torch.where(torch.isinf(second), torch.inf, second)
