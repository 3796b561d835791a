"""Consistency: figures of results whose faults are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from human3r.errors import InputError
from human3r.evaluation.consistency.__main__ import main
from human3r.evaluation.consistency.fit import PriorKeypoints, measure_fit
from human3r.evaluation.consistency.measures import measure
from human3r.evaluation.consistency.run import find_inputs
from human3r.refinement.world.shots import project_joints
from human3r.results.reconstruction import Reconstruction

_FPS = 10.0
_K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
_BODY = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)


def _body_joints() -> np.ndarray:
    """55 joints of somebody who stands, y-up, soles at 0, every bone of some length."""
    joints = np.zeros((55, 3))
    heights = {0: 0.95, 3: 1.05, 6: 1.2, 9: 1.3, 12: 1.45, 15: 1.55}
    heights |= {
        joint + side: height for joint, height in ((1, 0.9), (4, 0.5), (7, 0.09), (10, 0.02)) for side in (0, 1)
    }
    heights |= {
        joint + side: height for joint, height in ((13, 1.4), (16, 1.4), (18, 1.15), (20, 0.9)) for side in (0, 1)
    }
    for joint, height in heights.items():
        joints[joint, 1] = height
    for joint in (1, 4, 7, 10, 13, 16, 18, 20):
        joints[joint, 0], joints[joint + 1, 0] = 0.15, -0.15
    return joints


def _result(paths: list[np.ndarray], frames: list[list[int]] | None = None) -> Reconstruction:
    """Identities that go along paths ``T 3`` (x, height, z), seen in all frames or in ``frames``."""
    num_frames = max(len(path) for path in paths)
    rows = [
        (frame, identity, path[frame])
        for identity, path in enumerate(paths)
        for frame in (frames[identity] if frames else range(len(path)))
    ]
    rows.sort(key=lambda row: row[:2])
    person_frame = np.array([row[0] for row in rows])
    gravity = np.diag([1.0, -1.0, -1.0, 1.0])
    gravity[1, 3] = 1.5
    upright = np.stack([_body_joints() + np.array([row[2][0], row[2][1], -row[2][2]]) for row in rows])
    joints = (upright - gravity[:3, 3]) @ gravity[:3, :3]
    count = len(rows)
    T = np.tile(np.eye(4), (num_frames, 1, 1))
    K = np.tile(_K, (num_frames, 1, 1))
    zeros = {name: np.zeros((count, 3)) for name in ("global_orient", "transl", "jaw_pose", "leye_pose", "reye_pose")}
    zeros |= {name: np.zeros((count, 15, 3)) for name in ("left_hand_pose", "right_hand_pose")}
    return Reconstruction(
        fps=_FPS,
        frame_index=np.arange(num_frames),
        time_s=np.arange(num_frames) / _FPS,
        image_size=np.array([480, 640]),
        K=K,
        T_world_camera=T,
        T_gravity_world=gravity,
        person_frame=person_frame,
        person_track=np.array([row[1] for row in rows]),
        person_score=np.ones(count),
        body_pose=np.zeros((count, 21, 3)),
        betas=np.zeros((count, 10)),
        expression=np.zeros((count, 10)),
        joints_world=joints,
        joints_image_px=project_joints(joints, K[person_frame], T[person_frame]),
        track_id=np.arange(len(paths)),
        track_betas=np.zeros((len(paths), 10)),
        points_world=np.zeros((0, 3)),
        points_color=np.zeros((0, 3)),
        points_confidence=np.zeros(0),
        points_frame=np.zeros(0),
        meta={},
        **zeros,
    )


def _path(num_frames: int, start: tuple[float, float, float], step: tuple[float, float, float]) -> np.ndarray:
    return np.array(start, dtype=float) + np.arange(num_frames)[:, None] * np.array(step)


def _prior(result: Reconstruction) -> PriorKeypoints:
    keypoints = np.zeros((len(result.person_frame), 17, 2))
    keypoints[:, 5:] = result.joints_image_px[:, _BODY]
    return PriorKeypoints(result.person_frame, keypoints, np.ones((len(keypoints), 17)))


def test_consistent_people_on_one_floor_have_no_errors() -> None:
    figures = measure(_result([_path(12, (-1, 0, 4), (0.05, 0, 0)), _path(12, (1, 0, 6), (0, 0, 0.05))]))

    assert (figures.frames, figures.identities, figures.restarts, figures.jumps) == (12, 2, 0, 0)
    assert figures.acceleration == pytest.approx(0, abs=1e-3)
    assert figures.floor_spread_m == pytest.approx(0, abs=1e-4)
    assert figures.off_floor_percent == 0
    assert figures.slip_m_s == pytest.approx(0.5, abs=1e-3)
    assert figures.camera_shift_mm == 0


def test_acceleration_is_in_meters_per_second_squared() -> None:
    path = _path(20, (0, 0, 5), (0, 0, 0))
    path[:, 0] = 0.5 * 3.0 * (np.arange(20) / _FPS) ** 2

    figures = measure(_result([path]))

    assert figures.acceleration == pytest.approx(3.0, rel=1e-3)
    assert figures.acceleration_pelvis_aligned == pytest.approx(0, abs=1e-3)


def test_a_floating_person_is_off_the_floor() -> None:
    figures = measure(_result([_path(10, (-1, 0, 4), (0, 0, 0)), _path(10, (1, 0.2, 6), (0, 0, 0))]))

    assert figures.off_floor_percent == pytest.approx(50)
    assert figures.floor_spread_m == pytest.approx(0.1, abs=1e-3)


def test_an_identity_that_continues_another_inside_the_image_is_a_restart() -> None:
    path = _path(20, (0, 0, 5), (0, 0, 0))

    figures = measure(_result([path, path], [list(range(9)), list(range(12, 20))]))

    assert figures.restarts == 1


def test_an_identity_that_moves_across_the_image_has_jumped() -> None:
    path = _path(10, (-1, 0, 5), (0, 0, 0))
    path[5:, 0] = 1.5

    assert measure(_result([path])).jumps == 1


def test_zero_people_are_handled() -> None:
    figures = measure(_without_people())

    assert figures.identities == 0
    assert math.isnan(figures.acceleration)


def _without_people() -> Reconstruction:
    result = _result([_path(4, (0, 0, 5), (0, 0, 0))])
    named = ("global_orient", "transl", "body_pose", "betas", "expression", "joints_world", "joints_image_px")
    named += ("left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose")
    named += ("person_frame", "person_track", "person_score", "track_id", "track_betas")
    return replace(result, **{name: getattr(result, name)[:0] for name in named})


def test_bodies_on_their_keypoints_fit_perfectly() -> None:
    result = _result([_path(5, (-1, 0, 4), (0, 0, 0)), _path(5, (1, 0, 6), (0, 0, 0))])

    fit = measure_fit(result, _prior(result))

    assert (fit.found_percent, fit.within_fifth_percent, fit.swapped_percent) == (100, 100, 0)
    assert fit.error == pytest.approx(0, abs=1e-6)


def test_exchanged_sides_are_counted() -> None:
    result = _result([_path(5, (0, 0, 4), (0, 0, 0))])
    prior = _prior(result)
    exchanged = prior.keypoints_px[:, (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)]

    fit = measure_fit(result, replace(prior, keypoints_px=exchanged))

    assert fit.swapped_percent == 100


def test_a_person_without_a_body_is_not_found() -> None:
    result = _result([_path(5, (-1, 0, 4), (0, 0, 0)), _path(5, (1, 0, 6), (0, 0, 0))])
    alone = _result([_path(5, (-1, 0, 4), (0, 0, 0))])

    assert measure_fit(alone, _prior(result)).found_percent == 50


def test_saved_results_are_measured_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _result([_path(6, (0, 0, 5), (0.02, 0, 0))]).save(tmp_path / "walk.npz")

    assert main([str(tmp_path), "--json"]) == 0

    row = json.loads(capsys.readouterr().out)
    assert (row["clip"], row["frames"], row["identities"]) == ("walk", 6, 1)


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        find_inputs([tmp_path])
