"""The terms of the paper's loss, as pure functions of tensors, each without its weight.

Axes: B clips of N views, P people over all of them with the view of each, M slots. Source: Human3R (arXiv 2510.06219),
sec. 3.4 and supplement; CUT3R (arXiv 2501.12387), sec. 3.4; Multi-HMR (arXiv 2402.14654), sec. 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from human3r.geometry.camera import project
from human3r.models.paper.letterbox import content_box

MIN_SCALE_M = 1e-3
"""Minimum scene scale, meters, and minimum pixel weight in it."""
LOG_EPS = 1e-7
"""Keeps the logarithm of a probability finite."""
MIN_PROJECTED_DEPTH_M = 0.01
"""Depth to which predicted points are clamped before projection."""


def scene_scale(truths: tuple[Tensor, ...], confidences: tuple[Tensor, ...], valid: Tensor) -> Tensor:
    """Return ``B`` scene scales in meters: the confidence-weighted mean distance of the true points from their origin.

    ``s = max(sum(w |X|) / (sum(w) + 1e-8), 1e-3)`` over maps, views and valid pixels; ``w = max(log C, 1e-3)`` is a
    constant. Source: CUT3R, metric data: prediction and truth share one scale.

    Args:
        truths: ``B N H W 3`` true pointmaps, meters.
        confidences: ``B N H W`` confidence of the prediction of each.
        valid: ``B N H W`` bool.
    """
    total = weight = torch.zeros_like(confidences[0][:, 0, 0, 0])
    for truth, confidence in zip(truths, confidences, strict=True):
        pixel_weight = confidence.detach().log().clamp_min(MIN_SCALE_M) * valid
        total = total + (pixel_weight * truth.norm(dim=-1)).sum(dim=(1, 2, 3))
        weight = weight + pixel_weight.sum(dim=(1, 2, 3))
    return (total / (weight + 1e-8)).clamp_min(MIN_SCALE_M)


def confidence_loss(
    predictions: tuple[Tensor, ...],
    truths: tuple[Tensor, ...],
    confidences: tuple[Tensor, ...],
    valid: Tensor,
    scale: Tensor,
    price: float = 0.2,
) -> Tensor:
    """Return ``2 * mean over maps and views of <C e - price log C>``, ``e = |X - X_true| / scale``, no unit.

    Each mean is over the valid pixels of one view in the whole batch. Source: CUT3R, eq. 6, and its released code.

    Args:
        predictions: Pointmaps ``B N H W 3``, meters.
        truths: As ``predictions``.
        confidences: ``B N H W`` each, >= 1.
        valid: ``B N H W`` bool.
        scale: ``B`` meters.
        price: Weight of the log-confidence regularizer.
    """
    means = []
    for prediction, truth, confidence in zip(predictions, truths, confidences, strict=True):
        error = safe_norm(prediction - truth) / scale[:, None, None, None]
        means.append(_view_means(confidence * error - price * confidence.log(), valid))
    return 2 * torch.cat(means).mean()


def regression_loss(
    predictions: tuple[Tensor, ...], truths: tuple[Tensor, ...], valid: Tensor, is_scale_invariant: bool = False
) -> Tensor:
    """Return the mean distance over maps and views: meters, or shares of the scene's size. For validation.

    Args:
        predictions: Pointmaps ``B N H W 3``, meters.
        truths: As ``predictions``.
        valid: ``B N H W`` bool.
        is_scale_invariant: Divide prediction and truth by their own mean distances first, clip by clip.
    """
    if is_scale_invariant:
        ones = tuple(torch.ones_like(valid, dtype=truths[0].dtype) for _ in truths)
        own, true = scene_scale(predictions, ones, valid), scene_scale(truths, ones, valid)
        predictions = tuple(values / own[:, None, None, None, None] for values in predictions)
        truths = tuple(values / true[:, None, None, None, None] for values in truths)
    means = [_view_means(safe_norm(left - right), valid) for left, right in zip(predictions, truths, strict=True)]
    return torch.cat(means).mean()


def camera_loss(
    translation: Tensor, quat_wxyz: Tensor, true_translation: Tensor, true_quat_wxyz: Tensor, scale: Tensor
) -> Tensor:
    """Return ``<|t - t_true| / scale> + <|q - q_true|>`` over clips and views, no unit.

    Clips at the minimum scale are excluded: they have no surface.

    Args:
        translation: ``B N 3`` camera in the first view's frame, meters.
        quat_wxyz: ``B N 4`` unit, w >= 0.
        true_translation: ``B N 3`` meters.
        true_quat_wxyz: ``B N 4`` unit, w >= 0.
        scale: ``B`` meters; ones for errors in meters.
    """
    counts = (scale > MIN_SCALE_M).to(translation.dtype)[:, None]
    total = (counts * translation.shape[1]).sum().clamp_min(1)
    along = safe_norm(translation - true_translation) / scale[:, None]
    around = safe_norm(quat_wxyz - true_quat_wxyz)
    return ((along + around) * counts).sum() / total


def rgb_loss(rgb: Tensor, image: Tensor) -> Tensor:
    """Return the mean squared color difference of ``B N H W 3`` and ``B N 3 H W`` in [-1, 1]."""
    return (rgb - image.movedim(2, -1)).square().mean()


def focal_loss(score: Tensor, target: Tensor) -> Tensor:
    """Return ``-(sum_pos (1-p)^2 log p + sum_neg p^2 log(1-p)) / max(N_pos, 1)`` per view, averaged over the views.

    Source: CenterNet (arXiv 1904.07850), eq. 1, with a binary target; Multi-HMR's released code.

    Args:
        score: ``B N g g`` probability of a head.
        target: ``B N g g`` 0 or 1.
    """
    positive = (1 - score).square() * (score + LOG_EPS).log() * target
    negative = score.square() * (1 - score + LOG_EPS).log() * (1 - target)
    counts = target.sum(dim=(0, 2, 3)).clamp_min(1)
    return (-(positive + negative).sum(dim=(0, 2, 3)) / counts).mean()


def bce_loss(probability: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross entropy of probabilities of any shape: score maps and person masks."""
    positive = target * (probability + LOG_EPS).log()
    return -(positive + (1 - target) * (1 - probability + LOG_EPS).log()).mean()


def person_l1(prediction: Tensor, truth: Tensor, view: Tensor, num_views: int) -> Tensor:
    """Return the mean absolute difference over all elements of a view's people, 0 without any, averaged over views.

    Args:
        prediction: ``P ...`` anything.
        truth: As ``prediction``.
        view: ``P`` int64, the view of each person, whatever its clip.
    """
    ones = torch.ones_like(prediction)
    return _masked_person_l1(prediction, truth, ones, view, num_views)


def projected_l1(
    points: Tensor, true_points: Tensor, K: Tensor, image_size: tuple[int, int], view: Tensor, num_views: int
) -> Tensor:
    """Return the mean absolute difference of projections, pixels, of points that truly lie inside of the image.

    Args:
        points: ``P V 3`` meters, camera frame.
        true_points: ``P V 3``.
        K: ``P 3 3`` true intrinsics, pixels.
        image_size: (height, width).
        view: As in ``person_l1``.
    """
    height, width = image_size
    in_front = true_points[..., 2] > 0
    true_px = project(torch.where(in_front[..., None], true_points, torch.ones_like(true_points)), K)
    inside = in_front & (true_px > 0).all(-1) & (true_px[..., 0] < width) & (true_px[..., 1] < height)
    depth = points[..., 2:].clamp_min(MIN_PROJECTED_DEPTH_M)
    predicted_px = project(torch.cat((points[..., :2], depth), dim=-1), K)
    counts = inside[..., None].to(points.dtype).expand_as(predicted_px)
    return _masked_person_l1(predicted_px, true_px, counts, view, num_views)


def mask_in_square(person_mask: Tensor, side: int) -> Tensor:
    """Return ``B R R`` true masks over the padded square, 0 or 1, of masks ``B H W``: resized, then 1 above 0.1."""
    y0, y1, x0, x1 = content_box((person_mask.shape[-2], person_mask.shape[-1]), side)
    resized = functional.interpolate(person_mask[:, None], size=(y1 - y0, x1 - x0), mode="bilinear")
    return (functional.pad(resized, (x0, side - x1, y0, side - y1))[:, 0] > 0.1).to(person_mask.dtype)


def safe_norm(vectors: Tensor) -> Tensor:
    """Return the lengths of ``... D`` vectors; the gradient of a zero vector is zero."""
    return torch.linalg.vector_norm(vectors, dim=-1)


def _view_means(values: Tensor, valid: Tensor) -> Tensor:
    """Return ``N`` means of ``B N H W`` over the valid pixels of each view; 0 where there is none."""
    count = valid.sum(dim=(0, 2, 3)).clamp_min(1)
    return torch.where(valid, values, torch.zeros_like(values)).sum(dim=(0, 2, 3)) / count


def _masked_person_l1(prediction: Tensor, truth: Tensor, counts: Tensor, view: Tensor, num_views: int) -> Tensor:
    difference = ((prediction - truth).abs() * counts).flatten(1).sum(dim=1)
    zeros = difference.new_zeros(num_views)
    total = zeros.index_add(0, view, difference)
    count = zeros.index_add(0, view, counts.flatten(1).sum(dim=1))
    return (total / count.clamp_min(1)).mean()
