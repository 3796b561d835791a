"""When the people prior looks twice, and at which size."""

from __future__ import annotations

import torch

from human3r.models.compact.human_prior import enlarged_size, has_hints


def center_map(*peaks: float) -> torch.Tensor:
    center = torch.full((1, 1, 24, 24), 0.01)
    for index, score in enumerate(peaks):
        center[0, 0, 6, 4 + 8 * index] = score
    return center


def test_a_weak_peak_asks_for_a_second_look() -> None:
    assert has_hints(center_map(0.9, 0.2))


def test_clear_people_and_clutter_do_not() -> None:
    assert not has_hints(center_map(0.9, 0.6))
    assert not has_hints(center_map(0.9, 0.04))
    assert not has_hints(center_map())


def test_the_slope_of_a_strong_peak_is_no_weak_peak() -> None:
    center = center_map(0.9)
    center[0, 0, 6, 5] = 0.3

    assert not has_hints(center)


def test_the_second_look_keeps_multiples_of_32() -> None:
    assert enlarged_size((224, 384), 512) == (288, 512)
    assert enlarged_size((384, 224), 512) == (512, 288)


def test_a_large_picture_is_looked_at_once() -> None:
    assert enlarged_size((512, 384), 512) is None
    assert enlarged_size((224, 384), 0) is None
