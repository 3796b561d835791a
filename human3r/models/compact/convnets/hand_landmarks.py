"""The frozen hand network of ``compact``: 21 points, presence and side of the hand in a crop.

Weights are MediaPipe's (``handlandmark-full``, Google, Apache-2.0), converted by
``human3r.training.priors``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.models.compact.convnets.convolution import InvertedResidual, SameConv2d
from human3r.models.layers.casting import Linear
from human3r.records import TensorRecord

CROP_PX = 224
"""Side of the network's input. Source: the published graph."""
NUM_POINTS = 21
"""Wrist, then four points of each finger from the palm to the tip: thumb, index, middle, ring, pinky."""
_STEM_CHANNELS = 24
BLOCKS = (
    # (expansion, kernel, stride, output channels). Source: the published graph.
    (1, 3, 1, 16),
    (4, 3, 2, 24),
    (6, 3, 1, 24),
    (6, 5, 2, 40),
    (6, 5, 1, 40),
    (6, 3, 2, 80),
    (6, 3, 1, 80),
    (6, 3, 1, 80),
    (6, 5, 1, 112),
    (6, 5, 1, 112),
    (6, 5, 1, 112),
    (6, 5, 2, 192),
    (6, 5, 1, 192),
    (6, 5, 1, 192),
    (6, 5, 1, 192),
)
_LAST_CHANNELS = 1152


@dataclass(frozen=True)
class HandLandmarks(TensorRecord):
    """H hands."""

    points_px: Tensor
    """``H 21 2`` (x, y) pixels, from the corner of the image."""
    points: Tensor
    """``H 21 3`` meters about the hand's center, axes of the image: x right, y down, z forward."""
    presence: Tensor
    """``H`` probability that the crop shows a hand."""
    is_right: Tensor
    """``H`` probability that it is a right hand."""


class HandLandmarkNet(nn.Module):
    """MobileNet blocks, a mean over the image, and linear outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, _STEM_CHANNELS, 3, 2, activation="relu6")
        widths = [_STEM_CHANNELS, *(channels for *_, channels in BLOCKS)]
        self.blocks = nn.ModuleList(
            InvertedResidual(before, channels, expansion, kernel, stride)
            for before, (expansion, kernel, stride, channels) in zip(widths, BLOCKS, strict=False)
        )
        self.expand = SameConv2d(widths[-1], _LAST_CHANNELS, activation="relu6")
        self.depthwise = SameConv2d(_LAST_CHANNELS, _LAST_CHANNELS, 3, groups=_LAST_CHANNELS, activation="relu6")
        self.points_px = Linear(_LAST_CHANNELS, 2 * NUM_POINTS)
        self.points = Linear(_LAST_CHANNELS, 3 * NUM_POINTS)
        self.presence = Linear(_LAST_CHANNELS, 1)
        self.side = Linear(_LAST_CHANNELS, 1)

    def forward(self, crops: Tensor) -> HandLandmarks:
        """Find the hand in each of ``H 3 224 224`` RGB crops in [0, 1]."""
        hidden = self.stem(crops.to(self.stem.weight.dtype))
        for block in self.blocks:
            hidden = block(hidden)
        pooled = self.depthwise(self.expand(hidden)).float().mean(dim=(2, 3))
        return HandLandmarks(
            points_px=self.points_px(pooled).float().unflatten(1, (NUM_POINTS, 2)),
            points=self.points(pooled).float().unflatten(1, (NUM_POINTS, 3)),
            presence=torch.sigmoid(self.presence(pooled).float())[:, 0],
            is_right=torch.sigmoid(self.side(pooled).float())[:, 0],
        )
