"""The public metric functions with other inputs: types, shapes, lengths, nothing at all; and against plain loops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.spatial.transform import Rotation

from human3r.evaluation import metrics

RNG = np.random.default_rng(7)
TRUE_JOINTS = np.cumsum(RNG.normal(0, 0.01, (37, 24, 3)), 0) + RNG.normal(0, 0.4, (24, 3))
JOINTS = (
    0.9 * TRUE_JOINTS @ Rotation.from_rotvec((0.1, 0.5, -0.2)).as_matrix().T + 0.3 + RNG.normal(0, 0.02, (37, 24, 3))
)
TRUE_VERTICES = np.cumsum(RNG.normal(0, 0.004, (37, 6890, 3)), 0)
VERTICES = TRUE_VERTICES + RNG.normal(0, 0.01, (37, 6890, 3))
TWO_ARRAYS = {
    "mpjpe": (JOINTS, TRUE_JOINTS),
    "pa_mpjpe": (JOINTS, TRUE_JOINTS),
    "pve": (VERTICES, TRUE_VERTICES),
    "w_mpjpe": (JOINTS, TRUE_JOINTS),
    "wa_mpjpe": (JOINTS, TRUE_JOINTS),
    "rte": (JOINTS[:, 0], TRUE_JOINTS[:, 0]),
    "foot_sliding": (VERTICES, TRUE_VERTICES),
    "ate": (JOINTS[:, 0], TRUE_JOINTS[:, 0]),
}


def best_similarity(
    source: np.ndarray, target: np.ndarray, with_scale: bool = True
) -> tuple[float, np.ndarray, np.ndarray]:
    """Umeyama's fit by the formulas of his paper, for ``N 3`` points."""
    mean, target_mean = source.mean(0), target.mean(0)
    covariance = sum(np.outer(y - target_mean, x - mean) for x, y in zip(source, target, strict=True)) / len(source)
    U, D, Vt = np.linalg.svd(covariance)
    S = np.diag([1.0, 1.0, 1.0 if np.linalg.det(U) * np.linalg.det(Vt) > 0 else -1.0])
    R = U @ S @ Vt
    variance = np.mean(np.sum((source - mean) ** 2, 1))
    scale = float(np.trace(np.diag(D) @ S) / variance) if with_scale else 1.0
    return scale, R, target_mean - scale * R @ mean


def distance_mm(x: np.ndarray, y: np.ndarray) -> float:
    return 1000 * math.dist(x, y)


def test_local_errors_are_the_formulas_point_by_point() -> None:
    aligned, fitted, unaligned, roots = [], [], [], []
    for joints, truth in zip(JOINTS, TRUE_JOINTS, strict=True):
        pelvis, true_pelvis = (joints[1] + joints[2]) / 2, (truth[1] + truth[2]) / 2
        scale, R, t = best_similarity(joints, truth)
        aligned += [distance_mm(j - pelvis, g - true_pelvis) for j, g in zip(joints, truth, strict=True)]
        fitted += [distance_mm(scale * R @ j + t, g) for j, g in zip(joints, truth, strict=True)]
        unaligned += [distance_mm(j, g) for j, g in zip(joints, truth, strict=True)]
        roots.append(distance_mm(pelvis, true_pelvis))
    assert metrics.mpjpe(JOINTS, TRUE_JOINTS) == pytest.approx(np.mean(aligned), rel=1e-12)
    assert metrics.pa_mpjpe(JOINTS, TRUE_JOINTS) == pytest.approx(np.mean(fitted), rel=1e-10)
    assert metrics.mpjpe(JOINTS, TRUE_JOINTS, None) == pytest.approx(np.mean(unaligned), rel=1e-12)
    assert metrics.mrpe(JOINTS, TRUE_JOINTS) == pytest.approx(np.mean(roots), rel=1e-12)


@pytest.mark.parametrize("chunk_frames", [100, 10, 36, 1])
def test_world_errors_are_the_formulas_chunk_by_chunk(chunk_frames: int) -> None:
    first_two, whole = [], []
    for start in range(0, 37, chunk_frames):
        chunk, truth = JOINTS[start : start + chunk_frames], TRUE_JOINTS[start : start + chunk_frames]
        for errors, count in ((first_two, 2), (whole, len(chunk))):
            scale, R, t = best_similarity(chunk[:count].reshape(-1, 3), truth[:count].reshape(-1, 3))
            errors += [
                distance_mm(scale * R @ j + t, g)
                for j, g in zip(chunk.reshape(-1, 3), truth.reshape(-1, 3), strict=True)
            ]
    assert metrics.w_mpjpe(JOINTS, TRUE_JOINTS, chunk_frames) == pytest.approx(np.mean(first_two), rel=1e-9)
    assert metrics.wa_mpjpe(JOINTS, TRUE_JOINTS, chunk_frames) == pytest.approx(np.mean(whole), rel=1e-9)


@pytest.mark.parametrize("with_scale", [False, True])
def test_root_errors_are_the_formula_frame_by_frame(with_scale: bool) -> None:
    roots, truth = JOINTS[:, 0], TRUE_JOINTS[:, 0]
    scale, R, t = best_similarity(roots, truth, with_scale)
    path = sum(math.dist(a, b) for a, b in pairwise(truth))
    errors = [math.dist(scale * R @ x + t, y) / path * 100 for x, y in zip(roots, truth, strict=True)]
    assert metrics.rte(roots, truth, with_scale) == pytest.approx(np.mean(errors), rel=1e-10)
    assert metrics.rte(JOINTS, TRUE_JOINTS, with_scale) == metrics.rte(roots, truth, with_scale)


def test_jitter_and_foot_sliding_are_the_formulas() -> None:
    jerks = [
        np.linalg.norm(JOINTS[t + 3, j] - 3 * JOINTS[t + 2, j] + 3 * JOINTS[t + 1, j] - JOINTS[t, j]) * 30**3 / 10
        for t in range(34)
        for j in range(24)
    ]
    assert metrics.jitter(JOINTS) == pytest.approx(np.mean(jerks), rel=1e-12)
    assert metrics.jitter(JOINTS, fps=15.0) == pytest.approx(np.mean(jerks) / 8, rel=1e-12)
    slides = [
        1000 * math.dist(VERTICES[t + 1, v], VERTICES[t, v])
        for t in range(36)
        for v in (3216, 3387, 6617, 6787)
        if math.dist(TRUE_VERTICES[t + 1, v], TRUE_VERTICES[t, v]) < 0.01
    ]
    assert 0 < len(slides) < 36 * 4
    assert metrics.foot_sliding(VERTICES, TRUE_VERTICES) == pytest.approx(np.mean(slides), rel=1e-12)
    feet = [3216, 3387, 6617, 6787]
    assert metrics.foot_sliding(VERTICES[:, feet], TRUE_VERTICES[:, feet]) == metrics.foot_sliding(
        VERTICES, TRUE_VERTICES
    )


@pytest.mark.parametrize("name", TWO_ARRAYS)
def test_lists_tensors_and_single_precision_give_the_same(name: str) -> None:
    function, (predicted, truth) = getattr(metrics, name), TWO_ARRAYS[name]
    predicted, truth = predicted[:12, ..., :], truth[:12, ..., :]
    expected = function(predicted, truth)
    tensors = torch.from_numpy(predicted).requires_grad_(), torch.from_numpy(truth)
    assert function(*tensors) == expected
    assert function(predicted.astype(np.float32), truth.astype(np.float32)) == pytest.approx(expected, rel=1e-3)
    if predicted.ndim == 2:
        assert function(predicted.tolist(), truth.tolist()) == expected


def test_any_number_of_batch_axes_gives_the_mean_over_all() -> None:
    for function in (metrics.mpjpe, metrics.pa_mpjpe, metrics.mrpe):
        whole = function(JOINTS[:36], TRUE_JOINTS[:36])
        assert function(JOINTS[:36].reshape(4, 9, 24, 3), TRUE_JOINTS[:36].reshape(4, 9, 24, 3)) == pytest.approx(whole)
        singles = [function(joints, truth) for joints, truth in zip(JOINTS[:36], TRUE_JOINTS[:36], strict=True)]
        assert np.mean(singles) == pytest.approx(whole)


def test_arguments_are_not_changed() -> None:
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, :3, 3] = JOINTS[:9, 0]
    before = poses.copy()
    metrics.rpe(poses, poses[::-1])
    metrics.ate(poses, poses[::-1])
    np.testing.assert_array_equal(poses, before)


@pytest.mark.parametrize("name", TWO_ARRAYS)
def test_nothing_to_measure_is_nan_and_unequal_shapes_are_errors(name: str) -> None:
    function, (predicted, truth) = getattr(metrics, name), TWO_ARRAYS[name]
    assert math.isnan(function(predicted[:0], truth[:0]))
    with pytest.raises(ValueError, match="shape"):
        function(predicted[:3], truth[:4])


def test_degenerate_motion_is_nan_or_zero() -> None:
    still = np.tile(JOINTS[:1], (5, 1, 1))
    assert math.isnan(metrics.rte(JOINTS[:5, 0], still[:, 0]))
    assert math.isnan(metrics.jitter(JOINTS[:3]))
    assert metrics.jitter(still) == 0
    assert metrics.pa_mpjpe(np.zeros((4, 3)), TRUE_JOINTS[0, :4]) == pytest.approx(
        1000 * np.linalg.norm(TRUE_JOINTS[0, :4] - TRUE_JOINTS[0, :4].mean(0), axis=-1).mean()
    )
    assert math.isnan(metrics.foot_sliding(VERTICES[:2], VERTICES[:2] + np.array([0.0, 1.0])[:, None, None]))
    assert all(math.isnan(value) for value in metrics.rpe(np.eye(4)[None], np.eye(4)[None]))


def test_a_mirrored_body_is_not_aligned_away() -> None:
    mirrored = TRUE_JOINTS * (-1, 1, 1)
    assert metrics.pa_mpjpe(mirrored, TRUE_JOINTS) > 50
    assert metrics.pa_mpjpe(JOINTS * 3 + 5, JOINTS) < 1e-9


DEPTH = RNG.uniform(0.5, 9.0, (3, 8, 9))
TRUTH = np.where(RNG.random((3, 8, 9)) < 0.2, 0.0, 1.3 * DEPTH + 0.7 + RNG.normal(0, 0.3, (3, 8, 9)))


def test_depth_errors_are_the_formulas_pixel_by_pixel() -> None:
    errors = metrics.depth_metrics(DEPTH, TRUTH)
    pairs = [(d, g) for d, g in zip(DEPTH.ravel(), TRUTH.ravel(), strict=True) if 0 < g < 70]
    assert errors.num_pixels == len(pairs)
    assert errors.abs_rel == pytest.approx(np.mean([abs(d - g) / g for d, g in pairs]), rel=1e-12)
    assert errors.sq_rel == pytest.approx(np.mean([(d - g) ** 2 / g for d, g in pairs]), rel=1e-12)
    assert errors.rmse == pytest.approx(math.sqrt(np.mean([(d - g) ** 2 for d, g in pairs])), rel=1e-12)
    assert errors.log_rmse == pytest.approx(math.sqrt(np.mean([math.log(d / g) ** 2 for d, g in pairs])), rel=1e-12)
    for power, value in enumerate((errors.delta_1, errors.delta_2, errors.delta_3), start=1):
        assert value == pytest.approx(np.mean([max(d / g, g / d) < 1.25**power for d, g in pairs]), rel=1e-12)


def test_tensors_and_flat_arrays_of_depth_give_the_same() -> None:
    expected = metrics.depth_metrics(DEPTH, TRUTH, "scale")
    assert metrics.depth_metrics(torch.from_numpy(DEPTH), torch.from_numpy(TRUTH), "scale") == expected
    assert metrics.depth_metrics(DEPTH.ravel(), TRUTH.ravel(), "scale") == expected


def test_limits_of_depth_leave_pixels_out_and_clip_predictions() -> None:
    near = metrics.depth_metrics(DEPTH, TRUTH, max_depth_m=5.0)
    assert near.num_pixels == int(((TRUTH > 0) & (TRUTH < 5)).sum())
    assert metrics.depth_metrics(DEPTH, TRUTH, max_depth_m=None).num_pixels == int((TRUTH > 0).sum())
    clipped = metrics.depth_metrics(10 * DEPTH, TRUTH, max_depth_m=5.0, clip_prediction=True)
    pairs = [(min(d, 5), g) for d, g in zip(10 * DEPTH.ravel(), TRUTH.ravel(), strict=True) if 0 < g < 5]
    assert clipped.abs_rel == pytest.approx(np.mean([abs(d - g) / g for d, g in pairs]), rel=1e-12)


def least_absolute(depth: np.ndarray, truth: np.ndarray) -> float:
    """The smallest sum of absolute residuals, by linear programming."""
    count = len(depth)
    line = np.stack([depth, np.ones(count)], 1)
    limits = np.block([[line, -np.eye(count)], [-line, -np.eye(count)]])
    cost = np.concatenate([[0, 0], np.ones(count)])
    bounds = [(None, None)] * 2 + [(0, None)] * count
    return float(linprog(cost, limits, np.concatenate([truth, -truth]), bounds=bounds).fun)


@pytest.mark.parametrize("offset", [0.0, -4.0, 60.0], ids=["near", "negative", "far off"])
def test_scale_and_shift_reach_the_least_absolute_error(offset: float) -> None:
    errors = metrics.depth_metrics(DEPTH + offset, TRUTH, "scale_shift")
    valid = TRUTH > 0
    found = np.abs(errors.scale * (DEPTH + offset)[valid] + errors.shift - TRUTH[valid]).sum()
    assert found == pytest.approx(least_absolute((DEPTH + offset)[valid], TRUTH[valid]), rel=1e-6)


def test_a_constant_prediction_is_scored_and_no_truth_is_nan() -> None:
    flat = metrics.depth_metrics(np.full_like(DEPTH, 2.0), TRUTH, "scale_shift")
    assert flat.scale * 2 + flat.shift == pytest.approx(np.median(TRUTH[TRUTH > 0]))
    empty = metrics.depth_metrics(DEPTH, np.zeros_like(DEPTH), "scale")
    assert empty.num_pixels == 0
    assert math.isnan(empty.abs_rel)
    with pytest.raises(ValueError, match="one shape"):
        metrics.depth_metrics(DEPTH, TRUTH[:2])
