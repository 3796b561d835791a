"""Errors of joints, surfaces, paths and motion."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from human3r.evaluation.metrics.depth import as_float64
from human3r.geometry.alignment import fit_similarity

HIPS = (1, 2)
"""SMPL joints whose mean is the pelvis of the local metrics (not joint 0). Source: Human3R evaluation protocol."""
FOOT_VERTICES = (3216, 3387, 6617, 6787)
"""SMPL toe and heel vertices. Source: WHAM (arXiv 2312.07531), foot sliding."""
CONTACT_DISPLACEMENT_M = 0.01
"""A foot vertex is in contact where its true displacement between frames is below this. Source: WHAM."""
MM_PER_M = 1000.0


Points = ArrayLike
"""Arrays, nested lists or tensors of any numeric type; a tensor may be on any device and require gradients."""


def _points(predicted: Points, truth: Points, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64; unexpected shapes raise ``ValueError``."""
    first, second = as_float64(predicted), as_float64(truth)
    num_axes = len(layout.replace("*batch ", "").split())
    if first.shape != second.shape or first.ndim < num_axes or first.shape[-1] != 3:
        raise ValueError(f"expected two arrays of one shape {layout}, got {first.shape} and {second.shape}")
    if "*batch" not in layout and first.ndim != num_axes:
        raise ValueError(f"expected arrays of shape {layout}, got {first.shape}")
    return first, second


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def _mean_distance_mm(predicted: np.ndarray, truth: np.ndarray) -> float:
    return _mean(np.linalg.norm(predicted - truth, axis=-1)) * MM_PER_M


def _pelvis(joints: np.ndarray, pelvis_joints: tuple[int, ...]) -> np.ndarray:
    return joints[..., list(pelvis_joints), :].mean(-2, keepdims=True)


def mpjpe(predicted_joints: Points, true_joints: Points, pelvis_joints: tuple[int, ...] | None = HIPS) -> float:
    """Mean per-joint position error after moving both pelvises to the origin, millimeters.

    Args:
        predicted_joints: ``*batch J 3`` meters.
        true_joints: ``*batch J 3`` meters, same frame.
        pelvis_joints: Joints whose mean is the pelvis; None does not align ("metric MPJPE").

    Source: Ionescu et al., Human3.6M (PAMI 2014); pelvis from the hips as in Human3R (arXiv 2510.06219).
    """
    predicted, truth = _points(predicted_joints, true_joints, "*batch J 3")
    if pelvis_joints is not None:
        predicted, truth = predicted - _pelvis(predicted, pelvis_joints), truth - _pelvis(truth, pelvis_joints)
    return _mean_distance_mm(predicted, truth)


def pa_mpjpe(predicted_joints: Points, true_joints: Points) -> float:
    """Mean per-point error after a similarity fit per person and frame, millimeters.

    Works for joints and for vertices (PA-PVE).

    Args:
        predicted_joints: ``*batch J 3`` meters.
        true_joints: ``*batch J 3`` meters.

    Source: Kanazawa et al., HMR (CVPR 2018), "reconstruction error".
    """
    predicted, truth = _points(predicted_joints, true_joints, "*batch J 3")
    return _mean_distance_mm(fit_similarity(predicted, truth).apply(predicted), truth)


def pve(
    predicted_vertices: Points,
    true_vertices: Points,
    predicted_joints: Points | None = None,
    true_joints: Points | None = None,
    pelvis_joints: tuple[int, ...] = HIPS,
) -> float:
    """Mean per-vertex error, millimeters; pelvis-aligned when joints are given, else unaligned ("metric PVE").

    Args:
        predicted_vertices: ``*batch V 3`` meters.
        true_vertices: ``*batch V 3`` meters.
        predicted_joints: ``*batch J 3`` meters, the source of the predicted pelvis.
        true_joints: ``*batch J 3`` meters, the source of the true pelvis.
        pelvis_joints: Joints whose mean is the pelvis.

    Source: Patel et al., AGORA (CVPR 2021).
    """
    predicted, truth = _points(predicted_vertices, true_vertices, "*batch V 3")
    if (predicted_joints is None) != (true_joints is None):
        raise ValueError("joints must be given for both sides or for none")
    if predicted_joints is not None and true_joints is not None:
        joints, other = _points(predicted_joints, true_joints, "*batch J 3")
        predicted, truth = predicted - _pelvis(joints, pelvis_joints), truth - _pelvis(other, pelvis_joints)
    return _mean_distance_mm(predicted, truth)


def mrpe(predicted_joints: Points, true_joints: Points, pelvis_joints: tuple[int, ...] = HIPS) -> float:
    """Mean distance of the pelvises, millimeters.

    Args:
        predicted_joints: ``*batch J 3`` meters.
        true_joints: ``*batch J 3`` meters.
        pelvis_joints: Joints whose mean is the pelvis.

    Source: Moon et al., "Camera distance-aware top-down approach" (ICCV 2019).
    """
    predicted, truth = _points(predicted_joints, true_joints, "*batch J 3")
    return _mean_distance_mm(_pelvis(predicted, pelvis_joints), _pelvis(truth, pelvis_joints))


def _chunked(predicted_joints: Points, true_joints: Points, chunk_frames: int, fit_frames: int | None) -> float:
    predicted, truth = _points(predicted_joints, true_joints, "T J 3")
    if chunk_frames < 1:
        raise ValueError(f"a chunk has 1 frame or more, got {chunk_frames}")
    if not truth.size:
        return math.nan
    distances = []
    for start in range(0, len(truth), chunk_frames):
        chunk, target = predicted[start : start + chunk_frames], truth[start : start + chunk_frames]
        fit = fit_similarity(chunk[:fit_frames].reshape(-1, 3), target[:fit_frames].reshape(-1, 3))
        aligned = fit.apply(chunk.reshape(-1, 3)).reshape(chunk.shape)
        distances.append(np.linalg.norm(aligned - target, axis=-1).mean(-1))
    return float(np.concatenate(distances).mean() * MM_PER_M)


def w_mpjpe(predicted_joints: Points, true_joints: Points, chunk_frames: int = 100) -> float:
    """World MPJPE: each chunk aligned by a similarity fitted on its first two frames, millimeters.

    Args:
        predicted_joints: ``T J 3`` meters, predicted world.
        true_joints: ``T J 3`` meters, true world.
        chunk_frames: Frames per chunk; the last may be shorter.

    Source: Shin et al., WHAM (arXiv 2312.07531), W-MPJPE.
    """
    return _chunked(predicted_joints, true_joints, chunk_frames, 2)


def wa_mpjpe(predicted_joints: Points, true_joints: Points, chunk_frames: int = 100) -> float:
    """World-aligned MPJPE: each chunk aligned by a similarity fitted on all of it, millimeters.

    Args:
        predicted_joints: ``T J 3`` meters, predicted world.
        true_joints: ``T J 3`` meters, true world.
        chunk_frames: Frames per chunk; the last may be shorter.

    Source: Shin et al., WHAM (arXiv 2312.07531), WA-MPJPE.
    """
    return _chunked(predicted_joints, true_joints, chunk_frames, None)


def rte(predicted_roots: Points, true_roots: Points, with_scale: bool = False) -> float:
    """Root translation error over a whole sequence, percent of the true path length; NaN without motion.

    The predicted path is first aligned rigidly (scale 1) to the true one.

    Args:
        predicted_roots: ``T 3`` meters, joint 0 in the predicted world; of ``T J 3`` joint 0 is taken.
        true_roots: ``T 3`` meters, or ``T J 3``.
        with_scale: Also fit a scale ("scaled RTE").

    Source: Shin et al., WHAM (arXiv 2312.07531), RTE; joint 0 as in GVHMR.
    """
    predicted, truth = _points(predicted_roots, true_roots, "*batch T 3")
    if truth.ndim == 3:
        predicted, truth = predicted[:, 0], truth[:, 0]
    path_length = np.linalg.norm(np.diff(truth, axis=0), axis=-1).sum()
    if not path_length > 0:
        return math.nan
    aligned = fit_similarity(predicted, truth, with_scale).apply(predicted)
    return float(np.linalg.norm(aligned - truth, axis=-1).mean() / path_length * 100.0)


def jitter(joints: Points, fps: float = 30.0) -> float:
    """Mean size of the third derivative of the joints, 10 m/s^3; prediction only, unaligned.

    Args:
        joints: ``T J 3`` meters, world; NaN for fewer than 4 frames.
        fps: Frames per second.

    Source: Shin et al., WHAM (arXiv 2312.07531), jitter.
    """
    return _mean(np.linalg.norm(np.diff(as_float64(joints), n=3, axis=0), axis=-1)) * fps**3 / 10.0


def foot_sliding(
    predicted_vertices: Points, true_vertices: Points, foot_vertices: tuple[int, ...] = FOOT_VERTICES
) -> float:
    """Mean displacement between frames of predicted foot vertices while the true ones are in contact, millimeters.

    A vertex is in contact where it truly moves less than 1 cm between two frames; without any contact it is NaN.

    Args:
        predicted_vertices: ``T V 3`` meters, world, unaligned; or ``T 4 3``, the foot vertices alone.
        true_vertices: ``T V 3`` or ``T 4 3`` meters, world.
        foot_vertices: Vertices that can touch the floor (SMPL's numbers).

    Source: Shin et al., WHAM (arXiv 2312.07531), foot sliding.
    """
    predicted, truth = _points(predicted_vertices, true_vertices, "T V 3")
    if predicted.shape[1] != len(foot_vertices):
        predicted, truth = predicted[:, list(foot_vertices)], truth[:, list(foot_vertices)]
    moved = np.linalg.norm(np.diff(predicted, axis=0), axis=-1)
    truly_moved = np.linalg.norm(np.diff(truth, axis=0), axis=-1)
    return _mean(moved[truly_moved < CONTACT_DISPLACEMENT_M]) * MM_PER_M


def ate(predicted_poses: Points, true_poses: Points) -> float:
    """Absolute trajectory error: RMSE of camera centers after a similarity alignment, meters.

    Args:
        predicted_poses: ``T 4 4`` camera to world, or ``T 3`` camera centers, meters.
        true_poses: ``T 4 4`` camera to world, or ``T 3`` camera centers, meters.

    Source: Sturm et al., TUM RGB-D benchmark (IROS 2012); equal to ``evo_ape`` with ``--align --correct_scale``.
    """
    predicted, truth = _centers(as_float64(predicted_poses)), _centers(as_float64(true_poses))
    predicted, truth = _points(predicted, truth, "T 3")
    if not truth.size:
        return math.nan
    aligned = fit_similarity(predicted, truth).apply(predicted)
    return math.sqrt(_mean(np.square(aligned - truth).sum(-1)))


def rpe(predicted_poses: Points, true_poses: Points) -> tuple[float, float]:
    """Relative pose error over consecutive frames after a similarity alignment: (meters, degrees), both RMSE.

    Args:
        predicted_poses: ``T 4 4`` camera to world, meters.
        true_poses: ``T 4 4`` camera to world, meters.

    Source: Sturm et al., TUM RGB-D benchmark (IROS 2012); equal to ``evo_rpe`` with delta 1 frame, all pairs.
    """
    predicted, truth = as_float64(predicted_poses).copy(), as_float64(true_poses)
    if predicted.shape != truth.shape or predicted.shape[1:] != (4, 4):
        raise ValueError(f"expected two arrays of one shape T 4 4, got {predicted.shape} and {truth.shape}")
    if len(truth) < 2:
        return math.nan, math.nan
    fit = fit_similarity(predicted[:, :3, 3], truth[:, :3, 3])
    predicted[:, :3, 3] = fit.apply(predicted[:, :3, 3])
    predicted[:, :3, :3] = fit.R @ predicted[:, :3, :3]
    error = np.linalg.inv(_steps(truth)) @ _steps(predicted)
    translation = np.linalg.norm(error[:, :3, 3], axis=-1)
    angle = Rotation.from_matrix(error[:, :3, :3]).magnitude()
    return math.sqrt(_mean(np.square(translation))), math.degrees(math.sqrt(_mean(np.square(angle))))


def _centers(poses: np.ndarray) -> np.ndarray:
    return poses[:, :3, 3] if poses.ndim == 3 and poses.shape[1:] == (4, 4) else poses


def _steps(poses: np.ndarray) -> np.ndarray:
    """Return ``T-1 4 4`` motions from each camera to the next."""
    return np.linalg.inv(poses[:-1]) @ poses[1:]
