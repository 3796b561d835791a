"""BVH and AMASS have one clock: every row must show what was seen at its time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_scene import walking_reconstruction

from human3r.bodies import SmplxBody
from human3r.exporting.amass import amass_fields
from human3r.exporting.bvh import write_bvh
from human3r.exporting.constant_rate import constant_rate
from human3r.results.reconstruction import Reconstruction

VARIABLE_S = np.concatenate([np.arange(30) / 30, 1.0 + np.arange(10) / 10])
NTSC_S = np.arange(90) * 1001 / 30000


@pytest.mark.parametrize(
    ("time_s", "rate"),
    [
        (VARIABLE_S, 30),
        (VARIABLE_S[-1] - VARIABLE_S[::-1], 30),
        (NTSC_S, 30),
        (np.arange(90) / 9.976, 10),
        (np.arange(90) * 1001 / 24000, 24),
        (np.round(np.arange(90) / 30, 3), 30),
        (np.round(np.arange(300) / 120, 3), 120),
        (np.arange(90) / 120.02, 120),
        (np.arange(20) / 1.4, 2),
        (np.ceil(np.arange(40) * 2.4) / 24, 24),
        (np.delete(np.arange(90), [3, 7, 8, 20, 33, 34, 35, 50, 60, 70, 80]) / 24, 24),
        (np.arange(4) * 5.0, 1),
        (np.zeros(1), 12),
    ],
)
def test_the_rate_is_whole_and_keeps_every_frame(time_s: np.ndarray, rate: int) -> None:
    assert constant_rate(time_s, 12.0, np.arange(len(time_s))).rate == rate


@pytest.mark.parametrize("time_s", [VARIABLE_S, NTSC_S, 60.0 + NTSC_S])
def test_rows_show_the_value_of_their_time(time_s: np.ndarray) -> None:
    """A walk of 1 m/s turning by 1 rad/s, seen from frame 5 on with a gap of a second."""
    seen = np.concatenate([np.arange(5, 8), np.arange(36, len(time_s))])
    seen_s = time_s[seen] - time_s[0]
    clock = constant_rate(time_s, 30.0, seen)
    np.testing.assert_allclose(clock.rows_s, np.arange(len(clock.rows_s)) / 30)
    assert 0 <= clock.rows_s[-1] - seen_s[-1] + 1e-9 < 1 / 30
    expected = np.clip(clock.rows_s, seen_s[0], seen_s[-1])
    np.testing.assert_allclose(clock.linear(seen_s), expected, atol=1e-9)
    turns = clock.rotation_vectors(np.outer(seen_s, [0.0, 0.6, 0.8])[:, None])
    np.testing.assert_allclose(turns[:, 0] @ [0.0, 0.6, 0.8], expected, atol=1e-9)
    assert clock.observed.sum() >= len(seen) - 1
    assert not clock.observed[:5].any()


def test_frames_chosen_from_a_faster_clip_keep_their_values() -> None:
    time_s = np.ceil(np.arange(40) * 2.4) / 24
    values = np.random.default_rng(0).normal(size=(40, 3))
    clock = constant_rate(time_s, 10.0, np.arange(40))
    np.testing.assert_allclose(clock.linear(values)[np.rint(time_s * clock.rate).astype(int)], values, atol=1e-6)


def test_rotations_take_the_short_way_past_half_a_turn() -> None:
    clock = constant_rate(np.array([0.0, 0.1, 0.17, 0.3]), 10.0, np.array([0, 3]))
    halves = clock.rotation_vectors(np.array([[[0.0, 3.1, 0.0]], [[0.0, -3.1, 0.0]]]))[:, 0]
    angles = Rotation.from_rotvec(halves).magnitude()
    assert angles.min() > 3.09


def test_variable_rate_reaches_both_files(tmp_path: Path, small_body: SmplxBody) -> None:
    clip = replace(walking_reconstruction(small_body, num_frames=40, num_people=1), time_s=VARIABLE_S, fps=39 / 1.9)
    track = clip.tracks[0]
    fields = amass_fields(clip, track, small_body)
    assert float(fields["mocap_frame_rate"]) == 30.0
    row = round(1.41 * 30)
    before, after = fields["trans"][[42, 45]]
    np.testing.assert_allclose(fields["time_s"][[row, 42, 45]], [1.4, 1.4, 1.5])
    np.testing.assert_allclose(fields["trans"][43], before + (after - before) / 3, atol=1e-6)
    assert fields["frame_index"][[29, 42, 45]].tolist() == [29, 34, 35]
    lines = write_bvh(clip, tmp_path, small_body)[0].read_text().split("MOTION\n")[1].splitlines()
    assert lines[:2] == ["Frames: 58", "Frame Time: 0.03333333"]
    T, source = clip.T_gravity_world, np.array([34, 35])
    pelvis = (clip.joints_world[source, 0] @ T[:3, :3].T + T[:3, 3]) * 100
    root = np.array(lines[2 + 43].split()[:3], dtype=float)
    np.testing.assert_allclose(root, pelvis[0] + (pelvis[1] - pelvis[0]) / 3, atol=0.01)


def test_frames_at_a_whole_rate_are_copied(walk: Reconstruction, small_body: SmplxBody) -> None:
    """Person 2 is not seen in frames 3 to 5: the last pose is held."""
    held = np.array([0, 1, 2, 2, 2, 2, 3, 4, 5, 6, 7, 8])
    rows = walk.tracks[1].observations[held]
    fields = amass_fields(walk, walk.tracks[1], small_body)
    np.testing.assert_array_equal(fields["pose_body"], walk.body_pose[rows].reshape(12, -1))
    np.testing.assert_array_equal(fields["expression"], walk.expression[rows])
    np.testing.assert_array_equal(fields["time_s"], walk.time_s)


def test_rows_before_the_only_sighting_hold_its_pose(walk: Reconstruction, small_body: SmplxBody) -> None:
    track = walk.tracks[0]
    for clip in (walk, replace(walk, time_s=walk.time_s**1.5)):
        once = replace(track, frames=track.frames[4:5], observations=track.observations[4:5])
        fields = amass_fields(clip, once, small_body)
        assert np.ptp(fields["poses"], axis=0).max() == 0
        assert fields["observed"].sum() == 1
        np.testing.assert_array_equal(fields["pose_body"][0], walk.body_pose[track.observations[4]].ravel())
