"""Smoothing without lag: steady motion stays, noise goes, nothing is carried over gaps and between identities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from human3r.bodies import SmplxBody, load_body
from human3r.refinement import offline_smoothing as module
from human3r.refinement.local_lines import local_lines
from human3r.refinement.offline_smoothing import OfflineSmoothingOptions, smooth_tracks
from human3r.results.person_table import PERSON_ROW, PersonTable

_STEP_S = 1 / 30
_ELBOW = 18


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body(None)


def _table(depth: np.ndarray, bend: np.ndarray, track: np.ndarray | None = None) -> PersonTable:
    """People who face the camera, ``n`` depths (of the head) and elbow bends."""
    count = len(depth)
    rotations = np.tile(np.eye(3, dtype=np.float32), (count, 22, 1, 1))
    rotations[:, 0] = np.diag([1.0, -1.0, -1.0])
    rotations[:, _ELBOW] = Rotation.from_rotvec(np.outer(bend, [0, 1, 0])).as_matrix()
    people = PersonTable.from_rows(np.zeros(count, PERSON_ROW))
    return replace(
        people,
        person_track=people.person_track if track is None else track,
        unfiltered_rotations=rotations,
        unfiltered_head=np.stack([0.1 * depth, -0.2 * depth, depth], axis=1).astype(np.float32),
    )


def _smooth(
    table: PersonTable, body: SmplxBody, time_s: np.ndarray | None = None, cameras: np.ndarray | None = None
) -> PersonTable:
    count = len(table.unfiltered_betas)
    time_s = np.arange(count) * _STEP_S if time_s is None else time_s
    cameras = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1)) if cameras is None else cameras
    return smooth_tracks(table, time_s, cameras, table.unfiltered_betas, body)


def _bends(table: PersonTable) -> np.ndarray:
    return table.body_pose[:, _ELBOW - 1, 1]


def test_steady_motion_is_left_as_it_is_to_the_first_and_last_frame(body: SmplxBody) -> None:
    depth, bend = np.geomspace(3.0, 4.0, 40), np.linspace(0.2, 1.4, 40)
    smooth = _smooth(_table(depth, bend), body)
    assert np.abs(_bends(smooth) - bend).max() < 0.01
    assert np.abs(smooth.joints_world[:, 15, 2] - depth).max() < 0.02


def test_a_swinging_arm_is_followed_without_lag(body: SmplxBody) -> None:
    bend = 0.8 + 0.6 * np.sin(2 * np.pi * 1.0 * np.arange(60) * _STEP_S)
    smooth = _bends(_smooth(_table(np.full(60, 3.0), bend), body))
    shifts = [np.abs(smooth[5:-5] - bend[5 + shift : 55 + shift]).mean() for shift in range(-3, 4)]
    assert int(np.argmin(shifts)) == 3
    assert np.abs(smooth - bend).max() < 0.06


def test_a_swift_kick_keeps_its_extent(body: SmplxBody) -> None:
    bend = 0.9 + 0.8 * np.sin(2 * np.pi * 3.0 * np.arange(60) * _STEP_S)
    smooth = _bends(_smooth(_table(np.full(60, 3.0), bend), body))
    assert np.abs(smooth - bend)[5:-5].max() < 0.2


def test_shaking_becomes_much_less(body: SmplxBody) -> None:
    noise = np.random.default_rng(3)
    table = _table(3.0 * np.exp(noise.normal(0, 0.01, 60)), 0.8 + noise.normal(0, 0.1, 60))
    smooth = _smooth(table, body)
    assert np.abs(np.diff(_bends(smooth), 2)).mean() < 0.25 * np.abs(np.diff(_bends_seen(table), 2)).mean()
    assert np.abs(np.diff(smooth.joints_world[:, 0, 2], 2)).mean() < 0.002


def _bends_seen(table: PersonTable) -> np.ndarray:
    return Rotation.from_matrix(table.unfiltered_rotations[:, _ELBOW]).as_rotvec()[:, 1]


def test_an_outlier_does_not_affect_its_neighbors(body: SmplxBody) -> None:
    bend = np.full(30, 0.3)
    bend[15] = 2.3
    smooth = _bends(_smooth(_table(np.full(30, 3.0), bend), body))
    assert np.abs(smooth - 0.3).max() < 0.15


def test_nothing_is_carried_over_an_absence(body: SmplxBody) -> None:
    time_s = np.concatenate([np.arange(20), np.arange(20) + 60]) * _STEP_S
    bend = np.repeat([0.2, 1.2], 20)
    smooth = _smooth(_table(np.repeat([3.0, 5.0], 20), bend), body, time_s)
    assert np.abs(_bends(smooth) - bend).max() < 1e-3
    assert np.abs(smooth.joints_world[:20, 15, 2] - 3.0).max() < 0.01


def test_identities_do_not_touch_each_other(body: SmplxBody) -> None:
    alone = _smooth(_table(np.linspace(3, 4, 20), np.linspace(0, 1, 20)), body)
    order = np.arange(40).reshape(2, 20).T.ravel()
    depth = np.concatenate([np.linspace(3, 4, 20), np.full(20, 6.0)])[order]
    bend = np.concatenate([np.linspace(0, 1, 20), np.full(20, 0.5)])[order]
    both = _smooth(_table(depth, bend, np.tile([0, 1], 20)), body, np.repeat(np.arange(20) * _STEP_S, 2))
    assert np.allclose(both.joints_world[::2], alone.joints_world, atol=1e-5)


def test_a_shaking_camera_does_not_shake_people(body: SmplxBody) -> None:
    count = 30
    turns = Rotation.from_rotvec(np.outer(0.02 * np.sin(2.1 * np.arange(count)), [0, 1, 0])).as_matrix()
    cameras = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    cameras[:, :3, :3] = turns
    table = _table(np.full(count, 3.0), np.full(count, 0.4))
    table.unfiltered_rotations[:, 0] = np.swapaxes(turns, 1, 2) @ table.unfiltered_rotations[:, 0]
    still = np.array([0.3, -0.6, 3.0])
    table = replace(table, unfiltered_head=np.einsum("nba,b->na", turns, still).astype(np.float32))
    smooth = _smooth(table, body, cameras=cameras)
    assert np.abs(smooth.joints_world[:, 15] - still).max() < 1e-3


def test_two_observations_stay_where_they_were_seen(body: SmplxBody) -> None:
    smooth = _smooth(_table(np.array([3.0, 4.0]), np.array([0.1, 0.9])), body)
    assert np.allclose(_bends(smooth), [0.1, 0.9], atol=1e-5)
    assert np.allclose(smooth.joints_world[:, 15, 2], [3.0, 4.0], atol=1e-4)


def test_zero_people_are_handled(body: SmplxBody) -> None:
    assert len(_smooth(_table(np.zeros(0), np.zeros(0)), body).unfiltered_head) == 0


def test_windows_of_no_width_change_nothing(body: SmplxBody) -> None:
    table = _table(np.array([3.0, 3.5, 3.1, 3.3]), np.array([0.1, 0.9, 0.3, 0.7]))
    off = OfflineSmoothingOptions(rotation_s=0, bearing_s=0, distance_s=0)
    cameras = np.tile(np.eye(4, dtype=np.float32), (4, 1, 1))
    smooth = smooth_tracks(table, np.arange(4) * _STEP_S, cameras, table.unfiltered_betas, body, off)
    assert np.allclose(_bends(smooth), [0.1, 0.9, 0.3, 0.7], atol=1e-5)
    assert np.allclose(smooth.joints_world[:, 15, 2], [3.0, 3.5, 3.1, 3.3], atol=1e-4)


def test_local_lines_equal_least_squares_fits() -> None:
    rng = np.random.default_rng(1)
    time_s, values = np.sort(rng.uniform(0, 1, 25)), rng.normal(size=(25, 1, 1))
    weight = rng.uniform(0.2, 1, (25, 1))
    window = np.exp(-0.5 * ((time_s - time_s[7]) / 0.1) ** 2) * (np.abs(time_s - time_s[7]) <= 0.3) * weight[:, 0]
    slope, start = np.polyfit(time_s - time_s[7], values[:, 0, 0], 1, w=np.sqrt(window + 1e-30))
    assert local_lines(values, time_s, 0.1, weight)[7, 0, 0] == pytest.approx(start, abs=1e-6)
    assert np.isfinite(slope)


def test_distances_follow_the_shape_that_people_get(body: SmplxBody) -> None:
    table = _table(np.full(10, 3.0), np.full(10, 0.4))
    taller = np.zeros((10, 10), np.float32)
    taller[:, 0] = 2.0
    cameras = np.tile(np.eye(4, dtype=np.float32), (10, 1, 1))
    smooth = smooth_tracks(table, np.arange(10) * _STEP_S, cameras, taller, body)
    rest = body.rest_joints(torch.from_numpy(taller[:1]), torch.zeros(1, 10))[0]
    small = body.rest_joints(torch.zeros(1, 10), torch.zeros(1, 10))[0]
    grown = float((rest[15] - rest[0]).norm() / (small[15] - small[0]).norm())
    assert smooth.joints_world[:, 15, 2] == pytest.approx(np.full(10, 3.0 * grown), rel=0.03)


def test_bodies_posed_in_parts_are_the_same(body: SmplxBody, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _table(np.linspace(3, 4, 20), np.linspace(0, 1, 20))
    whole = _smooth(table, body)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 7)
    parts = _smooth(table, body)
    assert all(np.allclose(values, getattr(whole, name), atol=1e-5) for name, values in vars(parts).items())


def test_the_distance_of_close_people_is_smoothed_only_as_far_as_the_image_allows(body: SmplxBody) -> None:
    depth = 1.5 + 0.15 * np.sin(2 * np.pi * np.arange(60) * _STEP_S)
    smooth = _smooth(_table(depth, np.zeros(60)), body).joints_world[:, 15, 2]
    far = _smooth(_table(10 * depth, np.zeros(60)), body).joints_world[:, 15, 2]
    assert np.abs(smooth / depth - 1)[10:-10].max() < 0.05
    assert np.abs(far / (10 * depth) - 1)[10:-10].max() > 0.06
