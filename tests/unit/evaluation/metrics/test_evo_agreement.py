"""ATE and RPE against evo, the field's own tool. evo is under the GPL: it is only ever imported here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.evaluation import metrics

evo_metrics = pytest.importorskip("evo.core.metrics", reason="evo is not installed: pip install evo")
evo_trajectory = pytest.importorskip("evo.core.trajectory")
TOLERANCE = 1e-9


def random_cameras(seed: int, count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth path, and the same in another frame and scale with noise: two of ``T 4 4``."""
    rng = np.random.default_rng(seed)
    truth = np.tile(np.eye(4), (count, 1, 1))
    turns = np.cumsum(rng.normal(0, 0.05, (count, 3)), 0)
    truth[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix()
    truth[:, :3, 3] = np.cumsum(rng.normal(0, 0.1, (count, 3)), 0)
    predicted = truth.copy()
    turn = Rotation.random(random_state=seed).as_matrix()
    jolt = Rotation.from_rotvec(rng.normal(0, noise, (count, 3))).as_matrix()
    predicted[:, :3, :3] = turn @ truth[:, :3, :3] @ jolt
    moved = truth[:, :3, 3] + rng.normal(0, noise, (count, 3))
    predicted[:, :3, 3] = 0.37 * moved @ turn.T + rng.normal(0, 3, 3)
    return predicted, truth


def by_evo(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    paths = [evo_trajectory.PosePath3D(poses_se3=list(poses)) for poses in (truth, predicted)]
    paths[1].align(paths[0], correct_scale=True)
    pair = (paths[0], paths[1])
    absolute = evo_metrics.APE(evo_metrics.PoseRelation.translation_part)
    absolute.process_data(pair)
    results = [absolute.get_statistic(evo_metrics.StatisticsType.rmse)]
    for relation in (evo_metrics.PoseRelation.translation_part, evo_metrics.PoseRelation.rotation_angle_deg):
        relative = evo_metrics.RPE(relation, delta=1, delta_unit=evo_metrics.Unit.frames, all_pairs=True)
        relative.process_data(pair)
        results.append(relative.get_statistic(evo_metrics.StatisticsType.rmse))
    return results[0], results[1], results[2]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("count", "noise"), [(3, 0.1), (60, 0.01), (200, 0.2)])
def test_trajectory_errors_equal_evo_s(seed: int, count: int, noise: float) -> None:
    predicted, truth = random_cameras(seed, count, noise)
    ours = (metrics.ate(predicted, truth), *metrics.rpe(predicted, truth))
    assert ours == pytest.approx(by_evo(predicted, truth), abs=TOLERANCE, rel=0)
