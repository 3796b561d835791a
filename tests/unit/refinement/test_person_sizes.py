"""Children are told from adults by the floor under their feet, and only where something speaks for it."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.refinement.person_sizes import PersonSizes, StandingSoles, sizes_from_scene


def _sizes(ratios: list[float], trusts: list[float] | float = 0.5, frames: int = 6) -> PersonSizes:
    trusts = [trusts] * len(ratios) if isinstance(trusts, float) else trusts
    return sizes_from_scene(
        np.repeat(np.arange(len(ratios)), frames), np.repeat(ratios, frames), np.repeat(trusts, frames)
    )


def test_adults_who_agree_with_the_scene_keep_their_sizes() -> None:
    sizes = _sizes([0.1, 0.15, 0.05])
    assert set(sizes.log_size.values()) == {0.0}
    assert sizes.log_scene == 0.0


def test_a_child_beside_adults_becomes_as_small_as_the_floor_says() -> None:
    sizes = _sizes([0.1, 0.1, 0.1 + np.log(1.45 / 1.0)])
    assert sizes.log_size[0] == sizes.log_size[1] == 0.0
    assert sizes.log_size[2] == pytest.approx(np.log(1.0 / 1.45), abs=0.06)


@pytest.mark.parametrize("scale", [-0.3, 0.0, 0.4])
def test_a_scale_that_everybody_shares_is_the_scenes_and_makes_nobody_small(scale: float) -> None:
    sizes = _sizes([scale, scale + 0.05, scale - 0.03, scale]).log_size
    assert set(sizes.values()) == {0.0}


def test_the_scene_gives_back_what_a_child_added_to_its_scale() -> None:
    sizes = _sizes([0.1, 0.55])
    assert sizes.log_scene == pytest.approx((sizes.log_size[0] + sizes.log_size[1]) / 2)


def test_whoever_is_alone_needs_a_large_surplus_to_be_a_child() -> None:
    assert _sizes([0.35]).log_size[0] == 0.0
    assert _sizes([0.9]).log_size[0] < -0.3


def test_feet_that_are_hardly_seen_say_little() -> None:
    seen, hardly = (_sizes([0.1, 0.1, 0.5], [0.5, 0.5, trust]).log_size[2] for trust in (0.5, 0.06))
    assert seen < -0.25
    assert hardly == 0.0


def test_a_scene_gone_wrong_below_one_person_makes_no_child_of_the_other() -> None:
    assert set(_sizes([-0.64, 0.25], [0.15, 0.21]).log_size.values()) == {0.0}


def test_people_seen_too_shortly_or_without_feet_are_not_judged() -> None:
    assert _sizes([0.1, 0.6], frames=2) == PersonSizes({}, 0.0)
    assert _sizes([0.1, 0.6], 0.0) == PersonSizes({}, 0.0)
    assert sizes_from_scene(np.zeros(0, np.int64), np.zeros(0), np.zeros(0)) == PersonSizes({}, 0.0)


@pytest.mark.parametrize(
    ("sole", "is_child"), [(-0.7, True), (0.0, False), (0.5, False), (-8.0, False), (np.nan, True)]
)
def test_the_floor_of_the_others_has_a_say(sole: float, is_child: bool) -> None:
    track = np.repeat([0, 1, 2], 6)
    soles = StandingSoles(np.repeat([0.0, 0.02, sole], 6), np.full(18, 1.6))
    sizes = sizes_from_scene(track, np.repeat([0.1, 0.1, 0.5], 6), np.full(18, 0.5), soles)
    assert (sizes.log_size[2] < -0.3) == is_child
    assert sizes.log_size[0] == sizes.log_size[1] == 0.0
