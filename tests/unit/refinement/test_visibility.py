"""Joints that the picture does not show rest; shown ones are left alone."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.refinement.visibility import calmed, shown_joints, trust_in_distances
from human3r.skeleton import Joint

_LEFT_ELBOW_POINT, _LEFT_WRIST_POINT = 7, 9


def _keypoints(count: int) -> np.ndarray:
    keypoints = np.zeros((count, 17, 3), np.float32)
    keypoints[..., 2] = 0.9
    return keypoints


def _bends(angles: np.ndarray) -> np.ndarray:
    rotations = np.tile(np.eye(3), (len(angles), 22, 1, 1))
    rotations[:, Joint.LEFT_ELBOW] = Rotation.from_rotvec(np.outer(angles, [0, 1, 0])).as_matrix()
    return rotations


def _angles(rotations: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(rotations[:, Joint.LEFT_ELBOW]).as_rotvec()[:, 1]


def test_a_hidden_wrist_hides_the_rotation_of_the_forearm_alone() -> None:
    keypoints = _keypoints(3)
    keypoints[1, _LEFT_WRIST_POINT, 2] = 0.05
    shown = shown_joints(keypoints)
    assert shown[[0, 2]].min() == 1
    assert set(np.flatnonzero(shown[1] < 1)) == {Joint.LEFT_ELBOW, Joint.LEFT_WRIST}


def test_without_any_keypoints_everything_counts_as_shown() -> None:
    assert shown_joints(np.zeros((4, 17, 3), np.float32)).min() == 1


def test_a_hidden_arm_does_not_flail_and_returns_to_what_is_shown() -> None:
    time_s = np.arange(40) / 30
    angles = np.full(40, 0.4)
    angles[15:25] += np.random.default_rng(0).normal(0, 1.0, 10)
    shown = np.ones((40, 22))
    shown[15:25, Joint.LEFT_ELBOW] = 0.0
    calm = _angles(calmed(_bends(angles), shown, time_s))
    assert np.abs(calm - 0.4)[15:25].mean() < 0.4 * np.abs(angles - 0.4)[15:25].mean()
    assert np.allclose(np.delete(calm, np.s_[15:25]), np.delete(_angles(_bends(angles)), np.s_[15:25]))


def test_the_pose_of_a_joint_that_is_never_shown_is_averaged() -> None:
    time_s, angles = np.arange(60) / 30, 0.5 + np.random.default_rng(1).normal(0, 0.3, 60)
    shown = np.ones((60, 22))
    shown[:, Joint.LEFT_ELBOW] = 0.0
    calm = _angles(calmed(_bends(angles), shown, time_s))
    assert np.abs(calm - 0.5).max() < 0.25
    assert np.abs(np.diff(calm, 2)).mean() < 0.1 * np.abs(np.diff(angles, 2)).mean()


def test_distances_count_the_more_the_more_is_seen_of_somebody() -> None:
    keypoints = _keypoints(3)
    keypoints[1, :8, 2] = 0
    keypoints[2, :, 2] = 0
    trust = trust_in_distances(keypoints)
    assert trust[0] == 1
    assert trust[0] > trust[1] > trust[2] > 0
    assert trust_in_distances(np.zeros((2, 17, 3), np.float32)).min() == 1
