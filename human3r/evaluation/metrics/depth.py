"""Depth errors of a sequence: pooled valid pixels, one alignment.

Decoding, resampling and averaging over sequences belong to the benchmarks. All arithmetic is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

DepthAlignment = Literal["metric", "scale", "scale_shift", "scale_shift_adam", "median"]


def as_float64(values: ArrayLike | torch.Tensor) -> np.ndarray:
    """Return arrays, nested lists or tensors of any type and device as a float64 array; the argument is not changed."""
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    return np.asarray(values, np.float64)


@dataclass(frozen=True)
class DepthErrors:
    """Depth errors over the pooled valid pixels of a sequence."""

    abs_rel: float
    """mean |d - g| / g"""
    sq_rel: float
    """mean (d - g)^2 / g, meters"""
    rmse: float
    """meters"""
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
    """shift that was applied after the scale, meters"""
    num_pixels: int
    """valid pixels"""


def depth_metrics(
    predicted: ArrayLike,
    truth: ArrayLike,
    alignment: DepthAlignment = "metric",
    max_depth_m: float | None = 70.0,
    clip_prediction: bool = False,
) -> DepthErrors:
    """Video-depth errors with one alignment for the whole sequence; NaN where no pixel is valid.

    Args:
        predicted: ``T H W`` camera z, meters; any other shape that ``truth`` has too.
        truth: ``T H W`` meters; 0 marks invalid pixels.
        alignment: ``metric`` none; ``scale`` L1-optimal scale by IRLS; ``scale_shift`` exact least absolute deviations;
            ``scale_shift_adam`` the public protocol's Adam, which stops early; ``median`` ratio of medians.
        max_depth_m: True depths at or beyond this are invalid; None keeps all.
        clip_prediction: Clip aligned predictions to ``max_depth_m`` (Sintel).

    Source: MonST3R (arXiv 2410.03825) and CUT3R (arXiv 2501.12387), video depth protocol.
    """
    predicted, truth = as_float64(predicted), as_float64(truth)
    if predicted.shape != truth.shape:
        raise ValueError(f"expected two arrays of one shape, got {predicted.shape} and {truth.shape}")
    valid = (truth > 0) & (truth < (math.inf if max_depth_m is None else max_depth_m))
    g, d = truth[valid], predicted[valid]
    if not len(g):
        return DepthErrors(*(math.nan,) * 9, num_pixels=0)
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
    """Fit (scale, shift) of valid depths; both arguments are ``N`` meters. See ``depth_metrics`` for the kinds."""
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
    """Return the lower median, as the public protocol's tensor library does."""
    middle = (len(values) - 1) // 2
    return float(np.partition(values, middle)[middle])


_MAX_WIDENINGS = 12
"""Decades by which the search for a scale is widened; a constant prediction has no optimal scale."""


def _scale_shift_exact(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Least absolute deviations: the shift is a median for any scale, and the cost is convex in the scale."""
    from scipy.optimize import minimize_scalar

    def cost(scale: float) -> float:
        residual = truth - scale * predicted
        return float(np.abs(residual - np.median(residual)).sum())

    center = _lower_median(truth) / max(abs(_lower_median(predicted)), 1e-9)
    width = 10.0 * max(abs(center), 1e-3)
    best = 0.0
    for _ in range(_MAX_WIDENINGS):
        found: Any = minimize_scalar(cost, bounds=(-width, width), method="bounded", options={"xatol": 1e-10})
        best = float(found.x)
        if abs(best) < 0.99 * width:
            break
        width *= 10.0
    return best, float(np.median(truth - best * predicted))


def _scale_shift_adam(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The public protocol: at most 1000 Adam steps at rate 1e-4 from the ratio of medians.

    It ends when the summed error changes by less than 1e-6, before convergence.
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
