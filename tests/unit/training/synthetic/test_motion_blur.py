"""What moves while the shutter is open is smeared along its way, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the training-only dependency numba")

from human3r.training.synthetic.cameras import CameraPath
from human3r.training.synthetic.motion_blur import EXPOSURES_S, blurred_radiance, draw_exposure, surface_flow
from human3r.training.synthetic.rendering.renderer import RenderedFrame

SIZE = (20, 30)
K = np.array([[40.0, 0, 14.5], [0, 40.0, 9.5], [0, 0, 1]])
NOBODY = np.zeros((2, 0, 55, 3))
TIME_S = np.array([0.0, 0.1])


def picture(rng: np.random.Generator, depth_m: float = 4.0) -> RenderedFrame:
    radiance = rng.uniform(0, 1, (*SIZE, 3)).astype(np.float32)
    return RenderedFrame(radiance, np.full(SIZE, depth_m, np.float32), np.zeros(SIZE, np.uint8))


def path(shift_m: float) -> CameraPath:
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, 0, 3] = shift_m
    return CameraPath("dolly", SIZE, K, poses)


def test_a_still_camera_and_a_single_frame_stay_sharp():
    frames = [picture(np.random.default_rng(0)), picture(np.random.default_rng(1))]

    still = blurred_radiance(frames, path(0.0), NOBODY, TIME_S, 0.05)
    single = blurred_radiance(frames[:1], path(0.0), NOBODY[:1], TIME_S[:1], 0.05)

    np.testing.assert_array_equal(still, [frame.radiance for frame in frames])
    np.testing.assert_array_equal(single[0], frames[0].radiance)


def test_a_camera_that_slides_smears_rows_and_keeps_the_light():
    frame = picture(np.random.default_rng(0))
    # Half of the interval at 1 m in 4 m distance: 5 pixels.
    blurred = blurred_radiance([frame, frame], path(1.0), NOBODY, TIME_S, 0.05)[0]

    inner = slice(6, -6)
    expected = np.mean([np.roll(frame.radiance, shift, axis=1) for shift in (-2, -1, 0, 1, 2)], axis=0)
    assert abs(blurred.mean() - frame.radiance.mean()) < 0.01
    assert blurred[:, inner].std() < 0.6 * frame.radiance[:, inner].std()
    np.testing.assert_allclose(blurred[:, inner], expected[:, inner], atol=0.25)


def test_flow_equals_the_projected_motion_of_camera_and_people():
    frame = picture(np.random.default_rng(0))
    frame.person_index[8:12, 12:18] = 1
    joints = np.array([[[0.0, 0.0, 4.0]] * 55])
    drift = np.tile([0.0, 0.2, 0.0], (1, 55, 1))
    moved = np.eye(4)
    moved[0, 3] = 0.1

    flow = surface_flow(frame, K, np.eye(4), moved, joints, drift)

    np.testing.assert_allclose(flow[0, 0], [-1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(flow[10, 15], [-1.0, 2.0], atol=1e-6)


def test_a_moving_person_is_spread_over_the_wall_behind():
    rng = np.random.default_rng(0)
    frame = picture(rng)
    frame.radiance[:] = 0
    frame.person_index[8:12, 12:15] = 1
    frame.radiance[8:12, 12:15] = 1
    joints = np.tile([0.0, 0.0, 4.0], (2, 1, 55, 1))
    joints[1, ..., 0] += 0.8

    blurred = blurred_radiance([frame, frame], path(0.0), joints, TIME_S, 0.05)[0]

    assert 0.1 < blurred[10, 10, 0] < 0.9
    assert 0.1 < blurred[10, 16, 0] < 0.9
    assert blurred[2].max() == 0


def test_exposures_lie_between_bright_sun_and_a_dim_room():
    rng = np.random.default_rng(0)

    drawn = np.array([draw_exposure(rng) for _ in range(200)])

    assert EXPOSURES_S[0] <= drawn.min() < 0.01
    assert 0.03 < drawn.max() <= EXPOSURES_S[1]
