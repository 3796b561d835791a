"""Decoding of MoveNet's head maps into people with 17 keypoints each.

Pure functions of the maps. The number of people is not limited: the cap of six in the published graph belongs to its
exported decoder, not to the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from human3r.models.compact.convnets.convolution import maximum_filter
from human3r.models.compact.convnets.movenet import NUM_KEYPOINTS, TORSO_KEYPOINTS, MoveNetMaps
from human3r.records import TensorRecord, concatenate

STRIDE_PX = 4
"""Pixels per cell of the head maps."""
_NEAR_CELLS = 4
"""Distance from a regressed keypoint that is searched first: enough for 98 % of those of real clips."""


@dataclass(frozen=True)
class DecodeOptions:
    """Thresholds of the decoder."""

    min_score: float = 0.3
    """Minimum center score. Source: measured on real clips; the best trade between small people and clutter."""
    min_score_small: float = 0.4
    """Minimum center score of a small person: clutter scores up to .5 but is tiny."""
    min_score_second: float = 0.55
    """The same for small people found in the enlarged image only: a tree scores .50 there, true people .66."""
    small_share: float = 0.12
    """A person shorter than this share of the long image side is small."""
    min_extent: float = 0.45
    """Minimum extent of the valid keypoints over the side of the box. Keypoints of false positives on furniture
    coincide (.01 to .36); of 1,500 true people on real clips two had less than .5."""
    nms_cells: int = 5
    """Side of the window in which a center must be the maximum. Source: the published graph."""
    weighting: Literal["reciprocal", "gaussian"] = "reciprocal"
    """Weight of a heat map by the distance from the regressed keypoint: 1 / (distance + 1.8), which keeps far wrists,
    or the published decoder's exp(-distance² / (.3 min(h, w))) inside the person's box."""
    duplicate_similarity: float = 0.5
    """Two people whose keypoints are more similar than this (0 to 1) are one."""
    torso_similarity: float = 0.4
    """The same of shoulders and hips alone, where the limbs are taken from two people behind each other."""
    torso_distance: float = 0.16
    """Distance of two torsos over the smaller person's size, up to which they may be one. Source: of 530 pairs of real
    people none, of 328 pairs of rendered people two are nearer and that similar."""


@dataclass(frozen=True)
class ImageKeypoints(TensorRecord):
    """P people in one image, best first."""

    keypoints_px: Tensor
    """``P 17 2`` (x, y) network pixels, COCO order."""
    keypoint_score: Tensor
    """``P 17`` heat map value at the keypoint, [0, 1]."""
    score: Tensor
    """``P`` center score, [0, 1]."""
    box_px: Tensor
    """``P 4`` (x0, y0, x1, y1) predicted box, network pixels."""
    center_px: Tensor
    """``P 2`` (x, y) of the center cell, network pixels."""

    def __len__(self) -> int:
        return self.score.shape[0]

    def select(self, index: Tensor) -> ImageKeypoints:
        """Keep the people at ``index`` (indices or a mask), in that order."""
        return self.map(lambda values: values[index])


def decode_people(
    maps: MoveNetMaps, options: DecodeOptions | None = None, long_side_px: int | None = None
) -> ImageKeypoints:
    """Decode the people of one image (batch 1), in descending score, without duplicates.

    ``long_side_px`` is the long side of the whole image where the maps show a crop of it; it decides who is small.
    """
    options = options or DecodeOptions()
    rows, columns, score = _find_centers(maps.center[0, 0], options)
    height, width = maps.center.shape[-2:]
    cells = torch.stack([rows, columns], dim=-1).float()
    regression = maps.keypoint_regression[0, :, rows, columns].T.reshape(-1, NUM_KEYPOINTS, 2)
    box_center = cells + maps.box_offset[0, :, rows, columns].T
    half_size = maps.box_scale[0, :, rows, columns].T.clamp(min=0) / 2
    limit = cells.new_tensor([height, width])
    box = torch.cat([(box_center - half_size).clamp(min=0), torch.minimum(box_center + half_size, limit)], dim=-1)
    regressed = cells[:, None] + regression
    keypoints, keypoint_score = (
        find_keypoints(maps, regressed)
        if options.weighting == "reciprocal"
        else _find_keypoints_in_box(maps, regressed, box)
    )
    people = ImageKeypoints(
        keypoints_px=_to_pixels(keypoints.flip(-1)),
        keypoint_score=keypoint_score,
        score=score,
        box_px=_to_pixels(box[:, [1, 0, 3, 2]]),
        center_px=_to_pixels(cells.flip(-1) + 0.5),
    )
    people = people.select(_is_plausible(people, long_side_px or STRIDE_PX * max(height, width), options))
    return remove_duplicates(people, options)


def remove_duplicates(people: ImageKeypoints, options: DecodeOptions | None = None) -> ImageKeypoints:
    """Keep the first of two people whose keypoints are similar; the input must be in descending priority."""
    options = options or DecodeOptions()
    if len(people) < 2:
        return people
    close = keypoint_similarity(people, people) > options.duplicate_similarity
    keep: list[int] = []
    for index, row in enumerate(close.tolist()):
        if not any(row[better] for better in keep):
            keep.append(index)
    return people.select(torch.tensor(keep, device=people.score.device))


def join_scales(base: ImageKeypoints, other: ImageKeypoints, options: DecodeOptions | None = None) -> ImageKeypoints:
    """Append the people of a second image scale (already in the pixels of the first) that match none of the first.

    The first scale has priority: the larger scale exchanges the legs of large people.
    """
    options = options or DecodeOptions()
    if len(other) == 0:
        return base
    if len(base) > 0:
        # A part of a large person may be detected on its own; it is not a new person.
        matched = (keypoint_similarity(other, base) > 0.5 * options.duplicate_similarity) | _mostly_inside(other, base)
        other = other.select(~matched.any(dim=1))
    return concatenate([base, other])


def has_own_torso(people: ImageKeypoints, options: DecodeOptions | None = None) -> Tensor:
    """Return ``P`` bool, False for people who share the torso of one with a higher score."""
    is_better = people.score[None] > people.score[:, None]
    return ~(share_torso(people, options) & is_better).any(dim=1)


def share_torso(people: ImageKeypoints, options: DecodeOptions | None = None) -> Tensor:
    """Return ``P P`` bool: shoulders and hips are in the same place; so are everyone's own."""
    options = options or DecodeOptions()
    near = torso_distance(people) < options.torso_distance
    return near & (keypoint_similarity(people, people, TORSO_KEYPOINTS) > options.torso_similarity)


def torso_distance(people: ImageKeypoints) -> Tensor:
    """Return ``P P`` distances of two people's torsos over the smaller person's size."""
    middle = people.keypoints_px[:, TORSO_KEYPOINTS].mean(1)
    return torch.linalg.vector_norm(middle[:, None] - middle[None], dim=-1) / _smaller_size(people, people)


def keypoint_similarity(
    first: ImageKeypoints, second: ImageKeypoints, keypoints: Sequence[int] = range(NUM_KEYPOINTS)
) -> Tensor:
    """Return ``P Q`` in [0, 1]: mean over keypoints of a Gaussian of their distance, sigma 8 % of the person's size.

    Keypoints are weighted by the product of both scores.
    """
    chosen = list(keypoints)
    moved = first.keypoints_px[:, None, chosen] - second.keypoints_px[None, :, chosen]
    distance = torch.linalg.vector_norm(moved, dim=-1)
    weight = (first.keypoint_score[:, None, chosen] * second.keypoint_score[None, :, chosen]).clamp(min=1e-4)
    closeness = torch.exp(-0.5 * (distance / (0.08 * _smaller_size(first, second)[..., None])) ** 2)
    return (closeness * weight).sum(-1) / weight.sum(-1)


def _smaller_size(first: ImageKeypoints, second: ImageKeypoints) -> Tensor:
    size = person_size(first)
    other = size if second is first else person_size(second)
    return torch.minimum(size[:, None], other[None]).clamp(min=1.0)


def person_size(people: ImageKeypoints) -> Tensor:
    """Return ``P`` longer sides of the box around the valid keypoints, pixels."""
    valid = (people.keypoint_score > 0.2)[..., None]
    high = people.keypoints_px.masked_fill(~valid, -torch.inf).amax(1)
    low = people.keypoints_px.masked_fill(~valid, torch.inf).amin(1)
    return (high - low).amax(-1).clamp(min=0.0).nan_to_num(0.0, 0.0, 0.0)


def _find_centers(center: Tensor, options: DecodeOptions) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, columns and scores of the local maxima, best first."""
    rows, columns = torch.nonzero(
        (center == maximum_filter(center, options.nms_cells // 2)) & (center >= options.min_score), as_tuple=True
    )
    score = center[rows, columns]
    order = torch.argsort(score, descending=True, stable=True)
    return rows[order], columns[order], score[order]


def find_keypoints(maps: MoveNetMaps, regressed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best cell near each regressed place of P people, as ``DecodeOptions.weighting`` "reciprocal" has it.

    Args:
        maps: Head maps with a batch of one.
        regressed: ``P 17 2`` (y, x) in cells.

    Returns:
        Keypoints ``P 17 2`` (y, x) in cells, and scores ``P 17``.
    """
    heatmap = maps.keypoint_heatmap[0]
    best, is_sure = _highest_near(heatmap, regressed)
    people, joints = (~is_sure).nonzero(as_tuple=True)
    # A few at a time: the values of all of them exceed the processor's cache.
    for some in torch.arange(len(people), device=people.device).split(NUM_KEYPOINTS):
        person, joint = people[some], joints[some]
        nearness = 1.8 + _squared_distance(regressed[person, joint], heatmap).sqrt_()
        best[person, joint] = _highest(heatmap[joint] / nearness)
    return _place(maps, best)


def _highest_near(heatmap: Tensor, regressed: Tensor) -> tuple[Tensor, Tensor]:
    """Search only the cells near the regressed places.

    Returns:
        ``P 17`` flat indices of the best cells, and ``P 17`` bool: no other cell of the map can be better.
    """
    height, width = heatmap.shape[-2:]
    side = min(2 * _NEAR_CELLS + 1, height, width)
    limit = torch.tensor([height, width], device=heatmap.device) - side
    first = torch.minimum((regressed.round().long() - _NEAR_CELLS).clamp(min=0), limit)
    cells = first[..., None] + torch.arange(side, device=heatmap.device)
    squared = (regressed[..., None] - cells).square()
    distance = (squared[..., 0, :, None] + squared[..., 1, None, :]).sqrt_()
    joints = torch.arange(NUM_KEYPOINTS, device=heatmap.device)[:, None, None]
    values = (heatmap[joints, cells[..., 0, :, None], cells[..., 1, None, :]] / distance.add_(1.8)).flatten(-2)
    score, best = values.max(-1)
    before, after = regressed - first + 1, first + side - regressed
    beyond = torch.minimum(
        before.masked_fill(first == 0, torch.inf), after.masked_fill(first == limit, torch.inf)
    ).amin(-1)
    is_sure = score > heatmap.amax((-2, -1)) / (beyond.clamp(min=0) + 1.8)
    cell = first + torch.stack([best // side, best % side], dim=-1)
    return cell[..., 0] * width + cell[..., 1], is_sure


def _highest(values: Tensor) -> Tensor:
    """Return ``n`` flat indices of the first largest values of ``n h w``; rows first takes a tenth of the time."""
    row = values.amax(-1).argmax(-1)
    column = values[torch.arange(len(values), device=values.device), row].argmax(-1)
    return row * values.shape[-1] + column


def _find_keypoints_in_box(maps: MoveNetMaps, regressed: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Return what ``find_keypoints`` returns, as the published decoder of MultiPose has it; ``box`` is ``P 4``."""
    heatmap = maps.keypoint_heatmap[0]
    height, width = heatmap.shape[-2:]
    rows = torch.arange(height, device=heatmap.device, dtype=heatmap.dtype)
    columns = torch.arange(width, device=heatmap.device, dtype=heatmap.dtype)
    inside_rows = (rows >= box[:, 0, None]) & (rows < box[:, 2, None])
    inside_columns = (columns >= box[:, 1, None]) & (columns < box[:, 3, None])
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    near = torch.exp(-_squared_distance(regressed, heatmap) / (0.3 * min(height, width)))
    score, best = (heatmap * near * inside).flatten(2).max(-1)
    return _place(maps, best)[0], score


def _squared_distance(regressed: Tensor, heatmap: Tensor) -> Tensor:
    """Return ``... 17 h w`` from ``... 17 2`` (y, x) to every cell."""
    height, width = heatmap.shape[-2:]
    rows = torch.arange(height, device=heatmap.device, dtype=heatmap.dtype)
    columns = torch.arange(width, device=heatmap.device, dtype=heatmap.dtype)
    row_distance = (regressed[..., 0, None] - rows).square()
    column_distance = (regressed[..., 1, None] - columns).square()
    return row_distance[..., :, None] + column_distance[..., None, :]


def _place(maps: MoveNetMaps, best: Tensor) -> tuple[Tensor, Tensor]:
    """Return exact places ``P 17 2`` (y, x) and heat map values of the cells ``best`` (``P 17``, flat indices)."""
    heatmap = maps.keypoint_heatmap[0]
    height, width = heatmap.shape[-2:]
    rows, columns = best // width, best % width
    offsets = maps.keypoint_offset[0].reshape(NUM_KEYPOINTS, 2, height, width)
    joints = torch.arange(NUM_KEYPOINTS, device=heatmap.device).expand_as(best)
    place = torch.stack([rows, columns], dim=-1) + offsets[joints, :, rows, columns]
    return place, heatmap[joints, rows, columns]


def _is_plausible(people: ImageKeypoints, long_side_px: int, options: DecodeOptions) -> Tensor:
    size = person_size(people)
    is_small = size < options.small_share * long_side_px
    box_side = (people.box_px[:, 2:] - people.box_px[:, :2]).amax(-1)
    has_extent = size >= options.min_extent * box_side
    return (~is_small | (people.score >= options.min_score_small)) & has_extent


def _mostly_inside(other: ImageKeypoints, base: ImageKeypoints) -> Tensor:
    """Return ``P Q``: more than 60 % of the valid keypoints of ``other`` are near a keypoint of ``base``."""
    distance = torch.linalg.vector_norm(other.keypoints_px[:, None, :, None] - base.keypoints_px[None, :, None], dim=-1)
    distance = distance.masked_fill((base.keypoint_score < 0.2)[None, :, None], torch.inf).amin(-1)
    near = (distance < 0.06 * person_size(base)[None, :, None]).float()
    valid = (other.keypoint_score > 0.2).float()[:, None]
    return (near * valid).sum(-1) > 0.6 * valid.sum(-1).clamp(min=1.0)


def _to_pixels(cells: Tensor) -> Tensor:
    # The network measures from the corner of the image; our pixel (0, 0) is a pixel center.
    return cells * STRIDE_PX - 0.5
