"""People whom single frames turn around."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.models.compact.people.lifting.body_points import MIRRORED_KEYPOINTS
from human3r.refinement.facing import with_steady_facing
from human3r.refinement.world.shots import Cameras
from human3r.results.person_table import PersonTable

_COUNT = 30
_FRONT, _BACK = np.pi, 0.0
"""Turns about the vertical of a body whose z axis is its front, in a camera that looks along z."""
_UP = np.array([0.0, -1.0, 0.0])
_CAMERA_HEIGHT_M = 1.5


@pytest.fixture
def cameras() -> Cameras:
    eye = np.tile(np.eye(4), (_COUNT, 1, 1))
    return Cameras(eye[:, :3, :3], eye, 0.1 * np.arange(_COUNT), np.zeros(_COUNT, np.int64), (480, 640))


def _person(people: PersonTable, turns: np.ndarray, distance_m: np.ndarray, face: float) -> PersonTable:
    one = people.select(np.zeros(_COUNT, np.int64))
    rotations = np.tile(np.eye(3, dtype=np.float32), (_COUNT, 22, 1, 1))
    rotations[:, 0] = Rotation.from_rotvec(np.outer(turns, [0, 1, 0])).as_matrix()
    # Raises the left arm.
    rotations[:, 16] = Rotation.from_euler("z", 0.5).as_matrix()
    keypoints = np.full((_COUNT, 17, 3), 0.8, np.float32)
    keypoints[:, :5, 2] = face
    keypoints[:, 5, 0] = 5.0
    return replace(
        one,
        person_frame=np.arange(_COUNT),
        unfiltered_rotations=rotations,
        unfiltered_head=np.stack([0 * distance_m, 0 * distance_m, distance_m], axis=1).astype(np.float32),
        keypoints=keypoints,
    )


def test_a_back_that_seems_a_front_for_a_moment_is_mirrored_and_its_sides_exchanged(
    people: PersonTable, cameras: Cameras
) -> None:
    turns = np.full(_COUNT, _BACK)
    turns[[7, 8]] = _FRONT
    seen = _person(people, turns, np.full(_COUNT, 4.0), face=0.5)
    steady = with_steady_facing(seen, cameras, _UP)
    assert np.allclose(steady.unfiltered_rotations[:, 0], np.eye(3), atol=1e-6)
    changed = np.flatnonzero((steady.keypoints != seen.keypoints).any(axis=(1, 2)))
    assert changed.tolist() == [7, 8]
    assert np.array_equal(steady.keypoints[7], seen.keypoints[7, list(MIRRORED_KEYPOINTS)])
    # What seemed the left arm is the right one, as high.
    assert np.allclose(steady.unfiltered_rotations[7, 17], Rotation.from_euler("z", -0.5).as_matrix(), atol=1e-6)
    assert with_steady_facing(steady, cameras, _UP) is steady


def test_a_single_reversed_frame_has_the_pose_of_those_before_and_after_rather_than_its_mirror_image(
    people: PersonTable, cameras: Cameras
) -> None:
    turns = np.full(_COUNT, _BACK)
    turns[7] = _FRONT
    steady = with_steady_facing(_person(people, turns, np.full(_COUNT, 4.0), face=0.5), cameras, _UP)
    left, right = Rotation.from_matrix(steady.unfiltered_rotations[7, 16:18]).as_rotvec()[:, 2]
    assert left > 0.35
    assert right == pytest.approx(0, abs=0.15)


def _with_feet_at(people: PersonTable, distance_m: np.ndarray) -> PersonTable:
    """Return people whose feet the cameras, of focal length 1 px, see on the ground."""
    keypoints = people.keypoints.copy()
    keypoints[:, 15:17, 0] = 0.0
    keypoints[:, 15:17, 1] = (_CAMERA_HEIGHT_M / distance_m)[:, None]
    return replace(people, keypoints=keypoints)


def test_who_walks_away_turns_the_back_and_who_stands_or_comes_does_not(people: PersonTable, cameras: Cameras) -> None:
    turns, away, still = np.full(_COUNT, _FRONT), np.linspace(4.0, 8.0, _COUNT), np.full(_COUNT, 4.0)
    walker = _with_feet_at(_person(people, turns, away, face=0.4), away)
    steady = with_steady_facing(walker, cameras, _UP)
    assert np.allclose(steady.unfiltered_rotations[:, 0], np.eye(3), atol=1e-6)
    for feet in (away[::-1], still):
        clear = _with_feet_at(_person(people, turns, feet, face=0.4), feet)
        assert with_steady_facing(clear, cameras, _UP) is clear


def test_who_seems_to_shrink_over_feet_that_stand_does_not_walk(people: PersonTable, cameras: Cameras) -> None:
    shrinking = _person(people, np.full(_COUNT, _FRONT), np.linspace(4.0, 8.0, _COUNT), face=0.4)
    standing = _with_feet_at(shrinking, np.full(_COUNT, 4.0))
    assert with_steady_facing(standing, cameras, _UP) is standing


def test_a_camera_that_follows_a_walker_at_one_distance_sees_a_back(people: PersonTable, cameras: Cameras) -> None:
    T = cameras.T_world_camera.copy()
    T[:, 2, 3] = np.linspace(0.0, 4.0, _COUNT)
    still = np.full(_COUNT, 4.0)
    walker = _with_feet_at(_person(people, np.full(_COUNT, _FRONT), still, face=0.4), still)
    steady = with_steady_facing(walker, replace(cameras, T_world_camera=T), _UP)
    assert np.allclose(steady.unfiltered_rotations[:, 0], np.eye(3), atol=1e-6)
