"""Error model of MoveNet MultiPose: what it would report for a person whose true keypoints are known.

Errors are a bias per joint that changes slowly, not white noise, and correlate with the scores; hidden joints get low
scores and guessed positions; people seen from behind get false faces; sides are swapped occasionally. Figures were
measured on real clips against references, in torso lengths (middle of the shoulders to middle of the hips).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.models.compact.convnets.movenet import TORSO_KEYPOINTS
from human3r.models.compact.people.lifting.body_points import MIRRORED_KEYPOINTS
from human3r.training.simulation.rotations import RandomSource

_SIGMA_TORSO = torch.tensor(
    [0.032, *(sigma for sigma in (0.030, 0.036, 0.040, 0.050, 0.052, 0.058, 0.048, 0.056) for _ in ("left", "right"))]
)
"""Per-axis standard deviation at a good score: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
Source: measured medians .04 (nose) to .083 (hip), divided by 1.18, less label error."""
_SLIP = torch.tensor([0.004] * 5 + [0.004] * 2 + [0.012] * 2 + [0.04] * 2 + [0.004] * 2 + [0.006] * 2 + [0.012] * 2)
"""Probability of a gross error at a fair score: wrists most. Source: shares over half a torso, less the swaps."""
_SCORE_KNOTS = ((0.2, 3.2), (0.3, 2.2), (0.5, 1.4), (0.7, 1.0), (1.0, 0.9))
"""(score, factor on sigma). Source: medians .156, .092 and .062 of a torso in the score bands."""
_LEGS, _ARMS, _FACE = (11, 12, 13, 14, 15, 16), (7, 8, 9, 10), (0, 1, 2, 3, 4)
_BELOW_HIPS, _LIMB_TIPS = (13, 14, 15, 16), (7, 8, 9, 10, 13, 14, 15, 16)


@dataclass(frozen=True)
class DetectorMix:
    """Rates of the detector's errors."""

    noise: float = 1.0
    """Factor on the error of visible joints."""
    slips: float = 1.0
    """Factor on the probability of gross errors."""
    table_seated: float = 0.55
    """Share of seated people whose lower part is hidden by a table or another person."""
    table_other: float = 0.08
    """The same for all others, less frequent: people behind a table mostly sit at it."""
    side_cut: float = 0.05
    hidden_limb: float = 0.10
    swap_legs: float = 0.02
    swap_arms: float = 0.015
    swap_all: float = 0.006


def detect(
    rng: RandomSource, mix: DetectorMix, keypoints_camera: Tensor, head_forward: Tensor, borders: Tensor, pixel: Tensor,
    is_seated: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Simulate the detector.

    Args:
        keypoints_camera: ``P 17 3`` true (annotated) points in the camera frame, meters.
        head_forward: ``P 3`` where the face looks, camera frame.
        borders: ``P 4`` of the image on the normalized plane.
        pixel: ``P`` size of a pixel there.
        is_seated: ``P`` bool.

    Returns:
        Points ``P 17 2`` on the normalized plane and scores ``P 17``.
    """
    depth = keypoints_camera[..., 2].clamp_min(0.2)
    points = keypoints_camera[..., :2] / depth[..., None]
    shoulders, hips = points[:, [5, 6]].mean(1), points[:, [11, 12]].mean(1)
    meters = 0.5 / keypoints_camera[:, TORSO_KEYPOINTS, 2].clamp_min(0.2).mean(1)
    # The detector is not more precise on foreshortened torsos.
    torso = torch.maximum((shoulders - hips).norm(dim=1), 0.8 * meters)
    scores = _fair_scores(rng, points.shape[0])
    scores, face_noise = _hide_faces(rng, scores, keypoints_camera, head_forward)
    scores = _self_occlusion(rng, scores, keypoints_camera, points, torso)
    hidden = _hidden(rng, mix, points, is_seated)
    outside = _outside(points, borders, pixel)
    noisy = _disturb(rng, mix, points, scores, torso, pixel, face_noise)
    noisy, scores = _guess(rng, noisy, scores, hidden | outside, points, borders, torso)
    noisy, scores = _pull_inside(rng, noisy, scores, outside & ~hidden, points, borders, torso)
    return _swap(rng, mix, noisy, scores)


def _fair_scores(rng: RandomSource, count: int) -> Tensor:
    """Return scores of visible joints: mostly high, similar within a person."""
    person = rng.uniform(0, 1, count, 1)
    quality = 0.62 + 0.3 * person.sqrt() - 0.25 * rng.uniform(0, 1, count, 17) ** 2
    slack = rng.chance(0.1, count, 17) * rng.uniform(0, 0.45, count, 17)
    return (quality - slack + rng.normal(0.05, count, 17)).clamp(0.21, 0.97)


def _factor(scores: Tensor) -> Tensor:
    """Interpolate the noise factor over the score."""
    factor = torch.full_like(scores, _SCORE_KNOTS[0][1])
    for (low, start), (high, end) in itertools.pairwise(_SCORE_KNOTS):
        share = ((scores - low) / (high - low)).clamp(0, 1)
        factor = factor + share * (end - start)
    return factor


def _hide_faces(rng: RandomSource, scores: Tensor, camera: Tensor, head_forward: Tensor) -> tuple[Tensor, Tensor]:
    """Lower the scores of face points that face away; also return a common displacement of the face, ``P 1 2`` torsos.

    From behind, half of the people get a false face with fair scores, shifted up or down as a whole.
    """
    count = scores.shape[0]
    center = camera[:, 3:5].mean(1)
    view = torch.nn.functional.normalize(center, dim=1)
    # Outward normals: the nose and eyes look forwards, the ears sideways.
    outward = camera[:, :5] - center[:, None]
    outward = torch.nn.functional.normalize(outward + 0.02 * head_forward[:, None], dim=-1)
    away = (outward * view[:, None]).sum(-1)
    from_behind = (head_forward * view).sum(-1, keepdim=True)
    imagines = rng.chance(0.5, count, 1)
    imagined = rng.uniform(0.22, 0.65, count, 1) + rng.normal(0.06, count, 5)
    dropped = rng.uniform(0.02, 0.22, count, 5)
    low = torch.where(imagines, imagined, dropped).clamp(0.02, 0.8)
    half_seen = scores[:, :5] * (1 - 0.5 * ((away - 0.1) / 0.4).clamp(0, 1))
    face = torch.where(
        away > 0.45, torch.where(from_behind > 0.35, low, torch.minimum(half_seen, low + 0.25)), half_seen
    )
    shift = (from_behind > 0.35) * torch.cat([rng.normal(0.04, count, 1), rng.normal(0.10, count, 1)], dim=1)
    return torch.cat([face, scores[:, 5:]], dim=1), shift[:, None]


def _self_occlusion(rng: RandomSource, scores: Tensor, camera: Tensor, points: Tensor, torso: Tensor) -> Tensor:
    """Lower the scores of limbs behind the trunk."""
    trunk = camera[:, TORSO_KEYPOINTS, 2].mean(1)
    middle, spread = points[:, TORSO_KEYPOINTS].mean(1), points[:, TORSO_KEYPOINTS].std(1)
    tips = list(_LIMB_TIPS)
    offset = (points[:, tips] - middle[:, None]).abs()
    inside = (offset < 1.1 * spread[:, None] + 0.1 * torso[:, None, None]).all(-1)
    behind = inside & (camera[:, tips, 2] > trunk[:, None] + 0.06)
    lowered = scores.clone()
    drop = rng.uniform(0.1, 0.6, *behind.shape)
    lowered[:, tips] = torch.where(behind, (scores[:, tips] - drop).clamp_min(0.05), scores[:, tips])
    return lowered


def _hidden(rng: RandomSource, mix: DetectorMix, points: Tensor, is_seated: Tensor) -> Tensor:
    """Choose joints that tables, other people and objects hide: ``P 17`` bool."""
    count = points.shape[0]
    hips, knees, shoulders = points[:, 11:13, 1].mean(1), points[:, 13:15, 1].mean(1), points[:, 5:7, 1].mean(1)
    share = rng.uniform(-0.7, 0.9, count)
    reach = torch.maximum(knees - hips, 0.3 * (hips - shoulders).abs())
    # Between the chest (-0.7 of a trunk above the hips) and nearly the knees, along a slightly slanted edge.
    edge = torch.where(share < 0, hips + share * (hips - shoulders), hips + share * reach)
    slope = rng.normal(0.12, count, 1)
    below = points[..., 1] + slope * (points[..., 0] - points[..., 0].mean(1, keepdim=True)) > edge[:, None]
    has_table = rng.chance(torch.where(is_seated, mix.table_seated, mix.table_other), count)
    # Hands lie on tables: half of the time they stay visible.
    keeps_hands = rng.chance(0.55, count, 1)
    tabled = below & has_table[:, None]
    tabled[:, list(_ARMS)] &= ~keeps_hands
    cut = points[:, :, 0].gather(1, rng.choose(torch.ones(17), count)[:, None])
    beyond = (points[..., 0] - cut) * rng.sign(count, 1) > 0
    sideways = beyond & rng.chance(mix.side_cut, count)[:, None]
    limbs = torch.zeros(count, 17, dtype=torch.bool)
    for chain in ((7, 9), (8, 10), (13, 15), (14, 16), (15,), (16,), (9,), (10,)):
        limbs[:, list(chain)] |= rng.chance(mix.hidden_limb / 4, count, 1)
    return tabled | sideways | limbs


def _outside(points: Tensor, borders: Tensor, pixel: Tensor) -> Tensor:
    margin = 2 * pixel[:, None]
    x, y = points.unbind(-1)
    left, top, right, bottom = (border[:, None] for border in borders.unbind(1))
    return (x < left - margin) | (x > right + margin) | (y < top - margin) | (y > bottom + margin)


def _disturb(
    rng: RandomSource,
    mix: DetectorMix,
    points: Tensor,
    scores: Tensor,
    torso: Tensor,
    pixel: Tensor,
    face_noise: Tensor,
) -> Tensor:
    count = points.shape[0]
    person = (rng.normal(0.3, count, 1)).exp().clamp(0.5, 2.2)
    sigma = mix.noise * _SIGMA_TORSO * person * _factor(scores) * torso[:, None] + 0.5 * pixel[:, None]
    noisy = points + rng.normal(1.0, count, 17, 2) * sigma[..., None]
    noisy[:, list(_FACE)] += face_noise * torso[:, None, None]
    slips = rng.chance(_SLIP.expand(count, 17) * mix.noise * mix.slips, count, 17)
    return torch.where(slips[..., None], noisy + rng.normal(0.5, count, 17, 2) * torso[:, None, None], noisy)


def _guess(
    rng: RandomSource, noisy: Tensor, scores: Tensor, hidden: Tensor, points: Tensor, borders: Tensor, torso: Tensor
) -> tuple[Tensor, Tensor]:
    """Replace hidden joints by guesses: near the truth, or anywhere on the body; scores are low, rarely fair."""
    count = points.shape[0]
    near = points + rng.normal(0.35, count, 17, 2) * torso[:, None, None]
    other = rng.choose(torch.ones(17), count * 17).reshape(count, 17, 1).expand(-1, -1, 2)
    elsewhere = points.gather(1, other) + rng.normal(0.2, count, 17, 2) * torso[:, None, None]
    guess = torch.where(rng.chance(0.6, count, 17, 1), near, elsewhere)
    low, high = borders[:, None, :2], borders[:, None, 2:]
    guess = torch.maximum(torch.minimum(guess, high), low)
    is_sure = rng.chance(0.06, count, 17)
    score = torch.where(is_sure, rng.uniform(0.22, 0.5, count, 17), rng.uniform(0.01, 0.22, count, 17))
    return torch.where(hidden[..., None], guess, noisy), torch.where(hidden, score, scores)


def _pull_inside(
    rng: RandomSource, noisy: Tensor, scores: Tensor, outside: Tensor, points: Tensor, borders: Tensor, torso: Tensor
) -> tuple[Tensor, Tensor]:
    """Report joints just outside the image at its border, with fair scores.

    Measured: ankles below the image of a corridor clip are reported 4 to 10 pixels above its edge, scores .35 to .8.
    """
    count = points.shape[0]
    low, high = borders[:, None, :2], borders[:, None, 2:]
    beyond = (torch.maximum(low - points, points - high).clamp_min(0)).norm(dim=-1) / torso[:, None]
    inset = rng.uniform(0.005, 0.045, count, 17, 1) * (high - low).amax(-1, keepdim=True)
    at_border = torch.maximum(torch.minimum(points, high - inset), low + inset)
    at_border = at_border + rng.normal(0.05, count, 17, 2) * torso[:, None, None]
    score = 0.72 - 0.75 * beyond + rng.normal(0.14, count, 17)
    pulled = outside & rng.chance(0.8, count, 17) & (score > 0.1)
    scores = torch.where(pulled, score.clamp(0.1, 0.85), scores)
    return torch.where(pulled[..., None], at_border, noisy), scores


def _swap(rng: RandomSource, mix: DetectorMix, points: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    count = points.shape[0]
    order = torch.arange(17).expand(count, 17).clone()
    mirrored = torch.tensor(MIRRORED_KEYPOINTS)
    groups = ((_BELOW_HIPS, mix.swap_legs), (_ARMS, mix.swap_arms), (tuple(range(17)), mix.swap_all))
    for group, probability in groups:
        swaps = rng.chance(probability, count, 1)
        columns = list(group)
        order[:, columns] = torch.where(swaps, mirrored[columns].expand(count, -1), order[:, columns])
    return points.gather(1, order[..., None].expand(-1, -1, 2)), scores.gather(1, order)
