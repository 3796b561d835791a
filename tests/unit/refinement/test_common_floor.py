"""One floor: simulated people whose sizes were guessed wrong come back to it; who does not stand has no say."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.refinement.common_floor import Stances, fit_floor, weighted_median
from human3r.refinement.standing import is_standing

_CAMERA_HEIGHT = 1.6
_T_GRAVITY_WORLD = np.diag([1.0, -1.0, -1.0, 1.0])
_T_GRAVITY_WORLD[1, 3] = _CAMERA_HEIGHT
"""A level camera: its y axis points down."""


def _standing_joints() -> np.ndarray:
    """A y-up skeleton with straight legs whose soles are at 0, 22 joints."""
    joints = np.zeros((22, 3))
    heights = {0: 0.95, 1: 0.9, 2: 0.9, 4: 0.5, 5: 0.5, 7: 0.09, 8: 0.09, 10: 0.02, 11: 0.02, 12: 1.45, 15: 1.55}
    for joint, height in heights.items():
        joints[joint, 1] = height
    joints[[1, 4, 7, 10], 0], joints[[2, 5, 8, 11], 0] = 0.1, -0.1
    return joints


def _stances(places: list[tuple[float, float]], factors: list[float], frames: int = 8, lift_m: float = 0.0) -> Stances:
    """People at (x, z), as far away and as large as ``factors`` says; the last one ``lift_m`` off the floor."""
    rows, track = [], []
    for identity, ((x, z), factor) in enumerate(zip(places, factors, strict=True)):
        lift = lift_m if identity == len(places) - 1 else 0.0
        upright = _standing_joints() + np.array([x, lift, 0.0])
        world = upright * np.array([1.0, -1.0, -1.0]) + np.array([0.0, _CAMERA_HEIGHT, z])
        rows += [world * factor] * frames
        track += [identity] * frames
    count = len(rows)
    return Stances(
        joints=np.array(rows),
        camera=np.zeros((count, 3)),
        track=np.array(track),
        time_s=np.tile(np.arange(frames) / 10.0, len(places)),
        feet_in_image=np.ones((count, 2), dtype=bool),
    )


def test_somebody_with_straight_legs_stands_and_somebody_on_a_chair_does_not() -> None:
    seated = _standing_joints()
    seated[[4, 5]] = seated[[1, 2]] + np.array([0.0, 0.0, 0.4])
    seated[[7, 8]] = seated[[4, 5]] - np.array([0.0, 0.4, 0.0])

    assert is_standing(np.stack([_standing_joints(), seated])).tolist() == [True, False]


def test_people_of_the_right_size_are_left_alone() -> None:
    fit = fit_floor(_stances([(-1.0, 3.0), (0.5, 5.0), (1.0, 7.0)], [1.0, 1.0, 1.0]), _T_GRAVITY_WORLD)

    assert all(abs(value) < 0.005 for value in fit.log_size.values())
    assert np.abs(fit.log_distance).max() < 0.005


def test_a_child_among_adults_that_was_taken_for_an_adult_is_made_small() -> None:
    # Too large and too far by a third: the picture is the same.
    fit = fit_floor(_stances([(-1.0, 3.0), (0.5, 5.0), (1.0, 7.0), (0.0, 4.0)], [1, 1, 1, 1.33]), _T_GRAVITY_WORLD)

    assert fit.log_size[3] == pytest.approx(-np.log(1.33), abs=0.06)
    assert all(abs(fit.log_size[one]) < 0.04 for one in (0, 1, 2))


def test_one_person_alone_keeps_the_size() -> None:
    fit = fit_floor(_stances([(0.0, 4.0)], [1.2]), _T_GRAVITY_WORLD)

    assert fit.log_size[0] == pytest.approx(0.0, abs=0.01)


def test_somebody_high_above_the_floor_is_left_there() -> None:
    fit = fit_floor(_stances([(-1.0, 3.0), (0.5, 5.0), (1.0, 8.0)], [1, 1, 1], lift_m=1.5), _T_GRAVITY_WORLD)

    assert fit.log_size.get(2, 0.0) == 0.0
    assert np.abs(fit.log_distance[-8:]).max() == 0.0


def test_a_distance_that_wobbles_is_put_back_onto_the_floor() -> None:
    stances = _stances([(0.0, 4.0)], [1.0], frames=40)
    wobble = 0.05 * np.sin(np.arange(40) / 8.0)
    shaken = Stances(
        joints=stances.joints * np.exp(wobble)[:, None, None],
        camera=stances.camera,
        track=stances.track,
        time_s=stances.time_s,
        feet_in_image=stances.feet_in_image,
    )

    fit = fit_floor(shaken, _T_GRAVITY_WORLD)

    remaining = wobble + fit.log_distance
    assert remaining.std() < 0.5 * wobble.std()


def test_feet_outside_of_the_picture_say_nothing() -> None:
    stances = _stances([(-1.0, 3.0), (0.5, 5.0), (0.0, 4.0)], [1, 1, 1.3])
    stances.feet_in_image[stances.track == 2] = False

    assert fit_floor(stances, _T_GRAVITY_WORLD).log_size.get(2, 0.0) == 0.0


def test_nobody_is_no_special_case() -> None:
    nobody = Stances(np.zeros((0, 22, 3)), np.zeros((0, 3)), np.zeros(0, int), np.zeros(0), np.zeros((0, 2), bool))

    fit = fit_floor(nobody, _T_GRAVITY_WORLD)

    assert fit.log_size == {}
    assert fit.log_distance.shape == (0,)


def test_a_weighted_median_has_half_of_the_weight_on_either_side() -> None:
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 5.0])) == 2.0
