"""The compact human prior: frozen MoveNet at the network's size, and once more, larger, where small people may be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.compact.config import CompactConfig
from human3r.models.compact.convnets.convolution import largest_nearby
from human3r.models.compact.convnets.movenet import MoveNet, MoveNetMaps
from human3r.models.compact.people.keypoints import DecodeOptions, ImageKeypoints, decode_people, join_scales
from human3r.models.parts import BatchRecord
from human3r.records import TensorRecord

_SIDE_MULTIPLE = 32
_CROP_PX = 192
"""Side of the squares of the second look, pixels of the larger picture."""
_CROP_MARGIN = 1.5
"""A square must be larger than the person in it by this factor."""
_MOST_CROPPED = 0.75
"""Share of the larger picture from which on squares are no cheaper than the whole."""
_HINT_SCORES = (0.08, 0.4)
"""Centre scores that are neither clutter nor, for a small person, already enough."""


@dataclass(frozen=True)
class SecondLook(TensorRecord):
    """Head maps of K squares of a larger picture of one frame, or of the whole of it."""

    maps: MoveNetMaps
    """A batch of K."""
    corner_px: Tensor
    """``K 2`` (x, y) of each square's top-left pixel in the larger picture."""
    image_size: tuple[int, int]
    """(height, width) of the larger picture."""
    frame: int = 0
    """Which frame of the batch."""


@dataclass(frozen=True)
class MoveNetFeatures(BatchRecord):
    """Head maps of MoveNet for B frames."""

    maps: MoveNetMaps
    """At the network's size."""
    enlarged: tuple[SecondLook, ...] = ()
    """At the second, larger size, of those frames that are looked at twice."""
    people: ImageKeypoints | None = None
    """Of a single frame, where they have been decoded already."""

    def select(self, index: int) -> MoveNetFeatures:
        """Return the maps of frame ``index`` alone, batch axis kept."""
        if self.maps.center.shape[0] == 1:
            return self
        maps = self.maps.map(lambda values: values[index : index + 1])
        return MoveNetFeatures(maps, tuple(replace(look, frame=0) for look in self.enlarged if look.frame == index))


class MoveNetPrior(nn.Module):
    """Look at every frame once or twice.

    Args:
        parts: The size of the second look.
    """

    def __init__(self, parts: CompactConfig) -> None:
        super().__init__()
        self.second_scale_px = parts.second_scale_px
        self.network = MoveNet()
        self.network.requires_grad_(False)

    def look_once(self, image: Tensor) -> MoveNetFeatures:
        """Encode ``B 3 H W`` in [-1, 1] at its own size only."""
        return MoveNetFeatures(self.network(image.to(self.network.stem.weight.dtype)))

    def forward(self, image: Tensor) -> MoveNetFeatures:
        """Encode ``B 3 H W`` in [-1, 1]."""
        features = self.look_once(image)
        size = enlarged_size(image.shape[-2:], self.second_scale_px)
        if size is None:
            return features
        hints = find_hints(features.maps.center)
        looks = []
        for frame in sorted(set(hints[:, 0].tolist())):
            maps = features.select(frame).maps
            corners = choose_squares(maps, hints[hints[:, 0] == frame], size)
            looks.append(self._look_again(image[frame : frame + 1], corners, size, frame))
        return replace(features, enlarged=tuple(looks))

    def _look_again(
        self, image: Tensor, corners: list[tuple[int, int]] | None, size: tuple[int, int], frame: int
    ) -> SecondLook:
        """Look at the squares (None is the whole) of ``1 3 H W`` enlarged to a size."""
        larger = functional.interpolate(image, size, mode="bilinear", align_corners=False)
        larger = larger.contiguous(memory_format=torch.channels_last).to(self.network.stem.weight.dtype)
        if corners is not None:
            larger = torch.cat([larger[:, :, y : y + _CROP_PX, x : x + _CROP_PX] for x, y in corners])
        place = torch.tensor(corners or [(0, 0)], dtype=torch.float32, device=image.device)
        return SecondLook(self.network(larger), place, size, frame)


def find_hints(center: Tensor) -> Tensor:
    """Return ``K 3`` (frame, row, column) of weak peaks of ``B 1 h w`` centre maps: who a larger picture may show.

    Source: of 150 frames of real clips, the second look found true newcomers in 7. All but one had such a peak, and
    false newcomers (a tree, six times) had none. Without the second look this part costs a third.
    """
    return _find_peaks(center, *_HINT_SCORES)


def _find_peaks(center: Tensor, least: float, most: float) -> Tensor:
    peak = center == largest_nearby(center, 2)
    return (peak & (center >= least) & (center < most)).nonzero()[:, [0, 2, 3]]


def choose_squares(maps: MoveNetMaps, hints: Tensor, size: tuple[int, int]) -> list[tuple[int, int]] | None:
    """Choose the squares of a larger picture to look at: around every hint and everybody small, one for neighbours.

    Two small people side by side may be one peak to the first look. Among many small people the squares are the whole
    picture; one hint far behind somebody large costs a quarter of it.

    Args:
        maps: The first look at one frame.
        hints: From ``find_hints``.
        size: (height, width) of the larger picture.

    Returns:
        (x, y) of the top-left pixels, or None where the whole picture is wanted: a hint of somebody large, or too many.
    """
    height, width = size
    rows, columns = maps.center.shape[-2:]
    scale_y, scale_x = height / rows, width / columns
    clear = _find_peaks(maps.center, _HINT_SCORES[1], torch.inf)
    cells = torch.cat([hints, clear])[:, 1:]
    boxes = maps.box_scale[0, :, cells[:, 0], cells[:, 1]].T
    corners: list[tuple[int, int]] = []
    for index, ((row, column), (box_height, box_width)) in enumerate(zip(cells.tolist(), boxes.tolist(), strict=True)):
        if max(box_height * scale_y, box_width * scale_x) * _CROP_MARGIN > _CROP_PX:
            if index < len(hints):
                return None
            continue
        x, y = (column + 0.5) * scale_x - _CROP_PX / 2, (row + 0.5) * scale_y - _CROP_PX / 2
        x, y = min(max(round(x), 0), width - _CROP_PX), min(max(round(y), 0), height - _CROP_PX)
        if not any(max(abs(x - left), abs(y - top)) < _CROP_PX / 4 for left, top in corners):
            corners.append((x, y))
    is_cheaper = len(corners) * _CROP_PX**2 <= _MOST_CROPPED * height * width
    return corners if is_cheaper and min(size) >= _CROP_PX else None


def enlarged_size(image_size: tuple[int, int], long_side_px: int) -> tuple[int, int] | None:
    """Return the size of the second look (sides multiples of 32), or None if it would not be larger."""
    scale = long_side_px / max(image_size)
    if scale <= 1.0:
        return None
    height, width = (round(side * scale / _SIDE_MULTIPLE) * _SIDE_MULTIPLE for side in image_size)
    return height, width


def find_people(human: MoveNetFeatures, image_size: tuple[int, int], options: DecodeOptions) -> ImageKeypoints:
    """Decode one frame (batch 1) into people in network pixels, those of the second look last."""
    people = decode_people(human.maps, options)
    strict = replace(options, min_score_small=options.min_score_second)
    for second in human.enlarged:
        scale = second.corner_px.new_tensor(
            [small / large for small, large in zip(image_size, second.image_size, strict=True)]
        )
        for index, corner in enumerate(second.corner_px):
            maps = second.maps.map(lambda values, index=index: values[index : index + 1])
            other = decode_people(maps, strict, max(second.image_size))
            people = join_scales(people, _in_first_picture(other, corner, scale.flip(0)), options)
    return people


def _in_first_picture(people: ImageKeypoints, corner: Tensor, scale: Tensor) -> ImageKeypoints:
    """Move people from a square (at ``corner``, ``2``) of the larger picture to pixels of the first one."""

    def moved(pixels: Tensor) -> Tensor:
        return (pixels + corner + 0.5) * scale - 0.5

    return replace(
        people,
        keypoints_px=moved(people.keypoints_px),
        box_px=moved(people.box_px.view(-1, 2, 2)).flatten(1),
        center_px=moved(people.center_px),
    )
