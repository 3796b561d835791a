"""Feet that touch the ground stand still on it, and the image hardly changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from human3r.bodies import SmplxBody, load_body
from human3r.refinement.feet.contact import IN_CONTACT, MAX_STEP_M, foot_contact
from human3r.refinement.feet.foot_lock import _in_time, with_locked_feet
from human3r.refinement.feet.ground_distance import with_distances_from_ground
from human3r.refinement.feet.leg_reach import reach
from human3r.refinement.identity_shapes import with_shapes
from human3r.refinement.world.shots import Cameras, Shot
from human3r.refinement.world.standing import FEET, SOLE_M
from human3r.results.person_table import PersonTable
from human3r.results.posing import parameters_of_rows
from human3r.skeleton import NUM_BODY_JOINTS

_FRAMES = 12
_T_GRAVITY_WORLD = np.diag([1.0, -1.0, -1.0, 1.0])
_T_GRAVITY_WORLD[1, 3] = 1.5


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body(None)


@pytest.fixture(scope="module")
def shaking(body: SmplxBody) -> Shot:
    """Somebody who stands four meters away; the body shakes by some centimeters, mostly along the view."""
    rng = np.random.default_rng(0)
    zeros = {item: np.zeros((_FRAMES, *shape), np.float32) for item, shape in _SHAPES.items()}
    people = PersonTable(
        person_frame=np.arange(_FRAMES),
        person_track=np.zeros(_FRAMES, np.int64),
        person_score=np.ones(_FRAMES, np.float32),
        **zeros,
    )
    # Upside up for a camera whose y axis points down.
    people = replace(people, global_orient=np.tile(np.float32([np.pi, 0, 0]), (_FRAMES, 1)))
    with torch.inference_mode():
        joints = body.joints(parameters_of_rows(people)).numpy()
    low = (joints @ _T_GRAVITY_WORLD[:3, :3].T)[:, FEET, 1].min() - SOLE_M
    shake = rng.normal(0, (0.004, 0.01, 0.04), (_FRAMES, 3))
    shift = np.array([0.0, 1.5 + low, 4.0]) + shake
    people = replace(
        people,
        transl=shift.astype(np.float32),
        joints_world=(joints + shift[:, None]).astype(np.float32),
    )
    K = np.tile(np.array([[800.0, 0, 480], [0, 800, 480], [0, 0, 1]]), (_FRAMES, 1, 1))
    T = np.tile(np.eye(4), (_FRAMES, 1, 1))
    cameras = Cameras(K, T, np.arange(_FRAMES) / 10, np.zeros(_FRAMES, np.int64), (960, 960))
    grid = np.stack(np.meshgrid(np.arange(-2, 2, 0.1), np.arange(2, 6, 0.1)), -1).reshape(-1, 2)
    points = np.column_stack([grid[:, 0], np.full(len(grid), 1.5), grid[:, 1]])
    nothing = np.zeros(len(points), np.int64)
    return Shot(cameras, people, points, nothing, _T_GRAVITY_WORLD, np.zeros((_FRAMES, 2)))


_SHAPES = {
    **dict.fromkeys(("global_orient", "transl", "jaw_pose", "leye_pose", "reye_pose", "unfiltered_head"), (3,)),
    **dict.fromkeys(("left_hand_pose", "right_hand_pose"), (15, 3)),
    **dict.fromkeys(("betas", "expression", "unfiltered_betas"), (10,)),
    "body_pose": (21, 3),
    "joints_world": (55, 3),
    "unfiltered_rotations": (22, 3, 3),
    "keypoints": (17, 3),
}


def test_feet_at_rest_are_in_contact_and_a_lifted_one_is_not(shaking: Shot) -> None:
    contact = foot_contact(shaking, _T_GRAVITY_WORLD)
    assert contact.min() > 0.5
    joints = shaking.people.joints_world.copy()
    joints[:, FEET[0], 1] -= 0.4
    lifted = foot_contact(replace(shaking, people=replace(shaking.people, joints_world=joints)), _T_GRAVITY_WORLD)
    assert lifted[:, 0].max() < 0.1
    assert lifted[:, 1].min() > 0.5


def test_contact_does_not_depend_on_how_many_frames_are_compared_at_a_time(
    shaking: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = foot_contact(shaking, _T_GRAVITY_WORLD)
    monkeypatch.setattr("human3r.refinement.feet.contact._BLOCK", 3)
    assert np.allclose(foot_contact(shaking, _T_GRAVITY_WORLD), contact, atol=1e-12)


def test_a_place_is_solved_for_after_its_last_frame() -> None:
    order = _in_time(np.array([[0, -1], [0, 1], [-1, 1]]), 2)
    assert order.tolist() == [*range(18), 27, 28, 29, *range(18, 27), 30, 31, 32]


def test_a_moving_foot_is_not_in_contact(shaking: Shot) -> None:
    joints = shaking.people.joints_world.copy()
    joints[:, FEET[0], 0] += 0.3 * np.arange(_FRAMES)
    moving = foot_contact(replace(shaking, people=replace(shaking.people, joints_world=joints)), _T_GRAVITY_WORLD)
    assert moving[:, 0].max() < 0.1


def test_a_foot_whose_distance_shakes_is_in_contact(shaking: Shot) -> None:
    farther = np.where(np.arange(_FRAMES) % 2, 1.04, 1.0)[:, None, None]
    joints = shaking.people.joints_world.mean(axis=0) * farther
    assert np.linalg.norm(np.diff(joints[:, FEET], axis=0), axis=-1).min() > MAX_STEP_M
    seen = replace(shaking, people=replace(shaking.people, joints_world=joints.astype(np.float32)))
    assert foot_contact(seen, _T_GRAVITY_WORLD).min() > IN_CONTACT


def test_feet_in_contact_stay_where_they_are(shaking: Shot, body: SmplxBody) -> None:
    contact = foot_contact(shaking, _T_GRAVITY_WORLD)
    locked, _ = with_locked_feet(shaking, _T_GRAVITY_WORLD, contact, body)
    steps = [np.linalg.norm(np.diff(shot.people.joints_world[:, FEET], axis=0), axis=-1) for shot in (shaking, locked)]
    assert np.median(steps[0]) > 0.03
    assert steps[1].max() < 0.005
    soles = locked.joints_in(_T_GRAVITY_WORLD)[:, FEET, 1] - SOLE_M
    assert np.abs(soles).max() < 0.02


def moved_px(before: Shot, after: Shot) -> np.ndarray:
    """Return the motion of body joints in the image, ``N 22``."""
    old, new = (
        shot.cameras.project(shot.people.joints_world[:, :NUM_BODY_JOINTS], shot.people.person_frame)
        for shot in (before, after)
    )
    return np.linalg.norm(new - old, axis=-1)


def test_the_image_of_locked_people_hardly_changes(shaking: Shot, body: SmplxBody) -> None:
    locked, _ = with_locked_feet(shaking, _T_GRAVITY_WORLD, np.ones((_FRAMES, 2)), body)
    assert np.median(moved_px(shaking, locked)) < 1.0
    assert np.percentile(moved_px(shaking, locked), 95) < 4.0


def test_a_floor_that_is_wrong_does_not_pull_people_out_of_the_picture(shaking: Shot, body: SmplxBody) -> None:
    floor = _T_GRAVITY_WORLD.copy()
    floor[1, 3] -= 0.06
    points = shaking.points - np.array([0.0, 0.06, 0.0])
    locked, _ = with_locked_feet(replace(shaking, points=points), floor, np.ones((_FRAMES, 2)), body)
    moved = moved_px(shaking, locked)
    assert np.median(moved) < 1.0
    assert np.median(moved[:, FEET]) < 3.0
    height = locked.people.joints_world[:, FEET, 1] - shaking.people.joints_world[:, FEET, 1]
    assert -0.05 < height.mean() < 0.0


def test_a_foot_that_moves_in_the_image_is_not_in_contact(shaking: Shot, body: SmplxBody) -> None:
    pose = np.zeros((_FRAMES, 2, 3))
    pose[6, 0] = (0.08, -0.08, 0.0)
    stepping = reach(shaking.people, pose)
    with torch.inference_mode():
        joints = body.joints(parameters_of_rows(stepping)).numpy()
    stepping = replace(stepping, joints_world=joints)
    locked, contact = with_locked_feet(replace(shaking, people=stepping), _T_GRAVITY_WORLD, np.ones((_FRAMES, 2)), body)
    assert contact[6, 0] <= IN_CONTACT
    assert contact[:, 1].min() > IN_CONTACT
    step = locked.people.joints_world[6, FEET[0]] - locked.people.joints_world[5, FEET[0]]
    assert np.linalg.norm(step) > 0.06


def test_without_contact_nothing_moves_far(shaking: Shot, body: SmplxBody) -> None:
    left, _ = with_locked_feet(shaking, _T_GRAVITY_WORLD, np.zeros((_FRAMES, 2)), body)
    assert np.abs(left.people.body_pose).max() < 0.1
    assert np.abs(left.people.transl - shaking.people.transl).max() < 0.1


def test_zero_people_are_handled(shaking: Shot, body: SmplxBody) -> None:
    empty = replace(shaking, people=shaking.people.select(np.zeros(0, np.int64)))
    assert foot_contact(empty, _T_GRAVITY_WORLD).shape == (0, 2)
    assert len(with_locked_feet(empty, _T_GRAVITY_WORLD, np.zeros((0, 2)), body)[0].people) == 0


def test_a_leg_reaches_exactly_and_the_foot_keeps_its_orientation(shaking: Shot, body: SmplxBody) -> None:
    motion = np.zeros((_FRAMES, 2, 3))
    motion[:, 0] = (0.03, -0.06, 0.05)
    moved = reach(shaking.people, motion)
    with torch.inference_mode():
        joints = body.joints(parameters_of_rows(moved)).numpy()
    shift = joints - shaking.people.joints_world
    assert shift[:, 7] == pytest.approx(motion[:, 0], abs=1e-3)
    assert shift[:, 10] == pytest.approx(motion[:, 0], abs=1e-3)
    assert np.abs(shift[:, [0, 8, 11, 15]]).max() < 1e-4


def _seen_from_above(shot: Shot) -> tuple[Shot, np.ndarray]:
    """Return people and scene two meters lower and four meters farther away, and ``T_gravity_world``."""
    shift, T, people = np.array([0.0, 2.0, 4.0], np.float32), _T_GRAVITY_WORLD.copy(), shot.people
    T[1, 3] += 2
    people = replace(people, transl=people.transl + shift, joints_world=people.joints_world + shift)
    return replace(shot, people=people, points=shot.points + shift), T


@pytest.mark.parametrize("log_distance", [-0.025, 0.025])
def test_somebody_whose_feet_are_off_the_ground_goes_along_the_ray(
    shaking: Shot, body: SmplxBody, log_distance: float
) -> None:
    true, T_gravity_world = _seen_from_above(shaking)
    people, errors = true.people, np.full(len(true.people), log_distance)
    wrong = replace(true, people=with_shapes(people, body, true.positions(), people.betas, errors))

    righted = with_distances_from_ground(wrong, T_gravity_world, body)

    away = [shot.people.joints_world[:, 0, 2] for shot in (true, wrong, righted)]
    assert abs((away[2] - away[0]).mean()) < 0.5 * abs((away[1] - away[0]).mean())
    pixels = [shot.cameras.project(shot.people.joints_world[:, :22], np.arange(_FRAMES)) for shot in (wrong, righted)]
    assert np.abs(pixels[1] - pixels[0]).max() < 5


def test_a_camera_at_the_height_of_the_trunk_does_not_see_the_distance_from_the_ground(
    shaking: Shot, body: SmplxBody
) -> None:
    low = _T_GRAVITY_WORLD.copy()
    low[1, 3] -= 0.2

    left = with_distances_from_ground(shaking, low, body)

    assert np.abs(left.people.transl - shaking.people.transl).max() < 0.05


def test_somebody_on_a_roof_stays_there(shaking: Shot, body: SmplxBody) -> None:
    above, T_gravity_world = _seen_from_above(shaking)
    T_gravity_world[1, 3] += 1.5

    left = with_distances_from_ground(replace(above, points=above.points[:0]), T_gravity_world, body)

    assert np.abs(left.people.transl - above.people.transl).max() < 0.2
