"""The converted hand network against outputs of the original graph, recorded with ``record_hands.mjs``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from human3r.assets.shards import read_module
from human3r.models.compact.convnets.convolution import fuse_convolutions
from human3r.models.compact.convnets.hand_landmarks import HandLandmarkNet
from human3r.training.priors.hands import PARAMETER_PREFIX


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(Path(__file__).parent / "hands_golden.safetensors")


@pytest.fixture(scope="module")
def network() -> HandLandmarkNet:
    network = HandLandmarkNet()
    network.load_state_dict(read_module(PARAMETER_PREFIX))
    return network.eval()


def picture(golden: dict[str, torch.Tensor]) -> torch.Tensor:
    return golden["picture"].repeat_interleave(2, 0).repeat_interleave(2, 1).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("is_fused", [False, True])
def test_outputs_equal_those_of_the_original_graph(network: HandLandmarkNet, golden, is_fused: bool) -> None:
    if is_fused:
        fuse_convolutions(network)
    with torch.inference_mode():
        found = network(picture(golden))

    # Coordinates reach 224 pixels.
    expected = golden["points_px"].view(1, 21, 3)[..., :2]
    torch.testing.assert_close(found.points_px, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.points, golden["points"].view(1, 21, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.presence, golden["presence"][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.is_right, golden["is_right"][0], atol=1e-5, rtol=0)


def test_a_gray_image_has_no_hand(network: HandLandmarkNet) -> None:
    with torch.inference_mode():
        assert network(torch.full((1, 3, 224, 224), 0.5)).presence < 0.1
