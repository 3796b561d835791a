"""The compact human prior: frozen MoveNet at the network's size, and once more, larger, for small people."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.compact.config import CompactConfig
from human3r.models.compact.keypoints import DecodeOptions, ImageKeypoints, decode_people, join_scales
from human3r.models.compact.movenet import MoveNet, MoveNetMaps
from human3r.models.parts import BatchRecord

_SIDE_MULTIPLE = 32
_HINT_SCORES = (0.08, 0.4)
"""Centre scores that are neither clutter nor, for a small person, already enough."""


@dataclass(frozen=True)
class MoveNetFeatures(BatchRecord):
    """Head maps of MoveNet for B frames."""

    maps: MoveNetMaps
    """At the network's size."""
    enlarged: MoveNetMaps | None
    """At the second, larger size; None where only one look is taken."""


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
        return MoveNetFeatures(self.network(image.to(self.network.stem.weight.dtype)), None)

    def forward(self, image: Tensor) -> MoveNetFeatures:
        """Encode ``B 3 H W`` in [-1, 1]."""
        features = self.look_once(image)
        size = enlarged_size(image.shape[-2:], self.second_scale_px)
        if size is None or not bool(has_hints(features.maps.center)):
            return features
        larger = functional.interpolate(image, size, mode="bilinear", align_corners=False)
        larger = larger.contiguous(memory_format=torch.channels_last).to(self.network.stem.weight.dtype)
        return replace(features, enlarged=self.network(larger))


def has_hints(center: Tensor) -> Tensor:
    """Say whether any of the ``B 1 h w`` centre maps has a weak peak: somebody whom a larger picture may show.

    Source: of 150 frames of real clips, the second look found true newcomers in 7. All but one had such a peak, and
    false newcomers (a tree, six times) had none. Without the second look this part costs a third.
    """
    peak = center == functional.max_pool2d(center, 5, 1, 2)
    return (peak & (center >= _HINT_SCORES[0]) & (center < _HINT_SCORES[1])).any()


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
    if human.enlarged is None:
        return people
    strict = replace(options, min_score_small=options.min_score_second)
    other = decode_people(human.enlarged, strict)
    ratio = [small / (4 * large) for small, large in zip(image_size, human.enlarged.center.shape[-2:], strict=True)]
    scale = other.score.new_tensor(ratio[::-1])
    other = replace(
        other,
        keypoints_px=(other.keypoints_px + 0.5) * scale - 0.5,
        box_px=(other.box_px + 0.5) * torch.cat([scale, scale]) - 0.5,
        center_px=(other.center_px + 0.5) * scale - 0.5,
    )
    return join_scales(people, other, options)
