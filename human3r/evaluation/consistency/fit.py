"""Distance of projected bodies from the keypoints of the frozen prior, in torso lengths.

The prior's own error is about 0.06 torsos: this measures how well lifting keeps its input, not the true error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from human3r.bodies.joints import COCO17_JOINTS
from human3r.results.reconstruction import Reconstruction

_FIRST_BODY_KEYPOINT = 5
_TRUSTED = 0.3
"""Minimum score of a keypoint."""
_SIDES = ((2, 3), (4, 5), (8, 9), (10, 11))
"""Left and right elbows, wrists, knees, ankles among the twelve."""
_APART = 0.25
"""Minimum distance of two sides that can be distinguished, torsos."""
_SAME_PERSON = 1.0
"""Maximum mean distance between a body and keypoints of one person, torsos."""


@dataclass(frozen=True)
class PriorKeypoints:
    """Keypoints that the prior detected in the frames of a result."""

    frame: np.ndarray
    """``M`` int64, row of the processed frame."""
    keypoints_px: np.ndarray
    """``M 17 2`` pixels of the source frame."""
    score: np.ndarray
    """``M 17``"""


@dataclass(frozen=True)
class PriorFit:
    """Fit of all bodies of a clip; NaN without a match."""

    found_percent: float
    """Share of the prior's people with a body."""
    error: float
    """Mean distance of the twelve body joints, torso lengths."""
    within_half_percent: float
    within_fifth_percent: float
    swapped_percent: float
    """Share of distinguishable limb pairs that fit better with left and right swapped."""


def measure_fit(result: Reconstruction, prior: PriorKeypoints) -> PriorFit:
    """Match bodies to the prior's people frame by frame and measure their distance."""
    errors, swaps, found = [], [], 0
    projected = result.joints_image_px[:, COCO17_JOINTS].astype(np.float64)
    for frame in np.unique(prior.frame):
        seen = np.flatnonzero(prior.frame == frame)
        bodies = projected[result.person_frame == frame]
        points = prior.keypoints_px[seen, _FIRST_BODY_KEYPOINT:].astype(np.float64)
        trusted = prior.score[seen, _FIRST_BODY_KEYPOINT:] > _TRUSTED
        torso = np.maximum(np.linalg.norm(points[:, :2].mean(1) - points[:, 6:8].mean(1), axis=1), 1.0)
        distance = np.linalg.norm(points[:, None] - bodies[None], axis=-1) / torso[:, None, None]
        for person, body in _pairs(distance, trusted):
            found += 1
            errors.append(distance[person, body][trusted[person]])
            swaps.append(_swapped(points[person], bodies[body], trusted[person], float(torso[person])))
    if not errors:
        return PriorFit(0.0 if len(prior.frame) else float("nan"), *[float("nan")] * 4)
    every, swapped = np.concatenate(errors), np.concatenate(swaps)
    return PriorFit(
        found_percent=100 * found / len(prior.frame),
        error=float(every.mean()),
        within_half_percent=100 * float((every < 0.5).mean()),
        within_fifth_percent=100 * float((every < 0.2).mean()),
        swapped_percent=100 * float(swapped.mean()) if len(swapped) else 0.0,
    )


def _pairs(distance: np.ndarray, trusted: np.ndarray) -> list[tuple[int, int]]:
    """Match people ``P`` to bodies ``Q`` greedily by mean distance; ``distance`` is ``P Q 12``."""
    weight = trusted[:, None] + 1e-6
    mean = (distance * weight).sum(-1) / weight.sum(-1)
    pairs = []
    while mean.size and mean.min() < _SAME_PERSON:
        person, body = np.unravel_index(mean.argmin(), mean.shape)
        pairs.append((int(person), int(body)))
        mean[person], mean[:, body] = np.inf, np.inf
    return pairs


def _swapped(points: np.ndarray, body: np.ndarray, trusted: np.ndarray, torso: float) -> np.ndarray:
    """Return, for every distinguishable pair of limbs, whether it fits better swapped."""
    verdicts = []
    for left, right in _SIDES:
        apart = np.linalg.norm(points[left] - points[right]) > _APART * torso
        if apart and trusted[left] and trusted[right]:
            straight = np.linalg.norm(body[left] - points[left]) + np.linalg.norm(body[right] - points[right])
            crossed = np.linalg.norm(body[left] - points[right]) + np.linalg.norm(body[right] - points[left])
            verdicts.append(crossed < straight)
    return np.array(verdicts, dtype=bool)
