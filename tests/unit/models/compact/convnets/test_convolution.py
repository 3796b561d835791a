"""Fused convolutions against the unfused reference."""

from __future__ import annotations

import copy

import pytest
import torch

from human3r.models.compact.build import fast_dtype
from human3r.models.compact.convnets.convolution import InvertedResidual, SameConv2d, fuse_convolutions

TOLERANCE = 1e-4
"""fp32, sums in another order."""
HALF_TOLERANCE = 0.03
"""bf16 resolves 1.6e-2 of the values near 4 that these layers give."""


def pair(layer: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return (unfused, fused) with equal weights."""
    fused = copy.deepcopy(layer)
    fuse_convolutions(fused)
    return layer, fused


def random_image(channels: int, height: int = 12, width: int = 20) -> torch.Tensor:
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_fused_convolutions_equal_unfused_ones(kernel: int, stride: int, groups: int, activation) -> None:
    torch.manual_seed(0)
    unfused, fused = pair(SameConv2d(8, 16 if groups == 1 else 8, kernel, stride, groups, activation=activation))

    with torch.inference_mode():
        torch.testing.assert_close(fused(random_image(8)), unfused(random_image(8)), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_fused_inverted_residual_adds_its_shortcut(stride: int) -> None:
    torch.manual_seed(1)
    unfused, fused = pair(InvertedResidual(8, 8, 6, 3, stride))

    with torch.inference_mode():
        torch.testing.assert_close(fused(random_image(8)), unfused(random_image(8)), atol=TOLERANCE, rtol=0)


@pytest.mark.skipif(fast_dtype() != torch.bfloat16, reason="oneDNN multiplies no bf16 on this processor")
def test_in_half_precision_both_paths_stay_near_the_exact_result() -> None:
    torch.manual_seed(2)
    exact = InvertedResidual(8, 8, 6, 3, 1)
    unfused, fused = pair(copy.deepcopy(exact).bfloat16())

    with torch.inference_mode():
        expected = exact(random_image(8))
        for layer in (unfused, fused):
            torch.testing.assert_close(layer(random_image(8).bfloat16()).float(), expected, atol=HALF_TOLERANCE, rtol=0)


def test_changed_weights_and_sizes_invalidate_the_cache() -> None:
    torch.manual_seed(3)
    unfused, fused = pair(SameConv2d(8, 8, 3))

    with torch.no_grad():
        fused(random_image(8))
        for layer in (unfused, fused):
            layer.weight.mul_(2)
        torch.testing.assert_close(fused(random_image(8)), unfused(random_image(8)), atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(
            fused(random_image(8, 32, 16)), unfused(random_image(8, 32, 16)), atol=TOLERANCE, rtol=0
        )


def test_weights_are_laid_out_once_per_shape_for_a_few_shapes() -> None:
    _, fused = pair(SameConv2d(8, 8, 3))

    with torch.inference_mode():
        fused(random_image(8))
        (first,) = fused._packed.values()
        fused(random_image(8, 32, 16))
        fused(random_image(8))
        assert fused._packed[random_image(8).shape] is first
        for height in range(16, 40, 2):
            fused(random_image(8, height))

    assert len(fused._packed) == 4


def test_with_gradients_the_unfused_path_is_taken() -> None:
    _, fused = pair(SameConv2d(8, 8, 3, activation="relu6"))

    fused(random_image(8)).sum().backward()

    assert fused.weight.grad.abs().sum() > 0
