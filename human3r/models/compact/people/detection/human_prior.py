"""The compact human prior: frozen MoveNet on the image, and on enlarged crops of it where small people may be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.compact.convnets.convolution import maximum_filter
from human3r.models.compact.convnets.movenet import MoveNet, MoveNetMaps
from human3r.models.compact.people.detection.keypoints import DecodeOptions, ImageKeypoints, decode_people, join_scales
from human3r.models.compact.people.detection.second_look import Looks
from human3r.models.config import CompactConfig
from human3r.models.parts import BatchRecord
from human3r.records import TensorRecord

_SIDE_MULTIPLE = 32
_CROP_PX = 192
"""Side of a square crop of the enlarged image, pixels."""
_CROP_MARGIN = 1.5
"""Least ratio of the side of a crop to the size of the person in it."""
_MAX_CROPPED_SHARE = 0.75
"""Share of the enlarged image above which crops cost as much as the whole image."""
_CANDIDATE_SCORES = (0.08, 0.4)
"""Range of center scores above clutter and below what a small person needs to be accepted."""
_SAME_CELLS = 2
"""Distance of a candidate from one of the frame before, up to which it is the same."""
_NEAR_CELLS, _MIN_CONFIRMED = 3, 0.2
"""Least score of a center this near in the enlarged image that confirms a candidate; people need .3."""
_SEARCH_AGAIN = 1
"""Frames for which a large candidate that the enlarged image did not confirm is left alone."""


@dataclass(frozen=True)
class EnlargedMaps(TensorRecord):
    """Head maps of K square crops of one enlarged frame, or of the whole enlarged frame (K = 1)."""

    maps: MoveNetMaps
    """A batch of K."""
    corner_px: Tensor
    """``K 2`` (x, y) of each crop's top-left pixel in the enlarged frame."""
    image_size: tuple[int, int]
    """(height, width) of the enlarged frame."""
    frame: int = 0
    """Index of the frame in the batch."""


@dataclass(frozen=True)
class MoveNetFeatures(BatchRecord):
    """Head maps of MoveNet for B frames."""

    maps: MoveNetMaps
    """At the size of the network image."""
    enlarged: tuple[EnlargedMaps, ...] = ()
    """Of the frames with candidates for small people."""
    image: Tensor | None = None
    """``B 3 H W`` network image in [-1, 1], for crops of single people."""
    people: ImageKeypoints | None = None
    """Decoded people of a single frame; None before decoding."""
    looks: Looks | None = None
    """The crops that ``people`` rest on."""
    doubted: Tensor | None = None
    """``K 3`` (row, column, frames since) of the large candidates of a single frame in which the enlarged image showed
    nobody; None without."""
    resting: int = 0
    """Frames up to this one in which the camera has stood, as ``RestState`` counts them."""

    def select(self, index: int) -> MoveNetFeatures:
        """Return the maps of frame ``index`` alone, batch axis kept."""
        if self.maps.center.shape[0] == 1:
            return self
        maps = self.maps.map(lambda values: values[index : index + 1])
        image = None if self.image is None else self.image[index : index + 1]
        enlarged = tuple(replace(item, frame=0) for item in self.enlarged if item.frame == index)
        return MoveNetFeatures(maps, enlarged, image)


class MoveNetPrior(nn.Module):
    """MoveNet at one or two scales."""

    def __init__(self, parts: CompactConfig) -> None:
        super().__init__()
        self.second_scale_px = parts.second_scale_px
        self.network = MoveNet()
        self.network.requires_grad_(False)

    def encode_base(self, image: Tensor) -> MoveNetFeatures:
        """Encode ``B 3 H W`` in [-1, 1] at its own size only."""
        return MoveNetFeatures(self.network(image.to(self.network.stem.weight.dtype)), image=image)

    def forward(self, image: Tensor, before: BatchRecord | None = None) -> MoveNetFeatures:
        """Encode ``B 3 H W`` in [-1, 1]; ``before`` is the frame before, whose large candidates need no second search.

        The enlarged image of large candidates is the whole one, and clutter that looks like a person stays.
        """
        features = self.encode_base(image)
        size = enlarged_size((image.shape[-2], image.shape[-1]), self.second_scale_px)
        if size is None:
            return features
        candidates = find_candidates(features.maps.center)
        known = before.doubted if isinstance(before, MoveNetFeatures) else None
        enlarged, doubted = [], None
        for frame in sorted(set(candidates[:, 0].tolist())):
            maps, own = features.select(frame).maps, candidates[candidates[:, 0] == frame]
            is_large = are_large(maps, own, size)
            age = torch.where(is_large, _age_of(own, known), 0)
            fresh = own[age == 0]
            doubted = torch.cat([own[:, 1:], age[:, None]], dim=1)[age > 0]
            if len(fresh):
                corners = choose_crops(maps, fresh, size)
                enlarged.append(self._encode_enlarged(image[frame : frame + 1], corners, size, frame))
                if corners is None:
                    vain = own[is_large & (age == 0) & ~_is_confirmed(own, maps, enlarged[-1])]
                    doubted = torch.cat([doubted, functional.pad(vain[:, 1:], (0, 1))])
        return replace(features, enlarged=tuple(enlarged), doubted=doubted if len(image) == 1 else known)

    def _encode_enlarged(
        self, image: Tensor, corners: list[tuple[int, int]] | None, size: tuple[int, int], frame: int
    ) -> EnlargedMaps:
        """Encode crops of ``1 3 H W`` enlarged to ``size``; ``corners`` None is the whole."""
        larger = functional.interpolate(image, size, mode="bilinear", align_corners=False)
        larger = larger.contiguous(memory_format=torch.channels_last).to(self.network.stem.weight.dtype)
        if corners is not None:
            larger = torch.cat([larger[:, :, y : y + _CROP_PX, x : x + _CROP_PX] for x, y in corners])
        place = torch.tensor(corners or [(0, 0)], dtype=torch.float32, device=image.device)
        return EnlargedMaps(self.network(larger), place, size, frame)


def find_candidates(center: Tensor) -> Tensor:
    """Return ``K 3`` (frame, row, column) of weak peaks of ``B 1 h w`` center maps: candidates for small people.

    Source: in 150 frames of real clips the enlarged pass added true people in 7; all but one had such a peak, and the
    six false ones (a tree) had none. The base pass alone costs a third.
    """
    return _find_peaks(center, *_CANDIDATE_SCORES)


def _find_peaks(center: Tensor, least: float, most: float) -> Tensor:
    peak = center == maximum_filter(center, 2)
    return (peak & (center >= least) & (center < most)).nonzero()[:, [0, 2, 3]]


def choose_crops(maps: MoveNetMaps, candidates: Tensor, size: tuple[int, int]) -> list[tuple[int, int]] | None:
    """Choose square crops of the enlarged image around every candidate and every small person; near ones share a crop.

    Small people who were detected are included because two of them side by side may be one peak of the base pass.

    Args:
        maps: Base maps of one frame.
        candidates: From ``find_candidates``.
        size: (height, width) of the enlarged image.

    Returns:
        (x, y) of the top-left pixels, or None for the whole image: a large candidate, or too many crops.
    """
    height, width = size
    rows, columns = maps.center.shape[-2:]
    scale_y, scale_x = height / rows, width / columns
    clear = _find_peaks(maps.center, _CANDIDATE_SCORES[1], torch.inf)
    cells = torch.cat([candidates, clear])
    is_large = are_large(maps, cells, size)
    if bool(is_large[: len(candidates)].any()):
        return None
    corners: list[tuple[int, int]] = []
    for _, row, column in cells[~is_large].tolist():
        x, y = (column + 0.5) * scale_x - _CROP_PX / 2, (row + 0.5) * scale_y - _CROP_PX / 2
        x, y = min(max(round(x), 0), width - _CROP_PX), min(max(round(y), 0), height - _CROP_PX)
        if not any(max(abs(x - left), abs(y - top)) < _CROP_PX / 4 for left, top in corners):
            corners.append((x, y))
    is_cheaper = len(corners) * _CROP_PX**2 <= _MAX_CROPPED_SHARE * height * width
    return corners if is_cheaper and min(size) >= _CROP_PX else None


def are_large(maps: MoveNetMaps, peaks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return which of the ``K 3`` peaks, from ``find_candidates``, do not fit into a crop of an image of ``size``."""
    scale = peaks.new_tensor(size, dtype=torch.float32) / torch.tensor(maps.center.shape[-2:], device=peaks.device)
    boxes = maps.box_scale[0, :, peaks[:, 1], peaks[:, 2]].T
    return (boxes * scale).amax(1) * _CROP_MARGIN > _CROP_PX


def _age_of(candidates: Tensor, known: Tensor | None) -> Tensor:
    """Return, for ``K 3`` candidates, the frames since they were searched in vain, 0 where a search is due."""
    if known is None or len(known) == 0:
        return torch.zeros_like(candidates[:, 0])
    is_same = (candidates[:, None, 1:] - known[None, :, :2]).abs().amax(-1) <= _SAME_CELLS
    age = (is_same * (known[:, 2] + 1)).amax(1)
    return torch.where(age <= _SEARCH_AGAIN, age, 0)


def _is_confirmed(candidates: Tensor, maps: MoveNetMaps, enlarged: EnlargedMaps) -> Tensor:
    """Return which of the ``K 3`` candidates may be people by the enlarged image; only large ones are judged."""
    center = enlarged.maps.center
    scale = torch.tensor(center.shape[-2:]) / torch.tensor(maps.center.shape[-2:])
    row, column = (candidates[:, 1:] * scale.to(candidates.device)).long().T
    return maximum_filter(center, _NEAR_CELLS)[0, 0, row, column] > _MIN_CONFIRMED


def enlarged_size(image_size: tuple[int, int], long_side_px: int) -> tuple[int, int] | None:
    """Return the size of the enlarged image (sides multiples of 32), or None if it would not be larger."""
    scale = long_side_px / max(image_size)
    if scale <= 1.0:
        return None
    height, width = (round(side * scale / _SIDE_MULTIPLE) * _SIDE_MULTIPLE for side in image_size)
    return height, width


def find_people(human: MoveNetFeatures, image_size: tuple[int, int], options: DecodeOptions) -> ImageKeypoints:
    """Decode one frame (batch 1) into people in network pixels, those of the enlarged image last."""
    people = decode_people(human.maps, options)
    strict = replace(options, min_score_small=options.min_score_second)
    for enlarged in human.enlarged:
        scale = enlarged.corner_px.new_tensor(
            [small / large for small, large in zip(image_size, enlarged.image_size, strict=True)]
        )
        for index, corner in enumerate(enlarged.corner_px):
            maps = enlarged.maps.map(lambda values, index=index: values[index : index + 1])
            other = decode_people(maps, strict, max(enlarged.image_size))
            people = join_scales(people, _to_base_pixels(other, corner, scale.flip(0)), options)
    return people


def _to_base_pixels(people: ImageKeypoints, corner: Tensor, scale: Tensor) -> ImageKeypoints:
    """Map people from a crop (at ``corner``, ``2``) of the enlarged image to pixels of the network image."""

    def moved(pixels: Tensor) -> Tensor:
        return (pixels + corner + 0.5) * scale - 0.5

    return replace(
        people,
        keypoints_px=moved(people.keypoints_px),
        box_px=moved(people.box_px.view(-1, 2, 2)).flatten(1),
        center_px=moved(people.center_px),
    )
