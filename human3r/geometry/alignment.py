"""Closed-form alignment of point sets, NumPy and float64: metrics are compared to the last printed digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Similarity:
    """``y = scale * R x + t`` for a batch of problems."""

    scale: np.ndarray
    """``*batch``, no unit"""
    R: np.ndarray
    """``*batch 3 3``"""
    t: np.ndarray
    """``*batch 3``, unit of the target"""

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Map ``*batch N 3`` points."""
        return self.scale[..., None, None] * points @ np.swapaxes(self.R, -1, -2) + self.t[..., None, :]


def fit_similarity(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> Similarity:
    """Fit the least-squares similarity from ``source`` to ``target``; never a reflection.

    Coinciding source points get scale 0.

    Args:
        source: ``*batch N 3`` points.
        target: ``*batch N 3`` matching points.
        with_scale: False fits a rigid motion (scale 1).

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (PAMI 1991).
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean = source.mean(-2, keepdims=True)
    target_mean = target.mean(-2, keepdims=True)
    x, y = source - source_mean, target - target_mean
    U, singular, Vt = np.linalg.svd(np.swapaxes(y, -1, -2) @ x)
    signs = np.ones_like(singular)
    signs[..., -1] = np.sign(np.linalg.det(U @ Vt))
    R = (U * signs[..., None, :]) @ Vt
    variance = np.square(x).sum((-2, -1))
    scale = (singular * signs).sum(-1) / np.maximum(variance, 1e-300) if with_scale else np.ones(source.shape[:-2])
    t = target_mean[..., 0, :] - scale[..., None] * np.einsum("...ij,...j->...i", R, source_mean[..., 0, :])
    return Similarity(np.asarray(scale), R, t)
