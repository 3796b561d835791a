"""The converted MoveNet against outputs of the original graph, recorded with TensorFlow.js (``record_movenet.mjs``)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from human3r.assets.shards import read_module
from human3r.models.compact.convnets.movenet import HEADS, THUNDER, MoveNet
from human3r.models.compact.people.detection.keypoints import DecodeOptions, decode_people
from human3r.models.compact.people.detection.person_crops import decode_single
from human3r.training.priors.movenet import MULTIPOSE_PREFIX, THUNDER_PREFIX

TOLERANCE = 2e-2
"""Head maps reach 33 cells and the recorded maps are fp16, which resolves 1.6e-2 there."""
THUNDER_TOLERANCE = 4e-2
"""The same where they reach 90 cells."""
PROBABILITY_TOLERANCE = 5e-4
"""fp16 resolves 2.4e-4 just below 1."""
KEYPOINT_TOLERANCE_PX = 1e-3


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(Path(__file__).parent / "movenet_golden.safetensors")


@pytest.fixture(scope="module")
def movenet() -> MoveNet:
    network = MoveNet()
    network.load_state_dict(read_module(MULTIPOSE_PREFIX))
    return network.eval()


@pytest.fixture(scope="module")
def maps(movenet: MoveNet, golden: dict[str, torch.Tensor]):
    # 0.00784302 is 1 / 127.5 in the graph's fp16.
    image = (golden["picture"].float() * 0.00784302 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return movenet(image)


@pytest.mark.parametrize("name", HEADS)
def test_head_maps_equal_those_of_the_original_graph(maps, golden, name: str) -> None:
    expected = golden[name].float().permute(0, 3, 1, 2)
    tolerance = PROBABILITY_TOLERANCE if name in ("center", "keypoint_heatmap") else TOLERANCE

    torch.testing.assert_close(getattr(maps, name), expected, atol=tolerance, rtol=0)


def test_decoded_keypoints_equal_those_of_the_original_decoder(maps, golden) -> None:
    height, width = golden["picture"].shape[:2]
    # Six people of 56 numbers: 17 x (y, x, score), box, score; sizes are shares of the image, from its corner.
    best = golden["decoded"][0, 0, :51].reshape(17, 3)
    expected = best[:, [1, 0]] * torch.tensor([width, height]) - 0.5

    people = decode_people(maps, DecodeOptions(weighting="gaussian"))

    assert len(people) == 1
    torch.testing.assert_close(people.keypoints_px[0], expected, atol=KEYPOINT_TOLERANCE_PX, rtol=0)


def test_both_weightings_find_the_same_trusted_keypoints(maps) -> None:
    reciprocal = decode_people(maps, DecodeOptions(weighting="reciprocal"))
    gaussian = decode_people(maps, DecodeOptions(weighting="gaussian"))

    trusted = reciprocal.keypoint_score[0] > 0.4
    assert trusted.sum() >= 8
    # A neighboring cell may win, and each cell has its own offset.
    torch.testing.assert_close(reciprocal.keypoints_px[0][trusted], gaussian.keypoints_px[0][trusted], atol=4, rtol=0)


def test_a_black_image_has_no_people(movenet: MoveNet) -> None:
    with torch.inference_mode():
        maps = movenet(torch.zeros(1, 3, 64, 96))

    people = decode_people(maps)

    assert people.keypoints_px.shape == (0, 17, 2)
    assert people.box_px.shape == (0, 4)


def test_frames_of_a_batch_do_not_touch_each_other(movenet: MoveNet, golden) -> None:
    image = (golden["picture"].float() / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        alone = movenet(image).center
        together = movenet(torch.cat([torch.zeros_like(image), image])).center[1:]

    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def square() -> dict[str, torch.Tensor]:
    return load_file(Path(__file__).parent / "thunder_golden.safetensors")


@pytest.fixture(scope="module")
def thunder_maps(square: dict[str, torch.Tensor]):
    network = MoveNet(THUNDER)
    network.load_state_dict(read_module(THUNDER_PREFIX))
    picture = square["picture"].repeat_interleave(2, 0).repeat_interleave(2, 1)
    with torch.inference_mode():
        return network.eval()((picture.float() * 0.00784302 - 1).permute(2, 0, 1)[None])


@pytest.mark.parametrize("name", THUNDER.heads)
def test_head_maps_of_thunder_equal_those_of_the_original_graph(thunder_maps, square, name: str) -> None:
    expected = square[name].float().permute(0, 3, 1, 2)
    tolerance = PROBABILITY_TOLERANCE if name in ("center", "keypoint_heatmap") else THUNDER_TOLERANCE

    torch.testing.assert_close(getattr(thunder_maps, name)[..., ::4, ::4], expected, atol=tolerance, rtol=0)


def test_keypoints_of_thunder_equal_those_of_the_original_decoder(thunder_maps, square) -> None:
    expected = square["decoded"].reshape(17, 3)

    keypoints, scores = decode_single(thunder_maps)

    torch.testing.assert_close(keypoints[0], expected[:, [1, 0]] * 256 - 0.5, atol=KEYPOINT_TOLERANCE_PX, rtol=0)
    torch.testing.assert_close(scores[0], expected[:, 2], atol=PROBABILITY_TOLERANCE, rtol=0)
    assert (scores[0] > 0.3).sum() >= 12


def test_a_network_for_one_person_has_no_boxes(thunder_maps) -> None:
    assert thunder_maps.box_scale.shape[1] == thunder_maps.box_offset.shape[1] == 0
