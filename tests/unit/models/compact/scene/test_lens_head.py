"""The lens head fuses edges with the network's prediction, at growing intervals."""

from __future__ import annotations

import pytest
import torch

from human3r.models.compact.scene import lens_head
from human3r.models.compact.scene.lens_head import LensState, fuse, update_state
from human3r.models.compact.scene.straight_edges import log_focals

PREDICTION, INFORMATION = torch.tensor(0.2), torch.tensor(1 / 0.17**2)
NOTHING = torch.zeros_like(log_focals(PREDICTION))


def bump(place: float, sharpness: float) -> torch.Tensor:
    """Return evidence for one log focal length."""
    return -sharpness * (log_focals(PREDICTION) - place) ** 2


@pytest.mark.parametrize("prediction", [-0.9, 0.0, 0.2, 0.9])
def test_without_edges_the_prediction_is_kept(prediction: float) -> None:
    mean, information = fuse(NOTHING, torch.tensor(prediction), INFORMATION)

    torch.testing.assert_close(mean, torch.tensor(prediction), atol=1e-3, rtol=0)
    torch.testing.assert_close(information, INFORMATION, rtol=0.01, atol=0)


def test_clear_edges_move_the_focal_length_and_add_information() -> None:
    mean, information = fuse(bump(0.0, 3000), PREDICTION, INFORMATION)

    assert 0 <= float(mean) < 0.05
    assert float(information) > 3 * float(INFORMATION)


def test_faint_edges_move_it_little() -> None:
    mean, _ = fuse(bump(0.0, 50), PREDICTION, INFORMATION)

    assert 0.15 < float(mean) < 0.2


def test_edges_that_contradict_the_network_are_outliers() -> None:
    mean, _ = fuse(bump(-0.75, 3000), torch.tensor(0.4), INFORMATION)

    torch.testing.assert_close(mean, torch.tensor(0.4), atol=0.02, rtol=0)


def test_evidence_is_evaluated_at_growing_intervals_and_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([1.0, 3.0, 5.0, 7.0])
    monkeypatch.setattr(lens_head, "focal_evidence", lambda edges, focal_px: torch.full_like(NOTHING, next(values)))
    gray = mask = torch.zeros(32, 64)
    state: LensState | None = None
    evaluated = []
    for index in range(70):
        before = 0 if state is None else state.num_evaluated
        state = update_state(gray, mask, state)
        if state.num_evaluated > before:
            evaluated.append(index)

    assert state is not None
    assert evaluated == [0, 4, 16, 64]
    torch.testing.assert_close(state.evidence, torch.full_like(NOTHING, 4.0))
