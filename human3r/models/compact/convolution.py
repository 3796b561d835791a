"""Convolutions with TensorFlow's 'SAME' padding, and the inverted residual that both frozen trunks are made of.

Batch normalisation is folded into weights and biases when the checkpoints are converted: nothing here has statistics.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["none", "relu", "relu6"]


class SameConv2d(nn.Conv2d):
    """A convolution that pads like TensorFlow: an odd pixel of padding goes to the bottom and the right.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Odd side of the square kernel.
        stride: 1 or 2; with 2, both input sides must be even.
        groups: As in ``nn.Conv2d``.
        bias: Whether there is a bias.
        activation: Applied to the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
        activation: Activation = "none",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias)
        self.activation: Activation = activation
        # TensorFlow, even input: the total padding is kernel - stride, and the smaller half comes first.
        self.pad_start = (kernel_size - stride) // 2
        self.pad_end = kernel_size - stride - self.pad_start

    def forward(self, image: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C', H / stride, W / stride]``."""
        padding = self.pad_start
        if self.pad_end != self.pad_start:
            image = functional.pad(image, (self.pad_start, self.pad_end, self.pad_start, self.pad_end))
            padding = 0
        image = functional.conv2d(image, self.weight, self.bias, self.stride, padding, 1, self.groups)
        if self.activation == "relu6":
            return functional.relu6(image, inplace=not image.requires_grad)
        if self.activation == "relu":
            return functional.relu(image, inplace=not image.requires_grad)
        return image


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter per channel, project back; add the input where the shapes agree.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        expansion: Factor of the hidden width; 1 leaves the expanding convolution out.
        kernel_size: Side of the depthwise kernel.
        stride: Stride of the depthwise convolution.

    Source: MobileNetV2 (arXiv 1801.04381), figure 3b.
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = SameConv2d(in_channels, hidden, activation="relu6") if expansion > 1 else nn.Identity()
        self.depthwise = SameConv2d(hidden, hidden, kernel_size, stride, groups=hidden, activation="relu6")
        self.project = SameConv2d(hidden, out_channels)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, image: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C', H / stride, W / stride]``."""
        hidden = self.project(self.depthwise(self.expand(image)))
        return image + hidden if self.has_shortcut else hidden


class SeparableConv2d(nn.Module):
    """A 3x3 depthwise convolution without bias, then a 1x1 convolution and a ReLU.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = SameConv2d(in_channels, in_channels, 3, groups=in_channels, bias=False)
        self.pointwise = SameConv2d(in_channels, out_channels, activation="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C', H, W]``."""
        return self.pointwise(self.depthwise(image))
