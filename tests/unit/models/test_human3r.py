"""The assembly: pure steps, resets, any number of people, no wait for the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from human3r.models.build import build_network, seed_weights
from human3r.models.config import PRESETS, PaperConfig
from human3r.models.human3r import Human3R
from human3r.models.parts import RecurrentState
from human3r.records import TensorRecord


@pytest.fixture(scope="module")
def network() -> Human3R:
    network = build_network(PRESETS["tiny"])
    seed_weights(network)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Three landscape frames in which the seeded network finds people, and different numbers of them."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(3, 3, 6, 8, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(96, 128), mode="nearest")


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def _tensors(record: TensorRecord) -> list[Tensor]:
    found: list[Tensor] = []
    record.map(lambda tensor: found.append(tensor) or tensor)
    return found


def _with_threshold(network: Human3R, threshold: float) -> Human3R:
    parts = network.config.parts
    assert isinstance(parts, PaperConfig)
    other = build_network(replace(network.config, parts=replace(parts, detection_threshold=threshold)))
    other.load_state_dict(network.state_dict())
    return other.requires_grad_(False)


def _are_equal(first: TensorRecord, second: TensorRecord) -> bool:
    pairs = zip(_tensors(first), _tensors(second), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_step_changes_neither_its_tokens_nor_its_state(network: Human3R, images: Tensor) -> None:
    tokens = network.encode(images[:1])
    _, state = network.step(tokens, network.initial_state())
    copies = tokens.image.map(torch.clone), tokens.human.map(torch.clone), state.map(torch.clone)
    network.step(tokens, state, use_ttt3r=True)
    assert all(_are_equal(*pair) for pair in zip(copies, (tokens.image, tokens.human, state), strict=True))


def test_the_same_step_twice_is_bit_equal(network: Human3R, images: Tensor) -> None:
    tokens = network.encode(images[:1])
    _, state = network.step(tokens, network.initial_state())
    first, second = network.step(tokens, state), network.step(tokens, state)
    assert _are_equal(first[0], second[0])
    assert _are_equal(first[1], second[1])


def test_reset_restores_the_initial_state(network: Human3R, images: Tensor) -> None:
    _, state = network.step(network.encode(images[:1]), network.initial_state())
    fresh = network.reset(state)
    assert _are_equal(fresh, network.initial_state())
    assert not fresh.has_history


def test_the_frame_after_a_reset_is_predicted_as_a_first_frame(network: Human3R, images: Tensor) -> None:
    tokens = network.encode(images[:1])
    first, state = network.step(tokens, network.initial_state())
    again, _ = network.step(tokens, network.reset(state))
    assert _are_equal(first, again)


def test_a_later_frame_depends_on_the_past(network: Human3R, images: Tensor) -> None:
    tokens = network.encode(images[1:2])
    _, state = network.step(network.encode(images[:1]), network.initial_state())
    with_past, _ = network.step(tokens, state)
    without_past, _ = network.step(tokens, network.initial_state())
    assert not torch.allclose(with_past.T_segment_camera, without_past.T_segment_camera, atol=1e-4)


@pytest.mark.parametrize("threshold", [2.0, 0.3, 0.0])
def test_any_number_of_people_is_handled(network: Human3R, images: Tensor, threshold: float) -> None:
    other = _with_threshold(network, threshold)
    tokens = other.encode(images[:1])
    prediction, state = other.step(tokens, other.initial_state())
    prediction, state = other.step(tokens, state, use_ttt3r=True)
    num_people = len(prediction.score)
    assert (num_people == 0) == (threshold > 1)
    assert prediction.joint_rotations.shape == (num_people, 53, 3, 3)
    assert prediction.head_camera.shape == (num_people, 3)
    assert prediction.track_features.shape[0] == num_people
    assert all(torch.isfinite(tensor).all() for tensor in (*_tensors(prediction), *_tensors(state)))


def test_every_output_has_its_documented_shape(network: Human3R, images: Tensor) -> None:
    prediction, state = network.step(network.encode(images[:1]), network.initial_state())
    assert prediction.T_segment_camera.shape == (4, 4)
    assert prediction.pointmap_camera.shape == (96, 128, 3)
    assert prediction.confidence.shape == prediction.person_mask.shape == (96, 128)
    assert prediction.confidence.min() > 1
    assert prediction.focal_px.shape == ()
    assert state.state_tokens.dtype == state.memory_slots.dtype == torch.float32


def test_portrait_and_odd_grids_work(network: Human3R, images: Tensor) -> None:
    portrait = images[:1].transpose(2, 3)[..., :112, :80].contiguous()
    prediction, _ = network.step(network.encode(portrait), network.initial_state())
    assert prediction.pointmap_camera.shape == (112, 80, 3)


def test_encoding_together_equals_encoding_alone(network: Human3R, images: Tensor) -> None:
    together, alone = network.encode(images).select(1), network.encode(images[1:2])
    assert torch.allclose(together.image.tokens, alone.image.tokens, atol=1e-5)
    assert torch.allclose(together.human.score, alone.human.score, atol=1e-6)
    assert together.image.grid == alone.image.grid


def test_lean_heads_change_nothing_else(network: Human3R, images: Tensor) -> None:
    parts = network.config.parts
    lean = build_network(replace(network.config, parts=replace(parts, has_extra_heads=False)))
    lean.load_state_dict({name: value for name, value in network.state_dict().items() if "extra_head" not in name})
    full, _ = network.step(network.encode(images[:1]), network.initial_state())
    small, _ = lean.step(lean.encode(images[:1]), lean.initial_state())
    assert small.extras is None
    assert full.extras is not None
    assert _are_equal(replace(full, extras=None), small)


def test_a_frame_that_must_not_update_leaves_no_trace_in_the_state(network: Human3R, images: Tensor) -> None:
    _, state = network.step(network.encode(images[:1]), network.initial_state())
    _, after = network.step(network.encode(images[1:2]), state, update=False)
    assert torch.equal(after.state_tokens, state.state_tokens)
    assert torch.equal(after.memory_slots, state.memory_slots)


def test_the_gate_spares_the_first_frame_and_acts_on_the_second(network: Human3R, images: Tensor) -> None:
    tokens = [network.encode(images[index : index + 1]) for index in range(2)]
    ungated: list[RecurrentState] = [network.initial_state()]
    gated: list[RecurrentState] = [network.initial_state()]
    for frame in tokens:
        ungated.append(network.step(frame, ungated[-1])[1])
        gated.append(network.step(frame, gated[-1], use_ttt3r=True)[1])
    assert torch.equal(ungated[1].state_tokens, gated[1].state_tokens)
    assert not torch.allclose(ungated[2].state_tokens, gated[2].state_tokens, atol=1e-3)
    assert torch.equal(ungated[2].memory_slots, gated[2].memory_slots)


def test_seeded_weights_are_repeatable(network: Human3R) -> None:
    other = build_network(PRESETS["tiny"])
    seed_weights(other)
    weights = other.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_bf16_arithmetic_stays_near_fp32_and_keeps_the_state_fp32(network: Human3R, images: Tensor) -> None:
    def run(is_half: bool) -> tuple[Tensor, RecurrentState]:
        state = network.initial_state()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_half):
            for index in range(2):
                tokens = network.encode(images[index : index + 1])
                prediction, state = network.step(tokens, state, use_ttt3r=True)
        return prediction.T_segment_camera, state

    (full, _), (half, state) = run(False), run(True)
    assert state.state_tokens.dtype == state.memory_slots.dtype == half.dtype == torch.float32
    # Eight bits of mantissa through fourteen blocks.
    assert torch.allclose(full, half, atol=0.1)
