"""Compiled parts equal the uncompiled network, and a failing compiler leaves it unchanged.

``pytest -m slow tests/unit/models/test_compiled.py`` also runs the inductor backend, which needs a C++ compiler and
takes minutes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from human3r.models.build import build_network, seed_weights
from human3r.models.compiled import PEOPLE_BUCKETS, compile_network, heavy_parts
from human3r.models.config import PRESETS, ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.parts import NetworkPrediction

TOLERANCE = 1e-4
"""Relative to the largest value: another order of summation, amplified by exponentials."""


@pytest.fixture(autouse=True)
def _no_compiled_code_is_left() -> Iterator[None]:
    yield
    torch.compiler.reset()


def smallest() -> ModelConfig:
    """Return tiny with as few blocks as possible: tracing takes a second per block."""
    tiny = PRESETS["tiny"]
    trunk = replace(tiny.trunk, decoder_depth=2)
    parts = replace(tiny.parts, encoder_depth=1, human_depth=1, has_extra_heads=False)
    return replace(tiny, trunk=trunk, parts=parts)


def seeded() -> Human3R:
    network = build_network(smallest())
    seed_weights(network)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> Tensor:
    coarse = torch.rand(2, 3, 2, 3, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return nn.functional.interpolate(coarse, size=(32, 48), mode="nearest")


@torch.inference_mode()
def run(network: Human3R, images: Tensor) -> NetworkPrediction:
    state = network.initial_state()
    for index in range(len(images)):
        tokens = network.encode(images[index : index + 1])
        prediction, state = network.step(tokens, state, people_capacity=PEOPLE_BUCKETS[0])
    return prediction


def assert_same(found: NetworkPrediction, expected: NetworkPrediction) -> None:
    for name in ("pointmap_camera", "T_segment_camera", "head_camera", "joint_rotations"):
        value, other = getattr(found, name), getattr(expected, name)
        assert float((value - other).abs().max()) <= TOLERANCE * float(other.abs().max()), name


def test_traced_parts_give_the_same_numbers(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("human3r.models.compiled.PEOPLE_BUCKETS", PEOPLE_BUCKETS[:1])
    network = seeded()
    assert compile_network(network, images[:1], backend="eager")
    assert all(part._compiled_call_impl is not None for part in heavy_parts(network))
    assert_same(run(network, images), run(seeded(), images))


def test_a_failing_compiler_leaves_the_network_uncompiled(
    images: Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("no compiler here")

    network = seeded()
    assert not compile_network(network, images[:1], backend=fail)  # type: ignore[arg-type]
    assert "no compiler here" in caplog.text
    assert all(part._compiled_call_impl is None for part in heavy_parts(network))
    assert_same(run(network, images), run(seeded(), images))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_machine_code_gives_the_same_numbers(images: Tensor) -> None:
    network = seeded()
    assert compile_network(network, images[:1])
    assert_same(run(network, images), run(seeded(), images))
