"""Small formulas of the network against values worked out elsewhere, and fast forms against expected ones."""

from __future__ import annotations

import pytest
import torch

from human3r.models.decoder import state_positions
from human3r.models.layers.attention import CrossAttention, SelfAttention, mean_logits, rotate
from human3r.models.layers.rope import Rotary
from human3r.models.paper.dinov2 import squeezed_sigmoid, standardize
from human3r.models.paper.heads import bounded_colors, decode_camera, exponential_confidence, exponential_points
from human3r.models.paper.letterbox import content_box, letterbox, letterbox_map_to_image, letterbox_points_to_image
from human3r.models.paper.prompts import suppress_non_maxima


def test_rotation_by_position_has_the_published_value() -> None:
    table = Rotary(8, 100.0).table(torch.tensor([[3, -1]]))
    rotated = table.rotate(torch.arange(1.0, 9.0).view(1, 1, 1, 8))
    expected = [-1.413352, 0.728592, -2.828857, 4.412386, 8.591808, 6.768692, -0.425238, 7.361033]
    assert rotated.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_position_zero_rotates_nothing() -> None:
    tokens = torch.randn(1, 2, 1, 16)
    assert torch.equal(Rotary(16, 100.0).table(torch.zeros(1, 2)).rotate(tokens), tokens)


def test_products_depend_on_relative_positions_only() -> None:
    query, key = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(0))
    rotary = Rotary(16, 100.0)

    def product(first: tuple[int, int], second: tuple[int, int]) -> torch.Tensor:
        one, two = (rotary.table(torch.tensor([position])) for position in (first, second))
        return (one.rotate(query) * two.rotate(key)).sum()

    assert torch.allclose(product((3, 5), (1, 9)), product((7, -2), (5, 2)), atol=1e-5)


def test_a_table_is_built_once_per_grid() -> None:
    rotary = Rotary(16, 100.0)
    device = torch.device("cpu")
    assert rotary.grid(3, 4, device) is rotary.grid(3, 4, device)
    assert rotary.grid(4, 3, device) is not rotary.grid(3, 4, device)


def test_half_rounding_moves_values_by_fp16_steps() -> None:
    tokens = torch.randn(1, 2, 5, 16, generator=torch.Generator().manual_seed(0))
    table = Rotary(16, 100.0).table(torch.arange(10).view(5, 2))
    expected, rounded = rotate(tokens, table), rotate(tokens, table, has_half_rounding=True)
    assert torch.equal(rounded, rounded.half().float())
    assert 0 < (expected - rounded).abs().max() < 4e-3


def test_mean_logits_equal_the_mean_of_all_logits() -> None:
    query, key = torch.randn(2, 1, 3, 7, 8, generator=torch.Generator().manual_seed(1))
    expected = (query @ key.transpose(-1, -2) * 8**-0.5).mean(dim=(1, 3))[0]
    assert torch.allclose(mean_logits(query, key), expected, atol=1e-6)


def test_fused_attention_equals_explicit_softmax() -> None:
    torch.manual_seed(0)
    attention, tokens = SelfAttention(16, 2), torch.randn(1, 5, 16)
    query, key, value = attention.qkv(tokens).view(1, 5, 3, 2, 8).permute(2, 0, 3, 1, 4)
    expected = ((query @ key.transpose(-1, -2) * 8**-0.5).softmax(-1) @ value).transpose(1, 2).reshape(1, 5, 16)
    assert torch.allclose(attention(tokens), attention.projection(expected), atol=1e-6)


def test_mean_logits_are_returned_only_on_demand() -> None:
    attention = CrossAttention(16, 2)
    tokens, context = torch.randn(1, 5, 16), torch.randn(1, 3, 16)
    assert attention(tokens, context)[1] is None
    assert attention(tokens, context, with_mean_logits=True)[1].shape == (5,)


@pytest.mark.parametrize(
    ("num_tokens", "index", "position"), [(50, 7, [0, 7]), (50, 8, [1, 0]), (50, 49, [6, 1]), (768, 767, [27, 11])]
)
def test_state_tokens_lie_on_a_square_of_even_width(num_tokens: int, index: int, position: list[int]) -> None:
    assert state_positions(num_tokens)[index].tolist() == position


def test_points_grow_exponentially_along_their_direction() -> None:
    point = exponential_points(torch.tensor([0.3, -0.4, 1.2]))
    assert point.tolist() == pytest.approx([0.6159916, -0.8213221, 2.4639664], abs=1e-6)
    assert exponential_points(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]


def test_confidence_color_and_score_have_their_published_values() -> None:
    assert exponential_confidence(torch.tensor(-1.0)).item() == pytest.approx(1.3678794)
    assert bounded_colors(torch.tensor(0.7)).item() == pytest.approx(0.3363748, abs=1e-6)
    assert squeezed_sigmoid(torch.tensor([0.0, -3.0, 30.0])).tolist() == pytest.approx([0.5, 0.0474268, 0.999999])


def test_a_camera_quaternion_is_turned_to_the_positive_half() -> None:
    translation, quaternion = decode_camera(torch.tensor([0.3, -0.4, 1.2, -0.5, 0.1, 0.2, -0.3]))
    assert translation.tolist() == pytest.approx([0.6159916, -0.8213221, 2.4639664], abs=1e-6)
    assert quaternion.tolist() == pytest.approx([0.8006408, -0.1601282, -0.3202563, 0.4803845], abs=1e-6)


def test_non_maxima_vanish_and_equal_neighbors_survive() -> None:
    rows = [[0.1, 0.5, 0.5, 0.2], [0.2, 0.4, 0.3, 0.6], [0.9, 0.1, 0.35, 0.1], [0.1, 0.1, 0.1, 0.31]]
    kept = suppress_non_maxima(torch.tensor(rows)[None, None])[0, 0]
    assert kept.nonzero().tolist() == [[0, 1], [1, 3], [2, 0]]
    assert suppress_non_maxima(torch.full((1, 1, 2, 2), 0.4)).count_nonzero() == 4


@pytest.mark.parametrize(
    ("side", "size", "point", "expected"),
    [
        (896, (288, 512), (448.0, 448.0), (256.0, 144.0)),
        (896, (288, 512), (10.0, 893.0), (5.714286, 287.0)),
        (896, (512, 288), (10.0, 893.0), (0.0, 510.2857)),
        (672, (512, 288), (10.0, 669.0), (0.0, 509.7143)),
    ],
)
def test_points_of_the_square_come_back_to_the_image(side: int, size: tuple, point: tuple, expected: tuple) -> None:
    assert letterbox_points_to_image(torch.tensor([point]), side, size)[0].tolist() == pytest.approx(expected, abs=1e-3)


def test_the_square_is_padded_with_black_around_the_center() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4) / 6 - 1
    square = letterbox(image, 8)[0, 0]
    assert content_box((3, 4), 8) == (1, 7, 0, 8)
    assert square[0].tolist() == square[7].tolist() == [-1] * 8
    assert square[1, :3].tolist() == pytest.approx([-1, -0.9583333, -0.875], abs=1e-6)


def test_maps_of_the_square_come_back_by_nearest_neighbor() -> None:
    ramp = torch.arange(64.0).view(1, 8, 8)
    assert letterbox_map_to_image(ramp, (3, 4))[0].tolist() == [[0, 2, 4, 6], [16, 18, 20, 22], [32, 34, 36, 38]]


def test_black_is_standardized_to_minus_mean_over_deviation() -> None:
    assert standardize(torch.full((1, 3, 1, 1), -1.0)).flatten().tolist() == pytest.approx(
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    )
