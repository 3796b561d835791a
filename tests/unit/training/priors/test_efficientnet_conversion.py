"""Folding EfficientNet-Lite0's batch normalization."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from human3r.assets.shards import read_module
from human3r.errors import CheckpointError
from human3r.models.compact.convnets.efficientnet import EfficientNetLite0
from human3r.training.priors.efficientnet import PARAMETER_PREFIX, convert, fold, source_names


def test_a_folded_convolution_equals_convolution_then_normalization() -> None:
    generator = torch.Generator().manual_seed(0)
    convolution = nn.Conv2d(3, 5, 3, bias=False)
    norm = nn.BatchNorm2d(5, eps=1e-3).eval()
    for values in (norm.weight.data, norm.bias.data, norm.running_mean):
        values.copy_(torch.randn(5, generator=generator))
    norm.running_var.copy_(torch.rand(5, generator=generator) + 0.1)
    image = torch.randn(1, 3, 8, 8, generator=generator)

    weight, bias = fold(convolution.weight, norm.state_dict())

    torch.testing.assert_close(
        nn.functional.conv2d(image, weight, bias), norm(convolution(image)), atol=1e-5, rtol=1e-4
    )


def test_every_convolution_of_the_trunk_has_a_source() -> None:
    expected = {name.rsplit(".", 1)[0] for name in EfficientNetLite0().state_dict()}

    assert source_names().keys() == expected


def test_an_incomplete_state_dict_is_refused() -> None:
    with pytest.raises(CheckpointError, match="_conv_stem"):
        convert({})


def test_the_shipped_trunk_is_translation_equivariant_at_its_stride() -> None:
    trunk = EfficientNetLite0().eval()
    trunk.load_state_dict(read_module(PARAMETER_PREFIX))
    scene = torch.rand(1, 3, 32, 240, generator=torch.Generator().manual_seed(0)).repeat_interleave(4, dim=2) * 2 - 1

    with torch.inference_mode():
        near, moved = trunk(scene[..., :192])[0], trunk(scene[..., 16:208])[0]

    # Far from the borders a shift of 16 pixels is a shift of 4 cells: 'SAME' padding puts no cell off its place.
    torch.testing.assert_close(near[..., 8:-8, 16:-4], moved[..., 8:-8, 12:-8], atol=1e-3, rtol=1e-3)
    assert near.std() > 0.1
