"""The lens head weighs the edges against the network, and looks seldom."""

from __future__ import annotations

import pytest
import torch

from human3r.models.compact.scene import lens_head
from human3r.models.compact.scene.lens_head import LensState, join, look
from human3r.models.compact.scene.straight_edges import log_focals

READING, INFORMATION = torch.tensor(0.2), torch.tensor(1 / 0.17**2)
NOTHING = torch.zeros_like(log_focals(READING))


def bump(place: float, sharpness: float) -> torch.Tensor:
    """Return the evidence of edges that want the logarithm of the focal length to be somewhere."""
    return -sharpness * (log_focals(READING) - place) ** 2


@pytest.mark.parametrize("reading", [-0.9, 0.0, 0.2, 0.9])
def test_without_edges_the_network_is_believed(reading: float) -> None:
    mean, information = join(NOTHING, torch.tensor(reading), INFORMATION)

    torch.testing.assert_close(mean, torch.tensor(reading), atol=1e-3, rtol=0)
    torch.testing.assert_close(information, INFORMATION, rtol=0.01, atol=0)


def test_clear_edges_move_the_focal_length_and_make_it_surer() -> None:
    mean, information = join(bump(0.0, 3000), READING, INFORMATION)

    assert 0 <= float(mean) < 0.05
    assert float(information) > 3 * float(INFORMATION)


def test_faint_edges_move_it_little() -> None:
    mean, _ = join(bump(0.0, 50), READING, INFORMATION)

    assert 0.15 < float(mean) < 0.2


def test_edges_that_contradict_the_network_wildly_are_strays() -> None:
    mean, _ = join(bump(-0.75, 3000), torch.tensor(0.4), INFORMATION)

    torch.testing.assert_close(mean, torch.tensor(0.4), atol=0.02, rtol=0)


def test_looks_are_seldom_and_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([1.0, 3.0, 5.0, 7.0])
    monkeypatch.setattr(lens_head, "focal_evidence", lambda edges, focal_px: torch.full_like(NOTHING, next(said)))
    grey = mask = torch.zeros(32, 64)
    state: LensState | None = None
    looks = []
    for index in range(70):
        before = 0 if state is None else state.num_looks
        state = look(grey, mask, state)
        if state.num_looks > before:
            looks.append(index)

    assert state is not None
    assert looks == [0, 4, 16, 64]
    torch.testing.assert_close(state.evidence, torch.full_like(NOTHING, 4.0))
