"""MoveNet: the frozen people detectors of ``compact``, MultiPose for whole frames and Thunder for crops of one person.

Owns the networks from pixels to head maps; ``keypoints.py`` decodes the maps. Weights are Google's
(Apache-2.0), converted by ``human3r.training.priors``. Any input whose sides are multiples of 32 works.
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
TORSO_KEYPOINTS = (5, 6, 11, 12)
"""Shoulders and hips."""

_LAST_CHANNELS = 1280
_HEAD_CHANNELS = 96
FEATURE_CHANNELS = 24
"""Channels of the stride-4 feature map."""
_EXPANSIONS = (1, *(6,) * 16)
_STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
_LATERAL_BLOCKS = (9, 5, 2)
"""Blocks whose outputs join the feature pyramid, coarse to fine (strides 16, 8, 4)."""
_PYRAMID_CHANNELS = (64, 32, 24)
HEADS = {
    "center": 1,
    "box_scale": 2,
    "box_offset": 2,
    "keypoint_heatmap": NUM_KEYPOINTS,
    "keypoint_regression": 2 * NUM_KEYPOINTS,
    "keypoint_offset": 2 * NUM_KEYPOINTS,
}
"""Head name -> channels, in the order of the published graph."""


@dataclass(frozen=True)
class MoveNetSizes:
    """What differs between the published networks."""

    stem: int
    """Channels after the first convolution."""
    blocks: tuple[int, ...]
    """Channels after each of the 17 inverted residuals."""
    heads: tuple[str, ...]
    """Names of the heads, keys of ``HEADS``."""


MULTIPOSE = MoveNetSizes(48, (24, 40, 40, *(48,) * 3, *(96,) * 4, *(144,) * 3, *(240,) * 3, 480), tuple(HEADS))
"""MobileNetV2 of width 1.5, from the published graph."""
THUNDER = MoveNetSizes(
    56,
    (32, 40, 40, *(56,) * 3, *(112,) * 4, *(168,) * 3, *(280,) * 3, 560),
    ("center", "keypoint_heatmap", "keypoint_regression", "keypoint_offset"),
)
"""MobileNetV2 of width 1.75 for the one person in the middle of a square, from the published graph."""


@dataclass(frozen=True)
class MoveNetMaps(TensorRecord):
    """Head maps at stride 4; vectors are (y, x) in cells."""

    features: Tensor
    """``B 24 h w`` the last pyramid level, before the heads."""
    center: Tensor
    """``B 1 h w`` probability of a person's center."""
    box_scale: Tensor
    """``B 2 h w`` (height, width) of the person's box; ``B 0 h w`` of a network for one person."""
    box_offset: Tensor
    """``B 2 h w`` from the cell to the box center; ``B 0 h w`` of a network for one person."""
    keypoint_heatmap: Tensor
    """``B 17 h w`` probability of each keypoint, of any person."""
    keypoint_regression: Tensor
    """``B 34 h w`` from a center to that person's 17 keypoints, (y, x) interleaved."""
    keypoint_offset: Tensor
    """``B 34 h w`` from the cell to the exact keypoint, (y, x) interleaved."""


class FeaturePyramid(nn.Module):
    """Three upsampling steps from stride 32 to stride 4, each adding a lateral 1x1 convolution.

    Args:
        skips: Channels of the blocks at strides 16, 8 and 4.
    """

    def __init__(self, skips: tuple[int, ...]) -> None:
        super().__init__()
        widths = _PYRAMID_CHANNELS
        self.top = SameConv2d(_LAST_CHANNELS, widths[0])
        self.lateral = nn.ModuleList(SameConv2d(skip, width) for skip, width in zip(skips, widths, strict=True))
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
    """MobileNetV2, a feature pyramid to stride 4, and CenterNet heads.

    Args:
        sizes: Which of the published networks.
    """

    def __init__(self, sizes: MoveNetSizes = MULTIPOSE) -> None:
        super().__init__()
        self.stem = SameConv2d(3, sizes.stem, 3, 2, activation="relu6")
        self.blocks = nn.ModuleList(
            InvertedResidual(before, channels, expansion, 3, stride)
            for before, channels, expansion, stride in zip(
                (sizes.stem, *sizes.blocks[:-1]), sizes.blocks, _EXPANSIONS, _STRIDES, strict=True
            )
        )
        self.last = SameConv2d(sizes.blocks[-1], _LAST_CHANNELS, activation="relu6")
        self.pyramid = FeaturePyramid(tuple(sizes.blocks[index] for index in _LATERAL_BLOCKS))
        self.heads = nn.ModuleDict({name: PredictionHead(HEADS[name]) for name in sizes.heads})

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
            if index in _LATERAL_BLOCKS:
                skips.insert(0, hidden)
        features = self.pyramid(self.last(hidden), skips)
        nothing = features.new_zeros((features.shape[0], 0, *features.shape[2:]), dtype=torch.float32)
        maps: dict[str, Tensor] = {name: nothing for name in HEADS}
        maps |= {name: head(features).float() for name, head in self.heads.items()}
        for name in ("center", "keypoint_heatmap"):
            maps[name] = torch.sigmoid(maps[name])
        return MoveNetMaps(features=features.float(), **maps)
