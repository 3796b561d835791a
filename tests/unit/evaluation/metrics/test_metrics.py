"""Published check values of the metrics, to the printed digits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.evaluation import metrics


def _rotation_y(angle: float) -> np.ndarray:
    return Rotation.from_euler("y", angle).as_matrix()


@pytest.fixture(scope="module")
def bodies() -> dict[str, np.ndarray]:
    t = np.arange(250.0)[:, None]
    j, v = np.arange(24.0)[None], np.arange(6890.0)[None]
    root = np.stack([0.012 * t + 0.05 * np.sin(0.2 * t), 0.1 * np.sin(0.05 * t), 3 + 0.002 * t], -1)

    def stack(*parts: np.ndarray) -> np.ndarray:
        return np.stack(np.broadcast_arrays(*parts), -1)

    def transform(x: np.ndarray) -> np.ndarray:
        drift = np.stack([0.0005 * t, 0 * t, 0 * t], -1)
        return 1.1 * x @ _rotation_y(0.2).T + np.array([0.5, -0.2, 0.3]) + drift

    true_joints = root + stack(0.3 * np.sin(j), 0.8 * np.cos(1.7 * j), 0.2 * np.sin(2.3 * j))
    true_joints = true_joints + 0.05 * stack(np.sin(0.1 * t + j), np.cos(0.13 * t + 2 * j), np.sin(0.07 * t + 3 * j))
    true_vertices = root + stack(0.3 * np.sin(0.37 * v), 0.8 * np.cos(0.011 * v), 0.2 * np.sin(0.23 * v))
    noise_joints = 0.02 * stack(np.sin(0.9 * t + j), np.cos(1.1 * t + 1.3 * j), np.sin(0.7 * t + 0.4 * j))
    noise_vertices = 0.01 * stack(np.sin(0.9 * t + 0.1 * v), np.cos(1.1 * t + 0.2 * v), np.sin(0.7 * t + 0.3 * v))
    return {
        "true_joints": true_joints,
        "true_vertices": true_vertices,
        "joints": transform(true_joints) + noise_joints,
        "vertices": transform(true_vertices) + noise_vertices,
    }


def test_local_errors_equal_the_check_values(bodies: dict[str, np.ndarray]) -> None:
    joints, truth = bodies["joints"], bodies["true_joints"]
    vertices, true_vertices = bodies["vertices"], bodies["true_vertices"]
    assert metrics.mpjpe(joints, truth) == pytest.approx(107.766127, abs=1e-6)
    assert metrics.pa_mpjpe(joints, truth) == pytest.approx(21.012676, abs=1e-6)
    assert metrics.mpjpe(joints, truth, pelvis_joints=None) == pytest.approx(1438.579058, abs=1e-6)
    assert metrics.mrpe(joints, truth) == pytest.approx(1448.022870, abs=1e-6)
    assert metrics.pve(vertices, true_vertices, joints, truth) == pytest.approx(106.320215, abs=1e-6)
    assert metrics.pve(vertices, true_vertices) == pytest.approx(1437.162016, abs=1e-6)
    assert metrics.pa_mpjpe(vertices, true_vertices) == pytest.approx(10.850848, abs=1e-6)


def test_world_errors_equal_the_check_values(bodies: dict[str, np.ndarray]) -> None:
    joints, truth = bodies["joints"], bodies["true_joints"]
    assert metrics.w_mpjpe(joints, truth) == pytest.approx(30.395545, abs=1e-6)
    assert metrics.wa_mpjpe(joints, truth) == pytest.approx(23.366448, abs=1e-6)
    assert metrics.rte(joints[:, 0], truth[:, 0]) == pytest.approx(3.208761, abs=1e-6)
    assert metrics.rte(joints[:, 0], truth[:, 0], with_scale=True) == pytest.approx(0.613514, abs=1e-6)
    assert metrics.jitter(joints) == pytest.approx(49.540415, abs=1e-6)
    assert metrics.foot_sliding(bodies["vertices"], bodies["true_vertices"]) == pytest.approx(12.347243, abs=1e-6)


DEPTH_ROWS = {
    "metric": (0.148817, 0.055706, 0.368075, 0.177670, 0.731411),
    "scale": (0.066162, 0.010158, 0.132421, 0.081981, 0.981032),
    "scale_shift_adam": (0.066127, 0.010131, 0.132364, 0.081884, 0.982170),
    "median": (0.066272, 0.010189, 0.132269, 0.082114, 0.980273),
}


@pytest.fixture(scope="module")
def depths() -> tuple[np.ndarray, np.ndarray]:
    f, y, x = np.meshgrid(np.arange(4.0), np.arange(24.0), np.arange(32.0), indexing="ij")
    h = 2 + 1.5 * np.sin(0.3 * x) * np.cos(0.2 * y) + 0.1 * f
    return 0.8 * h + 0.15 * np.sin(1.7 * x + 0.9 * y + f) + 0.1, np.where((x + y) % 7 == 0, 0.0, h)


@pytest.mark.parametrize("alignment", DEPTH_ROWS)
def test_depth_errors_equal_the_check_values(depths: tuple[np.ndarray, np.ndarray], alignment: str) -> None:
    errors = metrics.depth_metrics(*depths, alignment=alignment)
    found = (errors.abs_rel, errors.sq_rel, errors.rmse, errors.log_rmse, errors.delta_1)
    assert found == pytest.approx(DEPTH_ROWS[alignment], abs=1e-6)
    assert errors.num_pixels == 2636


def test_exact_scale_and_shift_equals_the_linear_programs(depths: tuple[np.ndarray, np.ndarray]) -> None:
    errors = metrics.depth_metrics(*depths, alignment="scale_shift")
    assert (errors.scale, errors.shift) == pytest.approx((1.1803184, -0.0034266), abs=1e-6)
    assert errors.abs_rel == pytest.approx(0.066111, abs=1e-6)


def test_trajectory_errors_equal_the_check_values() -> None:
    i = np.arange(60.0)
    truth = np.tile(np.eye(4), (60, 1, 1))
    truth[:, :3, :3] = (
        Rotation.from_euler("z", 0.03 * i[:, None]) * Rotation.from_euler("x", 0.01 * i[:, None])
    ).as_matrix()
    truth[:, :3, 3] = np.stack([np.cos(0.05 * i), np.sin(0.05 * i), 0.01 * i], -1)
    predicted = truth.copy()
    twist = Rotation.from_euler("z", 0.01 * np.sin(1.3 * i[:, None])).as_matrix()
    predicted[:, :3, :3] = _rotation_y(0.4) @ truth[:, :3, :3] @ twist
    wobble = 0.01 * np.stack([np.sin(2.1 * i), np.cos(1.7 * i), np.sin(0.9 * i)], -1)
    predicted[:, :3, 3] = 0.5 * (truth[:, :3, 3] + wobble) @ _rotation_y(0.4).T + np.array([1, 2, 3])
    assert metrics.ate(predicted, truth) == pytest.approx(0.012232066, abs=1e-9)
    assert metrics.rpe(predicted, truth) == pytest.approx((0.017382580, 0.491485640), abs=1e-8)
