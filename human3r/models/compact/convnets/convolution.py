"""Convolutions with TensorFlow's 'SAME' padding, and the inverted residual block of both frozen backbones.

Batch normalization is folded into weights and biases when the checkpoints are converted. Inference on a CPU may take a
fused path (``fuse_convolutions``): prepacked weights, with activation, shortcut and asymmetric padding inside the
kernel. The unfused path is its reference and serves training.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["none", "relu", "relu6"]
_FUSED_ACTIVATION: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}
"""Activation -> its name and parameters in oneDNN's operators."""
_MAX_CACHED_SHAPES = 4
"""Input shapes per layer with a cached prepacked weight: frames, the enlarged frame, and one or two crops of it."""


class SameConv2d(nn.Conv2d):
    """A convolution that pads like TensorFlow: an odd pixel of padding goes to the bottom and the right.

    Kernels are square with an odd side; with stride 2, both input sides must be even.
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
        self._is_product = kernel_size == stride == groups == 1
        self.is_fused = False
        """Whether inference on a CPU takes the fused path."""
        self._packed: dict[torch.Size | None, tuple[Tensor, list[int], Tensor | None]] = {}
        self._packed_from: tuple[object, ...] = ()

    def forward(self, input: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Map ``B C H W`` to ``B C' H/stride W/stride``, plus the shortcut of that shape (without activation only)."""
        if self.is_fused and not torch.is_grad_enabled() and input.device.type == "cpu":
            return self._forward_fused(input, shortcut)
        image, padding = input, self.pad_start
        if self.pad_end != self.pad_start:
            image = functional.pad(image, (self.pad_start, self.pad_end, self.pad_start, self.pad_end))
            padding = 0
        image = functional.conv2d(image, self.weight, self.bias, self.stride, padding, 1, self.groups)
        if self.activation == "relu6":
            return functional.relu6(image, inplace=not image.requires_grad)
        if self.activation == "relu":
            return functional.relu(image, inplace=not image.requires_grad)
        return image if shortcut is None else image + shortcut

    def _forward_fused(self, image: Tensor, shortcut: Tensor | None) -> Tensor:
        image = image.contiguous(memory_format=torch.channels_last)
        weight, padding, bias = self._pack(image.shape)
        name, scalars = _FUSED_ACTIVATION[self.activation]
        if self._is_product:
            # As a product of matrices the call takes half the time.
            rows = image.permute(0, 2, 3, 1)
            if shortcut is None:
                product = torch.ops.mkldnn._linear_pointwise.default(rows, weight, bias, name, scalars, "")
            else:
                shortcut = shortcut.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
                product = torch.ops.mkldnn._linear_pointwise.binary(rows, shortcut, weight, bias, "add")
            return product.permute(0, 3, 1, 2)
        layout = (padding, self.stride, self.dilation, self.groups)
        if shortcut is None:
            return torch.ops.mkldnn._convolution_pointwise.default(image, weight, bias, *layout, name, scalars, "")
        return torch.ops.mkldnn._convolution_pointwise.binary(
            image, shortcut, weight, bias, *layout, "add", None, None, [], None
        )

    def _pack(self, shape: torch.Size) -> tuple[Tensor, list[int], Tensor | None]:
        """Return the weight in the kernel's own layout for one input shape, padding and bias; cached per shape."""
        weight = self.weight
        source = (weight.data_ptr(), weight._version)
        if source != self._packed_from:
            self._packed, self._packed_from = {}, source
        key = None if self._is_product else shape
        found = self._packed.get(key)
        if found is None:
            found = (*self._packed_weight(shape), self.bias)
            # Replaced, not modified: sessions in other threads may be reading it.
            kept = list(self._packed.items())[1 - _MAX_CACHED_SHAPES :]
            self._packed = dict([*kept, (key, found)])
        return found

    def _packed_weight(self, shape: torch.Size) -> tuple[Tensor, list[int]]:
        weight, padding = self.weight, [self.pad_start] * 2
        if self._is_product:
            num_rows = shape[0] * shape[2] * shape[3]
            matrix = weight.detach()[:, :, 0, 0].contiguous()
            return torch.ops.mkldnn._reorder_linear_weight(matrix, num_rows), padding
        if self.pad_end != self.pad_start:
            # The kernel pads symmetrically: a row and a column of zeros in front shift the window back.
            weight, padding = functional.pad(weight, (1, 0, 1, 0)), [self.pad_end] * 2
        packed = torch.ops.mkldnn._reorder_convolution_weight(
            weight, padding, self.stride, self.dilation, self.groups, list(shape)
        )
        return packed, padding

    def __getstate__(self) -> dict[str, object]:
        """Leave the cache out of copies: its tensors have an opaque layout."""
        return {**self.__dict__, "_packed": {}, "_packed_from": ()}


def fuse_convolutions(module: nn.Module) -> None:
    """Let every ``SameConv2d`` inside take the fused path, if this build of torch has oneDNN's operators.

    MoveNet at 384 x 224 in bf16 on one core then takes 25 ms instead of 37.
    """
    has_operators = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    for convolution in module.modules():
        if isinstance(convolution, SameConv2d):
            convolution.is_fused = has_operators


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter per channel, project back; add the input where the shapes agree.

    Source: MobileNetV2 (arXiv 1801.04381), figure 3b. An ``expansion`` of 1 leaves out the expanding convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = SameConv2d(in_channels, hidden, activation="relu6") if expansion > 1 else nn.Identity()
        self.depthwise = SameConv2d(hidden, hidden, kernel_size, stride, groups=hidden, activation="relu6")
        self.project = SameConv2d(hidden, out_channels)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, image: Tensor) -> Tensor:
        """Map ``B C H W`` to ``B C' H/stride W/stride``."""
        return self.project(self.depthwise(self.expand(image)), image if self.has_shortcut else None)


class SeparableConv2d(nn.Module):
    """A 3x3 depthwise convolution without bias, then a 1x1 convolution and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = SameConv2d(in_channels, in_channels, 3, groups=in_channels, bias=False)
        self.pointwise = SameConv2d(in_channels, out_channels, activation="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Map ``B C H W`` to ``B C' H W``."""
        return self.pointwise(self.depthwise(image))


def maximum_filter(image: Tensor, radius: int) -> Tensor:
    """Return, for every cell of ``... h w``, the largest value within ``radius`` cells along both axes.

    Separable, in whole-image operations: on a CPU a third of the time of max-pooling at radius 2, a tenth at 4.
    """
    side = 2 * radius + 1
    image = functional.pad(image, (radius, radius, radius, radius), value=-torch.inf)
    for axis in (-2, -1):
        width = 1
        while width < side:
            step = min(width, side - width)
            size = image.shape[axis] - step
            image = torch.maximum(image.narrow(axis, 0, size), image.narrow(axis, step, size))
            width += step
    return image
