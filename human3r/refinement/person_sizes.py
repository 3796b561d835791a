"""Who of a clip is a child: whose body, as large as it was taken for, would stand behind the floor under its feet.

The scene's depth below somebody's feet and the distance that a grown-up of that height in the picture has disagree by a
factor. What everybody shares of it is the scene's scale; what one person has alone is that person's size. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SCALE, _SCALE_SIGMA = 0.13, 0.22
"""Logarithm of the scene's own metres in bodies' metres, mean and spread over clips. Source: .17 in 64
rendered clips, where some of it is the same scene network's luck."""
_GROWN_SIGMA = 0.06
"""Logarithmic error of a grown-up's size."""
_CHILD, _CHILD_SIGMA = -0.40, 0.13
"""The same of a child that was taken for a grown-up."""
_CHILD_SHARE = 0.12
_RATIO_SIGMA, _RATIO_SIGMA_TRUST = 0.08, 0.025
"""Error of a person's ratio, and what is added at a trust of one (it grows as the trust falls). Source: grown-ups of
rendered clips differ within a clip by .07 above a trust of .3 and by .15 at .17."""
_DECISION = 0.4
"""Who is a child with this probability is made one. Source: of 17 rendered children 7 come within 15 % of their size
(before: none), of 121 grown-ups 2 become too small by more."""
_STRAY = 0.05 * np.sqrt(2 * np.pi) / 2
"""Density of ratios that mean nothing: feet seen through a table, a scene gone wrong; one in twenty, over two units."""
_LEAST_DROP_M = 0.2
_AGREEMENT = 0.4
"""The others' floor must want this share of a child's correction, and no more than the rest on top of it: up is
known to a few degrees only, but a roof is no floor."""
_LEAST_TRUST = 0.05
_LEAST_OBSERVATIONS = 3
_SCALES = np.linspace(-0.9, 1.2, 141)


@dataclass(frozen=True)
class StandingSoles:
    """Heights along up, metres, with bodies as large as they were taken for."""

    sole: np.ndarray
    """``N`` of the lower sole; not a number for those who do not stand with their feet in the image."""
    camera: np.ndarray
    """``N`` of the camera at that time."""


@dataclass(frozen=True)
class PersonSizes:
    """What the scene says about sizes."""

    log_size: dict[int, float]
    """Per identity, the logarithm of the factor on its size and distance."""
    log_scene: float
    """The same of the scene: what children added to a scale that was the mean over everybody."""


def sizes_from_scene(
    track: np.ndarray, log_ratio: np.ndarray, trust: np.ndarray, soles: StandingSoles | None = None
) -> PersonSizes:
    """Find the sizes that make bodies and scene agree.

    Args:
        track: ``N`` identities of the observations.
        log_ratio: ``N`` logarithm of the body's distance over the scene's own (not scaled to people) at its feet.
        trust: ``N`` in [0, 1]; 0 where nothing was seen.
        soles: Heights of the same observations: whoever is a child must also come up to the floor that the others stand
            on; None asks nobody.
    """
    identities, ratios, sigmas, weights = [], [], [], []
    for identity in np.unique(track):
        own = (track == identity) & (trust > _LEAST_TRUST)
        if own.sum() >= _LEAST_OBSERVATIONS:
            identities.append(int(identity))
            ratios.append(float(np.median(log_ratio[own])))
            sigmas.append(float(np.hypot(_RATIO_SIGMA, _RATIO_SIGMA_TRUST / np.median(trust[own]))))
            weights.append(float(trust[own].sum()))
    if not identities:
        return PersonSizes({}, 0.0)
    mean, share_child = _expected(np.array(ratios), np.array(sigmas))
    # Grown-ups keep the size that their proportions tell: what is left of them is noise.
    factor = np.where(share_child > _DECISION, mean, 0.0)
    if soles is not None:
        factor = np.where(_comes_up_to_floor(np.array(identities), factor, track, soles), factor, 0.0)
    log_scene = float((factor * weights).sum() / np.sum(weights))
    return PersonSizes(dict(zip(identities, factor.tolist(), strict=True)), log_scene)


def _expected(ratios: np.ndarray, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``P`` expected logarithmic size corrections of children, and ``P`` probabilities of being one.

    The scene's scale is integrated out over a grid; given it, everybody is judged alone.
    """
    surplus = ratios[None] - _SCALES[:, None]
    grown = (1 - _CHILD_SHARE) * _normal(surplus, np.hypot(sigmas, _GROWN_SIGMA))
    child = _CHILD_SHARE * _normal(surplus + _CHILD, np.hypot(sigmas, _CHILD_SIGMA))
    total = grown + child + _STRAY
    prior = -0.5 * ((_SCALES - _SCALE) / _SCALE_SIGMA) ** 2
    log_weight = prior + np.log(total).sum(1)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    share = child / total
    gain = _CHILD_SIGMA**2 / (_CHILD_SIGMA**2 + sigmas**2)
    correction = _CHILD + gain * (-surplus - _CHILD)
    share_child = weight @ share
    mean = (weight[:, None] * share * np.minimum(correction, 0.0)).sum(0) / np.maximum(share_child, 1e-12)
    return mean, share_child


def _comes_up_to_floor(
    identities: np.ndarray, factor: np.ndarray, track: np.ndarray, soles: StandingSoles
) -> np.ndarray:
    """Say of ``P`` identities whether the floor of the grown-ups, too, wants them smaller; yes where nobody can tell.

    A child taken for a grown-up seems to stand below the floor of the others.
    """
    stands = np.isfinite(soles.sole)
    grown = stands & np.isin(track, identities[factor == 0])
    if not grown.any():
        return np.ones(len(identities), dtype=bool)
    floor = np.median(soles.sole[grown])
    own = [stands & (track == identity) for identity in identities]
    drops = [np.maximum((soles.camera[rows] - soles.sole[rows]), _LEAST_DROP_M) for rows in own]
    heights = [np.maximum(soles.camera[rows] - floor, _LEAST_DROP_M) for rows in own]
    wanted = [np.median(np.log(h / d)) if len(d) else one for h, d, one in zip(heights, drops, factor, strict=True)]
    return np.abs(np.array(wanted) - factor) <= (1 - _AGREEMENT) * np.abs(factor)


def _normal(values: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (values / sigma) ** 2) / sigma
