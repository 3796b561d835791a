"""Points come back from their pictures in several cameras, and a perfect result has no error."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.errors import FormatError
from human3r.evaluation.calibrated_views import (
    CalibratedCamera,
    read_calibration,
    score_view,
    tallest_person,
    triangulate,
)
from human3r.evaluation.consistency.fit import PriorKeypoints
from human3r.geometry.rigid import inverse_transform_points

_CAMERA = """<camera serial="a">
 <transform x="1000" y="2000" z="3000" r11="1" r12="0" r13="0" r21="0" r22="1" r23="0" r31="0" r32="0" r33="1"/>
 <intrinsic focalLengthU="64000" focalLengthV="64000" centerPointU="32032" centerPointV="16032"
  radialDistortion1="-0.05" radialDistortion2="0.1"/></camera>"""


def cameras() -> list[CalibratedCamera]:
    """Return three cameras around the origin that look at it."""
    found = []
    for angle in (0.0, 1.0, 2.5):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = turn, turn @ [0, 0, -4.0]
        found.append(CalibratedCamera(np.array([[900.0, 0, 500], [0, 900, 400], [0, 0, 1]]), np.array([-0.05, 0.1]), T))
    return found


def picture(camera: CalibratedCamera, points: np.ndarray) -> np.ndarray:
    """Project with distortion; every score is .9."""
    local = inverse_transform_points(camera.T_world_camera, points)
    rays = local[..., :2] / local[..., 2:]
    squared = (rays**2).sum(-1, keepdims=True)
    rays = rays * (1 + camera.distortion[0] * squared + camera.distortion[1] * squared**2)
    pixels = rays * camera.K[[0, 1], [0, 1]] + camera.K[:2, 2]
    return np.concatenate([pixels, np.full((*pixels.shape[:-1], 1), 0.9)], axis=-1)


def test_points_come_back_from_three_cameras_and_not_from_two() -> None:
    points = np.random.default_rng(0).normal(0, 0.5, (4, 17, 3))
    seen = np.stack([picture(camera, points) for camera in cameras()])
    seen[0, 2, 5, 2] = 0.1

    found = triangulate(cameras(), seen)

    expected = points.copy()
    expected[2, 5] = np.nan
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_perfect_result_has_no_error(walk) -> None:
    camera = CalibratedCamera(walk.K[0].astype(float), np.zeros(2), np.eye(4))
    truth = np.full((len(walk.frame_index), 17, 3), np.nan)
    rows = walk.person_track == walk.track_id[0]
    joints = walk.joints_world[rows][:, (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)]
    T = walk.T_world_camera[walk.person_frame[rows]]
    truth[walk.person_frame[rows]] = 0
    truth[walk.person_frame[rows], 5:] = (joints - T[:, None, :3, 3]) @ T[:, :3, :3]

    score = score_view(walk, camera, truth)

    assert score.mpjpe_mm == pytest.approx(0, abs=1e-2)
    assert score.pa_mpjpe_mm == pytest.approx(0, abs=1e-2)
    assert score.root_m == pytest.approx(0, abs=1e-5)
    assert score.log_focal == pytest.approx(0, abs=1e-6)


def test_the_tallest_person_of_every_frame_is_followed() -> None:
    small, tall = np.random.default_rng(1).random((2, 17, 2))
    prior = PriorKeypoints(np.array([0, 0, 2]), np.stack([small, 100 * tall, small]), np.full((3, 17), 0.8))

    chosen = tallest_person(prior, 3)

    np.testing.assert_allclose(chosen[0, :, :2], 100 * tall)
    assert not chosen[1].any()
    np.testing.assert_allclose(chosen[2, :, :2], small)


def test_a_calibration_is_read_in_our_conventions(tmp_path) -> None:
    path = tmp_path / "Calib.qca.txt"
    path.write_text(f"<calibration><cameras>{_CAMERA}</cameras></calibration>")

    (camera,) = read_calibration(path)

    np.testing.assert_allclose(camera.K, [[1000, 0, 500], [0, 1000, 250], [0, 0, 1]])
    np.testing.assert_allclose(camera.T_world_camera[:3, 3], [1, 2, 3])
    np.testing.assert_allclose(camera.T_world_camera[:3, :3], np.diag([1, -1, -1]))


@pytest.mark.parametrize("text", ["no XML", "<calibration><camera/></calibration>"])
def test_an_invalid_calibration_is_refused(tmp_path, text) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)

    with pytest.raises(FormatError, match="Qualisys"):
        read_calibration(path)
