"""Error metrics of the field as pure functions of arrays.

Every function takes metres and world or camera coordinates as its docstring says and returns plain floats. Matching of
people, file formats and aggregation over sequences belong to the benchmarks, not here. All arithmetic is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from human3r.evaluation.alignment import Similarity, fit_similarity

HIPS = (1, 2)
"""SMPL joints whose mean is the pelvis of the local metrics (not joint 0). Source: Human3R evaluation protocol."""
FOOT_VERTICES = (3216, 3387, 6617, 6787)
"""SMPL toe and heel vertices. Source: WHAM (arXiv 2312.07531), foot sliding."""
CONTACT_DISPLACEMENT_M = 0.01
"""A foot vertex is in contact where its true displacement between frames is below this. Source: WHAM."""
MM_PER_M = 1000.0

DepthAlignment = Literal["metric", "scale", "scale_shift", "scale_shift_adam", "median"]


def _mean_distance_mm(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(predicted - truth, axis=-1).mean() * MM_PER_M)


def _pelvis(joints: np.ndarray, pelvis_joints: tuple[int, ...]) -> np.ndarray:
    return joints[..., list(pelvis_joints), :].mean(-2, keepdims=True)


def mpjpe(predicted_joints: np.ndarray, true_joints: np.ndarray, pelvis_joints: tuple[int, ...] | None = HIPS) -> float:
    """Mean per-joint position error after moving both pelvises to the origin, millimetres.

    Args:
        predicted_joints: ``*batch J 3`` metres.
        true_joints: ``*batch J 3`` metres, same frame.
        pelvis_joints: Joints whose mean is the pelvis; None leaves the poses where they are ("metric MPJPE").

    Source: Ionescu et al., Human3.6M (PAMI 2014); pelvis from the hips as in Human3R (arXiv 2510.06219).
    """
    predicted, truth = np.asarray(predicted_joints, np.float64), np.asarray(true_joints, np.float64)
    if pelvis_joints is not None:
        predicted, truth = predicted - _pelvis(predicted, pelvis_joints), truth - _pelvis(truth, pelvis_joints)
    return _mean_distance_mm(predicted, truth)


def pa_mpjpe(predicted_joints: np.ndarray, true_joints: np.ndarray) -> float:
    """Mean per-point error after a similarity fit per person and frame, millimetres.

    Works for joints and for vertices (PA-PVE).

    Args:
        predicted_joints: ``*batch J 3`` metres.
        true_joints: ``*batch J 3`` metres.

    Source: Kanazawa et al., HMR (CVPR 2018), "reconstruction error".
    """
    predicted, truth = np.asarray(predicted_joints, np.float64), np.asarray(true_joints, np.float64)
    return _mean_distance_mm(fit_similarity(predicted, truth).apply(predicted), truth)


def pve(
    predicted_vertices: np.ndarray,
    true_vertices: np.ndarray,
    predicted_joints: np.ndarray | None = None,
    true_joints: np.ndarray | None = None,
    pelvis_joints: tuple[int, ...] = HIPS,
) -> float:
    """Mean per-vertex error, millimetres; pelvis-aligned when joints are given, else unaligned ("metric PVE").

    Args:
        predicted_vertices: ``*batch V 3`` metres.
        true_vertices: ``*batch V 3`` metres.
        predicted_joints: ``*batch J 3`` metres, the source of the predicted pelvis.
        true_joints: ``*batch J 3`` metres, the source of the true pelvis.
        pelvis_joints: Joints whose mean is the pelvis.

    Source: Patel et al., AGORA (CVPR 2021).
    """
    predicted, truth = np.asarray(predicted_vertices, np.float64), np.asarray(true_vertices, np.float64)
    if predicted_joints is not None and true_joints is not None:
        predicted = predicted - _pelvis(np.asarray(predicted_joints, np.float64), pelvis_joints)
        truth = truth - _pelvis(np.asarray(true_joints, np.float64), pelvis_joints)
    return _mean_distance_mm(predicted, truth)


def mrpe(predicted_joints: np.ndarray, true_joints: np.ndarray, pelvis_joints: tuple[int, ...] = HIPS) -> float:
    """Mean distance of the pelvises, millimetres.

    Args:
        predicted_joints: ``*batch J 3`` metres.
        true_joints: ``*batch J 3`` metres.
        pelvis_joints: Joints whose mean is the pelvis.

    Source: Moon et al., "Camera distance-aware top-down approach" (ICCV 2019).
    """
    predicted, truth = np.asarray(predicted_joints, np.float64), np.asarray(true_joints, np.float64)
    return _mean_distance_mm(_pelvis(predicted, pelvis_joints), _pelvis(truth, pelvis_joints))


def _chunked(predicted: np.ndarray, truth: np.ndarray, chunk_frames: int, fit_frames: int | None) -> float:
    distances = []
    for start in range(0, len(truth), chunk_frames):
        chunk, target = predicted[start : start + chunk_frames], truth[start : start + chunk_frames]
        fit = fit_similarity(chunk[:fit_frames].reshape(-1, 3), target[:fit_frames].reshape(-1, 3))
        aligned = fit.apply(chunk.reshape(-1, 3)).reshape(chunk.shape)
        distances.append(np.linalg.norm(aligned - target, axis=-1).mean(-1))
    return float(np.concatenate(distances).mean() * MM_PER_M)


def w_mpjpe(predicted_joints: np.ndarray, true_joints: np.ndarray, chunk_frames: int = 100) -> float:
    """World MPJPE: each chunk aligned by a similarity fitted on its first two frames, millimetres.

    Args:
        predicted_joints: ``T J 3`` metres, predicted world.
        true_joints: ``T J 3`` metres, true world.
        chunk_frames: Frames per chunk; the last may be shorter.

    Source: Shin et al., WHAM (arXiv 2312.07531), W-MPJPE.
    """
    return _chunked(np.asarray(predicted_joints, np.float64), np.asarray(true_joints, np.float64), chunk_frames, 2)


def wa_mpjpe(predicted_joints: np.ndarray, true_joints: np.ndarray, chunk_frames: int = 100) -> float:
    """World-aligned MPJPE: each chunk aligned by a similarity fitted on all of it, millimetres.

    Args:
        predicted_joints: ``T J 3`` metres, predicted world.
        true_joints: ``T J 3`` metres, true world.
        chunk_frames: Frames per chunk; the last may be shorter.

    Source: Shin et al., WHAM (arXiv 2312.07531), WA-MPJPE.
    """
    return _chunked(np.asarray(predicted_joints, np.float64), np.asarray(true_joints, np.float64), chunk_frames, None)


def rte(predicted_roots: np.ndarray, true_roots: np.ndarray, with_scale: bool = False) -> float:
    """Root translation error over a whole sequence, per cent of the true path length.

    Args:
        predicted_roots: ``T 3`` metres, joint 0 in the predicted world.
        true_roots: ``T 3`` metres.
        with_scale: Also fit a scale ("scaled RTE").

    Source: Shin et al., WHAM (arXiv 2312.07531), RTE; joint 0 as in GVHMR.
    """
    predicted, truth = np.asarray(predicted_roots, np.float64), np.asarray(true_roots, np.float64)
    path_length = np.linalg.norm(np.diff(truth, axis=0), axis=-1).sum()
    aligned = fit_similarity(predicted, truth, with_scale).apply(predicted)
    return float(np.linalg.norm(aligned - truth, axis=-1).mean() / path_length * 100.0)


def jitter(joints: np.ndarray, fps: float = 30.0) -> float:
    """Mean size of the third derivative of the joints, 10 m/s^3; prediction only, unaligned.

    Args:
        joints: ``T J 3`` metres, world.
        fps: Frames per second.

    Source: Shin et al., WHAM (arXiv 2312.07531), jitter.
    """
    return float(np.linalg.norm(np.diff(np.asarray(joints, np.float64), n=3, axis=0), axis=-1).mean() * fps**3 / 10.0)


def foot_sliding(
    predicted_vertices: np.ndarray, true_vertices: np.ndarray, foot_vertices: tuple[int, ...] = FOOT_VERTICES
) -> float:
    """Mean displacement between frames of predicted foot vertices while the true ones are in contact, millimetres.

    Args:
        predicted_vertices: ``T V 3`` metres, world, unaligned.
        true_vertices: ``T V 3`` metres, world.
        foot_vertices: Vertices that can touch the floor.

    Source: Shin et al., WHAM (arXiv 2312.07531), foot sliding.
    """
    feet = list(foot_vertices)
    moved = np.linalg.norm(np.diff(np.asarray(predicted_vertices, np.float64)[:, feet], axis=0), axis=-1)
    truly_moved = np.linalg.norm(np.diff(np.asarray(true_vertices, np.float64)[:, feet], axis=0), axis=-1)
    contact = truly_moved < CONTACT_DISPLACEMENT_M
    return float(moved[contact].mean() * MM_PER_M) if contact.any() else float("nan")


@dataclass(frozen=True)
class DepthErrors:
    """Depth errors over the pooled valid pixels of a sequence."""

    abs_rel: float
    """mean |d - g| / g"""
    sq_rel: float
    """mean (d - g)^2 / g, metres"""
    rmse: float
    """metres"""
    log_rmse: float
    """no unit"""
    delta_1: float
    """share with max(d/g, g/d) < 1.25"""
    delta_2: float
    """share below 1.25^2"""
    delta_3: float
    """share below 1.25^3"""
    scale: float
    """scale that was applied to the prediction"""
    shift: float
    """shift that was applied after the scale, metres"""
    num_pixels: int
    """valid pixels"""


def depth_metrics(
    predicted: np.ndarray,
    truth: np.ndarray,
    alignment: DepthAlignment = "metric",
    max_depth_m: float | None = 70.0,
    clip_prediction: bool = False,
) -> DepthErrors:
    """Video-depth errors with one alignment for the whole sequence.

    Args:
        predicted: ``T H W`` camera z, metres.
        truth: ``T H W`` metres; 0 marks invalid pixels.
        alignment: ``metric`` none; ``scale`` L1-optimal scale by IRLS; ``scale_shift`` exact least absolute deviations;
            ``scale_shift_adam`` the public protocol's Adam, which stops early; ``median`` ratio of medians.
        max_depth_m: True depths at or beyond this are invalid; None keeps all.
        clip_prediction: Clip aligned predictions to ``max_depth_m`` (Sintel).

    Source: MonST3R (arXiv 2410.03825) and CUT3R (arXiv 2501.12387), video depth protocol.
    """
    truth = np.asarray(truth, np.float64)
    valid = truth > 0 if max_depth_m is None else (truth > 0) & (truth < max_depth_m)
    g, d = truth[valid], np.asarray(predicted, np.float64)[valid]
    scale, shift = align_depth(d, g, alignment)
    d = scale * d + shift
    if clip_prediction and max_depth_m is not None:
        d = np.minimum(d, max_depth_m)
    ratio = np.maximum(np.maximum(d, 1e-5) / g, g / np.maximum(d, 1e-5))
    log_error = np.log(np.maximum(d, 1e-5)) - np.log(g)
    return DepthErrors(
        abs_rel=float((np.abs(d - g) / g).mean()),
        sq_rel=float((np.square(d - g) / g).mean()),
        rmse=float(np.sqrt(np.square(d - g).mean())),
        log_rmse=float(np.sqrt(np.square(log_error).mean())),
        delta_1=float((ratio < 1.25).mean()),
        delta_2=float((ratio < 1.25**2).mean()),
        delta_3=float((ratio < 1.25**3).mean()),
        scale=scale,
        shift=shift,
        num_pixels=int(valid.sum()),
    )


def align_depth(predicted: np.ndarray, truth: np.ndarray, alignment: DepthAlignment) -> tuple[float, float]:
    """Fit (scale, shift) of valid depths; both arguments are ``N`` metres. See ``depth_metrics`` for the kinds."""
    if alignment == "metric":
        return 1.0, 0.0
    if alignment == "median":
        return _lower_median(truth) / _lower_median(predicted), 0.0
    if alignment == "scale":
        scale = truth.mean() / predicted.mean()
        for _ in range(10):
            weight = 1.0 / (np.abs(scale * predicted - truth) + 1e-8)
            scale = (weight * predicted * truth).sum() / (weight * predicted * predicted).sum()
        return float(max(scale, 1e-3)), 0.0
    if alignment == "scale_shift_adam":
        return _scale_shift_adam(predicted, truth)
    return _scale_shift_exact(predicted, truth)


def _lower_median(values: np.ndarray) -> float:
    """The lower of the two middle values, as the public protocol's tensor library takes it."""
    middle = (len(values) - 1) // 2
    return float(np.partition(values, middle)[middle])


def _scale_shift_exact(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Least absolute deviations: the shift is a median for any scale, and the cost is convex in the scale."""
    from scipy.optimize import minimize_scalar

    def cost(scale: float) -> float:
        residual = truth - scale * predicted
        return float(np.abs(residual - np.median(residual)).sum())

    start = float(np.median(truth) / np.median(predicted))
    best = minimize_scalar(cost, bounds=(0.1 * start, 10.0 * start), method="bounded", options={"xatol": 1e-9}).x
    return float(best), float(np.median(truth - best * predicted))


def _scale_shift_adam(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The public protocol: at most 1000 Adam steps at rate 1e-4 from the ratio of medians.

    It ends as soon as the summed error changes by less than 1e-6, which is before it has converged.
    """
    rate, beta_1, beta_2, epsilon = 1e-4, 0.9, 0.999, 1e-8
    parameters = np.array([_lower_median(truth) / _lower_median(predicted), 0.0])
    first, second, previous_error = np.zeros(2), np.zeros(2), np.inf
    for step in range(1, 1001):
        residual = parameters[0] * predicted + parameters[1] - truth
        error = np.abs(residual).sum()
        if abs(previous_error - error) < 1e-6:
            break
        previous_error, sign = error, np.sign(residual)
        gradient = np.array([(sign * predicted).sum(), sign.sum()])
        first = beta_1 * first + (1 - beta_1) * gradient
        second = beta_2 * second + (1 - beta_2) * gradient**2
        parameters -= rate * (first / (1 - beta_1**step)) / (np.sqrt(second / (1 - beta_2**step)) + epsilon)
    return float(parameters[0]), float(parameters[1])


def ate(predicted_poses: np.ndarray, true_poses: np.ndarray) -> float:
    """Absolute trajectory error: RMSE of camera centres after a similarity alignment, metres.

    Args:
        predicted_poses: ``T 4 4`` camera to world.
        true_poses: ``T 4 4`` camera to world.

    Source: Sturm et al., TUM RGB-D benchmark (IROS 2012); equal to ``evo_ape`` with ``--align --correct_scale``.
    """
    fit = _fit_trajectory(predicted_poses, true_poses)
    aligned = fit.apply(np.asarray(predicted_poses, np.float64)[:, :3, 3])
    return float(np.sqrt(np.square(aligned - np.asarray(true_poses, np.float64)[:, :3, 3]).sum(-1).mean()))


def rpe(predicted_poses: np.ndarray, true_poses: np.ndarray) -> tuple[float, float]:
    """Relative pose error over consecutive frames after a similarity alignment: (metres, degrees), both RMSE.

    Args:
        predicted_poses: ``T 4 4`` camera to world.
        true_poses: ``T 4 4`` camera to world.

    Source: Sturm et al., TUM RGB-D benchmark (IROS 2012); equal to ``evo_rpe`` with delta 1 frame, all pairs.
    """
    fit = _fit_trajectory(predicted_poses, true_poses)
    predicted = np.array(predicted_poses, np.float64)
    predicted[:, :3, 3] = fit.apply(predicted[:, :3, 3])
    predicted[:, :3, :3] = fit.R @ predicted[:, :3, :3]
    truth = np.asarray(true_poses, np.float64)
    error = np.linalg.inv(np.linalg.inv(truth[:-1]) @ truth[1:]) @ (np.linalg.inv(predicted[:-1]) @ predicted[1:])
    translation = np.linalg.norm(error[:, :3, 3], axis=-1)
    skew = np.stack(
        [error[:, 2, 1] - error[:, 1, 2], error[:, 0, 2] - error[:, 2, 0], error[:, 1, 0] - error[:, 0, 1]], -1
    )
    # atan2 of sine and cosine stays exact near zero, where arccos of the trace loses half of its digits.
    angle = np.arctan2(np.linalg.norm(skew, axis=-1) / 2, (np.trace(error[:, :3, :3], axis1=1, axis2=2) - 1) / 2)
    return float(np.sqrt(np.square(translation).mean())), float(np.degrees(np.sqrt(np.square(angle).mean())))


def _fit_trajectory(predicted_poses: np.ndarray, true_poses: np.ndarray) -> Similarity:
    return fit_similarity(
        np.asarray(predicted_poses, np.float64)[:, :3, 3], np.asarray(true_poses, np.float64)[:, :3, 3]
    )
