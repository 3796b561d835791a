"""MoveNet MultiPose: the frozen people detector of ``compact``.

Owns the network from pixels to its six head maps; ``keypoints.py`` decodes the maps. Weights are Google's
(Apache-2.0), converted by ``human3r.training.priors.convert_movenet``. Any input whose sides are multiples of 32 works.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.compact.convnets.convolution import InvertedResidual, SameConv2d, SeparableConv2d
from human3r.records import TensorRecord

NUM_KEYPOINTS = 17
"""COCO order: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right."""

_STEM_CHANNELS = 48
_BLOCKS = (
    # (expansion, output channels, stride), from the published graph: MobileNetV2 of width 1.5.
    (1, 24, 1),
    (6, 40, 2),
    (6, 40, 1),
    (6, 48, 2),
    (6, 48, 1),
    (6, 48, 1),
    (6, 96, 2),
    (6, 96, 1),
    (6, 96, 1),
    (6, 96, 1),
    (6, 144, 1),
    (6, 144, 1),
    (6, 144, 1),
    (6, 240, 2),
    (6, 240, 1),
    (6, 240, 1),
    (6, 480, 1),
)
_LATERALS = {2: (40, 24), 5: (48, 32), 9: (96, 64)}
"""Block index -> (its channels, channels of the feature pyramid at that stride)."""
_LAST_CHANNELS = 1280
_HEAD_CHANNELS = 96
FEATURE_CHANNELS = 24
"""Channels of the stride-4 feature map."""
HEADS = {
    "center": 1,
    "box_scale": 2,
    "box_offset": 2,
    "keypoint_heatmap": NUM_KEYPOINTS,
    "keypoint_regression": 2 * NUM_KEYPOINTS,
    "keypoint_offset": 2 * NUM_KEYPOINTS,
}
"""Head name -> channels."""


@dataclass(frozen=True)
class MoveNetMaps(TensorRecord):
    """Head maps at stride 4; vectors are (y, x) in cells."""

    features: Tensor
    """``B 24 h w`` the last pyramid level, before the heads."""
    center: Tensor
    """``B 1 h w`` probability of a person's center."""
    box_scale: Tensor
    """``B 2 h w`` (height, width) of the person's box."""
    box_offset: Tensor
    """``B 2 h w`` from the cell to the box center."""
    keypoint_heatmap: Tensor
    """``B 17 h w`` probability of each keypoint, of any person."""
    keypoint_regression: Tensor
    """``B 34 h w`` from a center to that person's 17 keypoints, (y, x) interleaved."""
    keypoint_offset: Tensor
    """``B 34 h w`` from the cell to the exact keypoint, (y, x) interleaved."""


class FeaturePyramid(nn.Module):
    """Three upsampling steps from stride 32 to stride 4, each adding a lateral 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.top = SameConv2d(_LAST_CHANNELS, 64)
        laterals = [_LATERALS[index] for index in sorted(_LATERALS, reverse=True)]
        self.lateral = nn.ModuleList(SameConv2d(before, after) for before, after in laterals)
        widths = [after for _, after in laterals]
        self.smooth = nn.ModuleList(
            SeparableConv2d(width, following)
            for width, following in zip(widths, [*widths[1:], FEATURE_CHANNELS], strict=True)
        )

    def forward(self, top: Tensor, skips: list[Tensor]) -> Tensor:
        """Join ``B 1280 H/32 W/32`` and the skips at strides 16, 8, 4 into ``B 24 H/4 W/4``."""
        pyramid = self.top(top)
        for skip, lateral, smooth in zip(skips, self.lateral, self.smooth, strict=True):
            raised = functional.interpolate(pyramid, scale_factor=2, mode="bilinear", align_corners=False)
            pyramid = smooth(raised + lateral(skip))
        return pyramid


class PredictionHead(nn.Module):
    """A separable 3x3 convolution to 96 channels, ReLU, and a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = SeparableConv2d(FEATURE_CHANNELS, _HEAD_CHANNELS)
        self.output = SameConv2d(_HEAD_CHANNELS, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``B 24 h w`` to ``B channels h w``."""
        return self.output(self.hidden(features))


class MoveNet(nn.Module):
    """MobileNetV2 (width 1.5), a feature pyramid to stride 4, and six CenterNet heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, _STEM_CHANNELS, 3, 2, activation="relu6")
        widths = [_STEM_CHANNELS, *(channels for _, channels, _ in _BLOCKS)]
        self.blocks = nn.ModuleList(
            InvertedResidual(before, channels, expansion, 3, stride)
            for before, (expansion, channels, stride) in zip(widths, _BLOCKS, strict=False)
        )
        self.last = SameConv2d(_BLOCKS[-1][1], _LAST_CHANNELS, activation="relu6")
        self.pyramid = FeaturePyramid()
        self.heads = nn.ModuleDict({name: PredictionHead(channels) for name, channels in HEADS.items()})

    def forward(self, image: Tensor) -> MoveNetMaps:
        """Run the network.

        Args:
            image: ``B 3 H W`` RGB in [-1, 1], both sides multiples of 32.

        Returns:
            The head maps at stride 4, fp32; center and heat maps are probabilities.
        """
        hidden = self.stem(image)
        skips: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            hidden = block(hidden)
            if index in _LATERALS:
                skips.insert(0, hidden)
        features = self.pyramid(self.last(hidden), skips)
        maps = {name: head(features).float() for name, head in self.heads.items()}
        for name in ("center", "keypoint_heatmap"):
            maps[name] = torch.sigmoid(maps[name])
        return MoveNetMaps(features=features.float(), **maps)
