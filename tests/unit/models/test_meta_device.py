"""Networks run on a device that is not the CPU, without one: the meta device has shapes and types, and no values.

An operator that mixes it with a CPU tensor fails, and so does whatever wants a value: ``.cpu()``, ``float()``,
``.item()``, ``.numpy()``. Only what ``step`` has to wait for by design is answered, by the test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from human3r.models.build import build_network
from human3r.models.compact.build import COMPACT
from human3r.models.config import PRESETS, ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.precision import Precision, set_precision, stored_precision
from human3r.records import TensorRecord

CONFIGS = {**PRESETS, "compact": COMPACT}
SIDE_MULTIPLE = 32
"""Of the height; every patch and stride divides it."""
PIXELS_ANSWER = 32
"""A position inside of every picture, and the side of a crop."""


class Answers(TorchDispatchMode):
    """Answers what a network has to know: how many there are, and whether a condition holds.

    Args:
        is_true: Of every condition on a scalar.
    """

    def __init__(self, is_true: bool) -> None:
        super().__init__()
        self.is_true = is_true
        self.num_found = 0
        """Rows of every ``nonzero``."""
        self.asked: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function.name().split(".")[0]
        if arguments and isinstance(arguments[0], Tensor) and arguments[0].device.type != "meta":
            # Tables are made on the CPU once, of numbers that are known.
            return function(*arguments, **(options or {}))
        if name == "aten::nonzero":
            self.asked.append(name)
            return self._indices(arguments[0].ndim)
        if name == "aten::_local_scalar_dense" and arguments[0].dtype == torch.bool:
            self.asked.append(name)
            return self.is_true
        if name in ("aten::index", "aten::index_put", "aten::index_put_"):
            arguments = (arguments[0], self._without_masks(arguments[1]), *arguments[2:])
        return function(*arguments, **(options or {}))

    def _indices(self, num_axes: int) -> Tensor:
        return torch.empty(self.num_found, num_axes, dtype=torch.int64, device="meta")

    def _without_masks(self, indices: list[Tensor | None]) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for index in indices:
            if index is not None and index.dtype == torch.bool:
                self.asked.append("aten::index")
                found += self._indices(index.ndim).unbind(1)
            else:
                found.append(index)
        return found


@cache
def on_meta(config: ModelConfig) -> Human3R:
    if config.architecture == "compact":
        # Building it looks at values.
        return build_network(config).eval().to("meta")
    with torch.device("meta"):
        return build_network(config).eval()


def run(
    network: Human3R, answers: Answers, counts: tuple[int, ...], people_capacity: int | None = None
) -> list[TensorRecord]:
    """Step with these numbers of people in one stream, the last time after a reset; return predictions and states."""
    config, records = network.config, []
    image = torch.empty(1, 3, config.image_size * 9 // 16 // SIDE_MULTIPLE * SIDE_MULTIPLE, config.image_size).to(
        "meta"
    )
    # Not in inference mode: composite operators are seen by their parts.
    with torch.no_grad(), answers:
        state = network.initial_state()
        for index, answers.num_found in enumerate(counts):
            state = network.reset(state) if index == len(counts) - 1 else state
            if index == 0 or network.look_ahead is not None:
                # People are found ahead.
                tokens = network.encode(image)
            prediction, state = network.step(tokens, state, use_ttt3r=True, people_capacity=people_capacity)
            records += [prediction, state]
    return records


def tensors_of(records: list[TensorRecord]) -> list[Tensor]:
    found: list[Tensor] = []
    for record in records:
        record.map(lambda tensor: found.append(tensor) or tensor)
    return found


@pytest.fixture
def _positions(monkeypatch):
    """``tolist``, with which ``compact`` places its crops: frames and cells are the first, sides and corners equal."""

    def tolist(self: Tensor) -> object:
        answer = PIXELS_ANSWER if self.dtype.is_floating_point else 0
        return np.full(self.shape, answer, np.float64 if answer else np.int64).tolist()

    monkeypatch.setattr(Tensor, "tolist", tolist)


@pytest.mark.parametrize(
    "name",
    ["tiny", *(pytest.param(name, marks=pytest.mark.slow) for name in PRESETS if name != "tiny")],
)
def test_networks_of_the_paper_wait_for_the_number_of_people_only(name: str) -> None:
    answers = Answers(is_true=True)
    records = run(on_meta(CONFIGS[name]), answers, counts=(0, 1, 20, 1))
    assert set(answers.asked) == {"aten::nonzero"}
    assert [len(record.score) for record in records[::2]] == [0, 1, 20, 1]
    assert {tensor.device.type for tensor in tensors_of(records)} == {"meta"}


def test_a_network_of_the_paper_waits_for_nothing_with_padded_people() -> None:
    answers = Answers(is_true=True)
    records = run(on_meta(CONFIGS["tiny"]), answers, counts=(0, 0), people_capacity=8)
    assert answers.asked == []
    assert {len(record.score) for record in records[::2]} == {8}


@pytest.mark.usefixtures("_positions")
@pytest.mark.parametrize(("is_true", "counts"), [(True, (0, 4, 4, 1)), (False, (1, 1))])
def test_compact_runs_on_one_device(is_true: bool, counts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    # Where conditions hold the camera stands, and the third frame is left out.
    monkeypatch.setattr("human3r.models.compact.scene.rest.MIN_RESTING", 1)
    records = run(on_meta(COMPACT), Answers(is_true), counts)
    assert {tensor.device.type for tensor in tensors_of(records)} == {"meta"}
    # Those of both scales, among whom the doublets are left out: as many as every question about rows is answered with.
    assert [len(record.score) for record in records[::2]] == list(counts)
    assert [getattr(state.rest_state, "left_out") for state in records[1::2]] == [0, 0, 1, 0][: len(counts)]  # type: ignore[attr-defined]  # noqa: B009


@pytest.mark.usefixtures("_positions")
@pytest.mark.parametrize(
    ("name", "waiting"),
    [
        ("tiny", lambda tensor: tensor.cpu()),
        ("tiny", lambda tensor: float(tensor.sum())),
        ("tiny", lambda tensor: tensor.numpy()),
        ("compact", lambda tensor: tensor.cpu()),
    ],
)
def test_a_step_that_wants_values_on_the_host_fails(
    name: str, waiting: Callable[[Tensor], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gate(proposed: Tensor, previous: Tensor, logits: Tensor | None) -> Tensor:
        waiting(proposed)
        return proposed

    monkeypatch.setattr("human3r.models.human3r.gate_state", gate)
    with pytest.raises((NotImplementedError, RuntimeError, TypeError), match="meta"):
        run(on_meta(CONFIGS[name]), Answers(is_true=True), counts=(1,))


@pytest.mark.parametrize("precision", ["fp32", "mixed16", "bf16"])
def test_results_and_states_are_fp32_whatever_the_weights_are(precision: Precision) -> None:
    with torch.device("meta"):
        network = build_network(PRESETS["tiny"]).eval()
    set_precision(network, precision)
    stored = {name: parameter.dtype for name, parameter in network.named_parameters()}
    assert stored == {name: stored_precision(name, precision) for name in stored}
    assert (len(set(stored.values())) == 1) == (precision == "fp32")
    found = tensors_of(run(network, Answers(is_true=True), counts=(1,)))
    assert {tensor.dtype for tensor in found if tensor.is_floating_point()} == {torch.float32}
