"""EfficientNet-Lite0 down to stride 16: the frozen image backbone of ``compact``.

Weights were trained on ImageNet (Apache-2.0) and are converted by ``human3r.training.priors``,
batch normalization folded. The classifier and the stride-32 stages are left out.
"""

from __future__ import annotations

from torch import Tensor, nn

from human3r.models.compact.convnets.convolution import InvertedResidual, SameConv2d

STEM_CHANNELS = 32
BLOCKS = (
    # (expansion, kernel, stride, output channels). Source: EfficientNet-Lite0's published definition.
    (1, 3, 1, 16),
    (6, 3, 2, 24),
    (6, 3, 1, 24),
    (6, 5, 2, 40),
    (6, 5, 1, 40),
    (6, 3, 2, 80),
    (6, 3, 1, 80),
    (6, 3, 1, 80),
    (6, 5, 1, 112),
    (6, 5, 1, 112),
    (6, 5, 1, 112),
)
_TAPS = (2, 4, 10)
"""Blocks whose outputs are the features of strides 4, 8 and 16."""
TAP_CHANNELS = tuple(BLOCKS[index][3] for index in _TAPS)
"""Channels at strides 4, 8, 16."""


class EfficientNetLite0(nn.Module):
    """The stem and the first eleven blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, STEM_CHANNELS, 3, 2, activation="relu6")
        widths = [STEM_CHANNELS, *(channels for *_, channels in BLOCKS)]
        self.blocks = nn.ModuleList(
            InvertedResidual(before, channels, expansion, kernel, stride)
            for before, (expansion, kernel, stride, channels) in zip(widths, BLOCKS, strict=False)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features at strides 4, 8 and 16 of ``B 3 H W`` RGB in [-1, 1], sides multiples of 16."""
        # The backbone was trained on (byte - 127) / 128; our images are byte / 127.5 - 1.
        hidden = self.stem(image * (127.5 / 128) + 0.5 / 128)
        taps = []
        for index, block in enumerate(self.blocks):
            hidden = block(hidden)
            if index in _TAPS:
                taps.append(hidden)
        return taps[0], taps[1], taps[2]
