"""The scene takes its scale from people, robustly and slowly."""

from __future__ import annotations

import torch

from human3r.models.compact.scale_head import ScaleCue, update_scale


def fresh() -> ScaleCue:
    return ScaleCue(torch.tensor(0.0), torch.tensor(0.3))


def test_the_first_person_sets_most_of_the_scale() -> None:
    cue = update_scale(fresh(), torch.tensor([0.5]), torch.tensor([1.0]))

    assert 0.35 < cue.log_scale < 0.5


def test_nobody_changes_nothing() -> None:
    cue = update_scale(fresh(), torch.zeros(0), torch.zeros(0))

    assert cue.log_scale == 0
    torch.testing.assert_close(cue.weight, torch.tensor(0.3))


def test_a_clip_of_agreeing_people_converges() -> None:
    cue = fresh()
    for _ in range(50):
        cue = update_scale(cue, torch.tensor([0.4, 0.4]), torch.tensor([0.9, 0.7]))

    torch.testing.assert_close(cue.log_scale, torch.tensor(0.4), atol=0.01, rtol=0)


def test_one_wrong_person_hardly_moves_an_established_scale() -> None:
    cue = fresh()
    for _ in range(30):
        cue = update_scale(cue, torch.tensor([0.2]), torch.tensor([1.0]))

    after = update_scale(cue, torch.tensor([1.2]), torch.tensor([1.0]))

    assert (after.log_scale - cue.log_scale).abs() < 0.01


def test_memory_is_bounded() -> None:
    cue = fresh()
    for _ in range(500):
        cue = update_scale(cue, torch.tensor([0.1]), torch.tensor([1.0]))

    assert cue.weight <= 60
