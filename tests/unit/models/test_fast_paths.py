"""Every fast path against its reference, with its tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from human3r.benchmarking.measuring import HostWaits
from human3r.models.build import build_network, seed_weights
from human3r.models.config import PRESETS
from human3r.models.human3r import Human3R
from human3r.models.layers.attention import attend, attend_reference, mean_logits, mean_logits_reference
from human3r.models.layers.casting import Linear
from human3r.models.layers.prepacked_linear import PrepackedLinear, can_prepack, prepack_linears
from human3r.models.layers.rope import Rotary
from human3r.models.layers.rope_complex import interleaved_order, to_complex
from human3r.models.parts import PER_PERSON, NetworkPrediction, RecurrentState
from human3r.models.precision import set_precision
from human3r.models.reference import use_reference_path

FP32_TOLERANCE = 1e-4
"""Relative to the largest value: another order of summation, amplified by exponentials."""
HALF_ATTENTION_TOLERANCE = 0.02
"""Relative to the largest value: logits, weights and values have eight bits."""


def tiny(seed: int = 0) -> Human3R:
    network = build_network(PRESETS["tiny"])
    seed_weights(network, seed)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def network() -> Human3R:
    return tiny()


@pytest.fixture(scope="module")
def images() -> Tensor:
    coarse = torch.rand(3, 3, 6, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return nn.functional.interpolate(coarse, size=(96, 128), mode="nearest")


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def run(network: Human3R, images: Tensor, **options: object) -> tuple[NetworkPrediction, RecurrentState]:
    state = network.initial_state()
    for index in range(len(images)):
        prediction, state = network.step(network.encode(images[index : index + 1]), state, **options)
    return prediction, state


def worst_difference(found: object, expected: object) -> float:
    values: list[list[Tensor]] = [[], []]
    for record, kept in zip((found, expected), values, strict=True):
        record.map(lambda tensor, kept=kept: kept.append(tensor) or tensor)
    errors = [
        float((one - other).abs().max() / other.abs().max().clamp_min(1e-6))
        for one, other in zip(*values, strict=True)
        if one.numel()
    ]
    return max(errors)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1), (5, 7), (300, 65), (130, 700)])
def test_fused_attention_is_the_formula(sizes: tuple[int, int], is_masked: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    query = torch.randn(2, 3, sizes[0], 16, generator=generator)
    key, value = torch.randn(2, 2, 3, sizes[1], 16, generator=generator)
    is_key = torch.arange(sizes[1]) % 3 == 0 if is_masked else None
    expected = attend_reference(query, key, value, is_key)
    assert torch.allclose(attend(query, key, value, is_key), expected, atol=1e-5)
    rounded = [values.bfloat16() for values in (query, key, value)]
    half, expected = attend(*rounded, is_key), attend_reference(*[values.float() for values in rounded], is_key)
    assert half.dtype == torch.bfloat16
    assert float((half - expected).abs().max() / expected.abs().max()) < HALF_ATTENTION_TOLERANCE


def test_bf16_attention_does_not_suffer_from_a_large_common_logit() -> None:
    generator = torch.Generator().manual_seed(1)
    query, key, value = torch.randn(3, 1, 2, 50, 16, generator=generator)
    # A common part of all keys moves every logit of a query by tens, where bf16 resolves quarters.
    query, key = (query + 3).bfloat16(), (key + 8).bfloat16()
    expected = attend_reference(query.float(), key.float(), value.bfloat16().float())
    found = attend(query, key, value.bfloat16())
    assert float((found - expected).abs().max() / expected.abs().max()) < HALF_ATTENTION_TOLERANCE


@pytest.mark.parametrize("is_masked", [False, True])
def test_the_gate_from_the_mean_key_is_the_mean_of_all_logits(is_masked: bool) -> None:
    query, key = torch.randn(2, 1, 2, 40, 12, generator=torch.Generator().manual_seed(2))
    is_key = torch.arange(40) < 33 if is_masked else None
    expected = mean_logits_reference(query, key, is_key)
    assert torch.allclose(mean_logits(query, key, is_key), expected, atol=1e-5)


def test_the_fast_networks_equal_the_reference(network: Human3R, images: Tensor) -> None:
    reference, prepacked = tiny(), tiny()
    use_reference_path(reference)
    num_layers = sum(isinstance(module, Linear) for module in prepacked.modules())
    assert prepack_linears(prepacked) == (num_layers if can_prepack(torch.float32) else 0)
    expected = run(reference, images, use_ttt3r=True)
    complex_rope, channels_last = tiny(), tiny()
    complex_rope.use_complex_rope()
    for blocks in ("image_encoder.blocks", "decoder.image_blocks"):
        weight = f"{blocks}.0.attention.qkv.weight"
        assert not torch.equal(complex_rope.get_parameter(weight), network.get_parameter(weight))
    channels_last.point_head.to(memory_format=torch.channels_last)
    for fast in (network, prepacked, complex_rope, channels_last):
        found = run(fast, images, use_ttt3r=True)
        assert worst_difference(found[0], expected[0]) < FP32_TOLERANCE
        assert worst_difference(found[1], expected[1]) < FP32_TOLERANCE


def test_a_complex_rotation_is_the_rotation_of_interleaved_channels() -> None:
    table = Rotary(16, 100.0).table(torch.tensor([[3, -1], [0, 2], [7, 5]]))
    tokens = torch.randn(2, 4, 3, 16, generator=torch.Generator().manual_seed(0))
    order = interleaved_order(16)
    assert sorted(order.tolist()) == list(range(16))
    torch.testing.assert_close(to_complex(table).rotate(tokens[..., order]), table.rotate(tokens)[..., order])


def test_prepacking_falls_back_to_linear_layers(
    network: Human3R, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> Tensor:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(PrepackedLinear, "forward", refuse)
    other = tiny()
    assert prepack_linears(other) == 0
    assert any(isinstance(module, Linear) for module in other.modules())
    assert worst_difference(run(other, images)[0], run(network, images)[0]) == 0


def test_a_prepacked_layer_accepts_no_rows(network: Human3R) -> None:
    layer = PrepackedLinear(Linear(8, 4).requires_grad_(False)) if can_prepack(torch.float32) else Linear(8, 4)
    assert layer(torch.zeros(0, 8)).shape == (0, 4)


@pytest.mark.parametrize(("threshold", "use_ttt3r"), [(2.0, False), (0.5, True), (0.3, False)])
def test_padded_people_change_nothing(network: Human3R, images: Tensor, threshold: float, use_ttt3r: bool) -> None:
    other = tiny()
    other.prompter.threshold = threshold
    expected, expected_state = run(other, images, use_ttt3r=use_ttt3r)
    count = len(expected.score)
    found, state = run(other, images, use_ttt3r=use_ttt3r, people_capacity=count + 5)
    assert found.num_found is not None
    assert int(found.num_found) == count
    assert found.score.shape[0] == count + 5
    assert worst_difference(found.select_people(slice(count)), expected) < FP32_TOLERANCE
    assert worst_difference(state, expected_state) < FP32_TOLERANCE


def test_more_people_than_the_axis_holds_are_counted(network: Human3R, images: Tensor) -> None:
    expected, _ = run(network, images[:1])
    found, _ = run(network, images[:1], people_capacity=1)
    assert len(expected.score) > 1
    assert int(found.num_found) == len(expected.score)


def test_a_padded_step_never_waits_for_the_device_and_an_exact_one_waits_once(network: Human3R, images: Tensor) -> None:
    tokens = network.encode(images[:1])
    _, state = network.step(tokens, network.initial_state())
    with HostWaits() as padded:
        network.step(network.encode(images[1:2]), state, use_ttt3r=True, people_capacity=8)
    with HostWaits() as exact:
        network.step(network.encode(images[1:2]), state, use_ttt3r=True)
    assert padded.names == []
    assert exact.names == ["aten::nonzero"]


def test_lean_heads_are_neither_built_nor_run(images: Tensor) -> None:
    class Convolutions(TorchFunctionMode):
        count = 0

        def __torch_function__(self, function, types, arguments=(), options=None):
            self.count += function is torch.conv2d
            return function(*arguments, **(options or {}))

    config = PRESETS["tiny"]
    lean = build_network(replace(config, parts=replace(config.parts, has_extra_heads=False)))
    seed_weights(lean)
    with Convolutions() as full_count:
        run(tiny(), images[:1])
    with Convolutions() as lean_count:
        run(lean, images[:1])
    # Two more heads of the layout of the point head: each runs the same convolutions.
    per_head = (full_count.count - lean_count.count) / 2
    assert lean.extra_head is None
    assert lean_count.count == per_head + 2


def test_frames_encoded_together_are_frames_encoded_alone(network: Human3R, images: Tensor) -> None:
    together = network.encode(images)
    for index in range(len(images)):
        alone = network.encode(images[index : index + 1])
        assert worst_difference(together.select(index).image, alone.image) < FP32_TOLERANCE
        assert worst_difference(together.select(index).human, alone.human) < FP32_TOLERANCE


def test_bf16_weights_keep_state_and_outputs_fp32(network: Human3R, images: Tensor) -> None:
    half = tiny()
    set_precision(half, "bf16")
    found, state = run(half, images, use_ttt3r=True)
    expected, _ = run(network, images, use_ttt3r=True)
    for record in (found, state):
        dtypes: set[torch.dtype] = set()
        record.map(lambda tensor, dtypes=dtypes: dtypes.add(tensor.dtype) or tensor)
        assert dtypes == {torch.float32}
    assert len(found.score) == len(expected.score)
    for name in PER_PERSON:
        assert torch.isfinite(getattr(found, name)).all()
