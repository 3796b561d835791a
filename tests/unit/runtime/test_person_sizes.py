"""Children are told from grown-ups by the floor under their feet, and only where something speaks for it."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.runtime.person_sizes import PersonSizes, sizes_from_scene


def _sizes(ratios: list[float], trusts: list[float] | float = 0.5, frames: int = 6) -> PersonSizes:
    trusts = [trusts] * len(ratios) if isinstance(trusts, float) else trusts
    return sizes_from_scene(
        np.repeat(np.arange(len(ratios)), frames), np.repeat(ratios, frames), np.repeat(trusts, frames)
    )


def test_grown_ups_who_agree_with_the_scene_keep_their_sizes() -> None:
    sizes = _sizes([0.1, 0.15, 0.05])
    assert set(sizes.log_size.values()) == {0.0}
    assert sizes.log_scene == 0.0


def test_a_child_beside_grown_ups_becomes_as_small_as_the_floor_says() -> None:
    sizes = _sizes([0.1, 0.1, 0.1 + np.log(1.45 / 1.0)])
    assert sizes.log_size[0] == sizes.log_size[1] == 0.0
    assert sizes.log_size[2] == pytest.approx(np.log(1.0 / 1.45), abs=0.05)


@pytest.mark.parametrize("scale", [-0.3, 0.0, 0.4])
def test_a_scale_that_everybody_shares_is_the_scenes_and_makes_nobody_small(scale: float) -> None:
    assert set(_sizes([scale, scale + 0.05, scale - 0.03, scale]).log_size.values()) == {0.0}


def test_the_scene_gives_back_what_a_child_added_to_its_scale() -> None:
    sizes = _sizes([0.1, 0.55])
    assert sizes.log_scene == pytest.approx(sizes.log_size[1] / 2)


def test_whoever_is_alone_needs_a_large_surplus_to_be_a_child() -> None:
    assert _sizes([0.35]).log_size == {0: 0.0}
    assert _sizes([0.9]).log_size[0] < -0.3


def test_feet_that_are_hardly_seen_say_little() -> None:
    assert _sizes([0.1, 0.1, 0.45], [0.5, 0.5, 0.06]).log_size[2] == 0.0


def test_a_scene_gone_wrong_below_one_person_makes_no_child_of_the_other() -> None:
    assert _sizes([-0.64, 0.25], [0.15, 0.21]).log_size == {0: 0.0, 1: 0.0}


def test_people_seen_too_shortly_or_without_feet_are_not_judged() -> None:
    assert _sizes([0.1, 0.6], frames=2) == PersonSizes({}, 0.0)
    assert _sizes([0.1, 0.6], 0.0) == PersonSizes({}, 0.0)
    assert sizes_from_scene(np.zeros(0, np.int64), np.zeros(0), np.zeros(0)) == PersonSizes({}, 0.0)
