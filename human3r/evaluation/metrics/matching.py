"""The per-frame matching of predictions to people, and detection scores.

Source: ROMP (arXiv 2008.12272) and TRACE (arXiv 2306.02850) evaluation, as used by Human3R (arXiv 2510.06219).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

MIN_IOU = 0.05
"""Pairs whose joint boxes overlap less are not matched."""

MatchingCost = Literal["frobenius", "spectral"]


@dataclass(frozen=True)
class Matches:
    """The outcome of one frame."""

    pairs: np.ndarray
    """``M 2`` int64 (predicted, true) rows, cheapest first."""
    false_positives: np.ndarray
    """int64 unmatched predicted rows."""
    misses: np.ndarray
    """int64 unmatched true rows."""


def match_people(
    predicted_joints_px: np.ndarray, true_joints_px: np.ndarray, cost: MatchingCost = "frobenius"
) -> Matches:
    """Match people of one frame greedily by their projected joints.

    Args:
        predicted_joints_px: ``P J 2`` pixels.
        true_joints_px: ``Q J 2`` pixels.
        cost: ``frobenius`` sums squared joint distances; ``spectral`` is the reference's norm (the largest singular
            value of the difference, which ignores errors across the main direction) together with its early stop:
            every pair that lies apart counts as a spent prediction, whether its people are free or not.
    """
    num_predicted, num_true = len(predicted_joints_px), len(true_joints_px)
    difference = predicted_joints_px[:, None] - true_joints_px[None]
    costs = np.linalg.norm(difference, ord=2 if cost == "spectral" else "fro", axis=(-2, -1))
    free_predicted, free_true = np.ones(num_predicted, bool), np.ones(num_true, bool)
    pairs, num_rejected = [], 0
    for flat in np.argsort(costs, axis=None, kind="stable"):
        if not free_true.any() or len(pairs) + num_rejected >= num_predicted:
            break
        p, q = divmod(int(flat), num_true)
        is_apart = box_iou(predicted_joints_px[p], true_joints_px[q]) < MIN_IOU
        if is_apart or not (free_predicted[p] and free_true[q]):
            # The reference also counts pairs of people that are already matched.
            num_rejected += is_apart and cost == "spectral"
            continue
        free_predicted[p] = free_true[q] = False
        pairs.append((p, q))
    return Matches(np.array(pairs, np.int64).reshape(-1, 2), np.flatnonzero(free_predicted), np.flatnonzero(free_true))


def box_iou(first_px: np.ndarray, second_px: np.ndarray) -> float:
    """Intersection over union of the boxes around two sets of points (``J 2`` pixels), both ends inclusive."""
    low = np.maximum(first_px.min(0), second_px.min(0))
    high = np.minimum(first_px.max(0), second_px.max(0))
    intersection = np.prod(np.maximum(high - low + 1, 0))
    areas = [np.prod(np.ptp(points, axis=0) + 1) for points in (first_px, second_px)]
    return float(intersection / (sum(areas) - intersection))


@dataclass(frozen=True)
class DetectionScores:
    """Precision, recall and F1 in percent, rounded to whole percent as the published tables are."""

    precision: float
    recall: float
    f1: float


def detection_scores(num_true: int, num_misses: int, num_false_positives: int) -> DetectionScores:
    """Score the detections of one sequence; a ratio without a denominator is 0."""
    hits = num_true - num_misses

    def per_cent(denominator: float) -> float:
        return 100.0 * round(hits / denominator, 2) if denominator else 0.0

    return DetectionScores(
        precision=per_cent(hits + num_false_positives),
        recall=per_cent(num_true),
        f1=per_cent(hits + 0.5 * (num_false_positives + num_misses)),
    )
