"""Which people are children: those whose bodies, at an adult's size, would stand behind the floor under their feet.

The depth of the scene below a person's feet and the distance of an adult of that height in the image differ by a
factor. The part that everybody shares is the scene's scale; the part of a single person is that person's size. NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SCALE, _SCALE_SIGMA = 0.13, 0.22
"""Logarithm of the scene's meters over bodies' meters, mean and spread over clips. Source: .17 in 64 rendered clips,
part of which is specific to the scene network."""
_ADULT_SIGMA = 0.06
"""Logarithmic error of an adult's size."""
_CHILD, _CHILD_SIGMA = -0.40, 0.13
"""The same of a child with an adult's size."""
_CHILD_SHARE = 0.12
_RATIO_SIGMA, _RATIO_SIGMA_TRUST = 0.08, 0.025
"""Error of a person's ratio, and what is added at a trust of one (it grows as the trust falls). Source: adults of
rendered clips differ within a clip by .07 above a trust of .3 and by .15 at .17."""
_MIN_PROBABILITY = 0.4
"""People with a higher probability of being a child are resized. Source: of 17 rendered children 7 come within 15 % of
their size (before: none), of 121 adults 2 become too small by more."""
_OUTLIER_DENSITY = 0.05 * np.sqrt(2 * np.pi) / 2
"""Density of meaningless ratios (feet behind a table, a wrong scene): one in twenty, over two units."""
_MIN_DROP_M = 0.2
_AGREEMENT = 0.4
"""The floor of the others must imply at least this share of a child's correction, and at most 2 minus this share: up
is known to a few degrees only, but a roof is no floor."""
_MIN_TRUST = 0.05
_MIN_OBSERVATIONS = 3
_SCALES = np.linspace(-0.9, 1.2, 141)


@dataclass(frozen=True)
class StandingSoles:
    """Heights along up, meters, with the body sizes of the stream."""

    sole: np.ndarray
    """``N`` of the lower sole; NaN for those who do not stand with their feet in the image."""
    camera: np.ndarray
    """``N`` of the camera at that time."""


@dataclass(frozen=True)
class PersonSizes:
    """Corrections that the scene implies."""

    log_size: dict[int, float]
    """Per identity, the logarithm of the factor on its size and distance."""
    log_scene: float
    """The same for the scene, whose scale was a mean over everybody, children included."""


def sizes_from_scene(
    track: np.ndarray, log_ratio: np.ndarray, trust: np.ndarray, soles: StandingSoles | None = None
) -> PersonSizes:
    """Estimate the sizes that make bodies and scene agree.

    Args:
        track: ``N`` identities of the observations.
        log_ratio: ``N`` logarithm of the body's distance over the scene's own (not scaled to people) at its feet.
        trust: ``N`` in [0, 1]; 0 where there is no ratio.
        soles: Heights of the same observations: a child, resized, must also stand on the floor of the others; None
            skips this check.
    """
    identities, ratios, sigmas, weights = [], [], [], []
    for identity in np.unique(track):
        own = (track == identity) & (trust > _MIN_TRUST)
        if own.sum() >= _MIN_OBSERVATIONS:
            identities.append(int(identity))
            ratios.append(float(np.median(log_ratio[own])))
            sigmas.append(float(np.hypot(_RATIO_SIGMA, _RATIO_SIGMA_TRUST / np.median(trust[own]))))
            weights.append(float(trust[own].sum()))
    if not identities:
        return PersonSizes({}, 0.0)
    mean, share_child = _expected(np.array(ratios), np.array(sigmas))
    # Adults keep the size from their proportions: their remaining ratios are noise.
    factor = np.where(share_child > _MIN_PROBABILITY, mean, 0.0)
    if soles is not None:
        factor = np.where(_agrees_with_floor(np.array(identities), factor, track, soles), factor, 0.0)
    log_scene = float((factor * weights).sum() / np.sum(weights))
    return PersonSizes(dict(zip(identities, factor.tolist(), strict=True)), log_scene)


def _expected(ratios: np.ndarray, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``P`` expected logarithmic size corrections of children, and ``P`` probabilities of being one.

    The scene's scale is integrated out over a grid; given the scale, people are independent.
    """
    surplus = ratios[None] - _SCALES[:, None]
    adult = (1 - _CHILD_SHARE) * _normal(surplus, np.hypot(sigmas, _ADULT_SIGMA))
    child = _CHILD_SHARE * _normal(surplus + _CHILD, np.hypot(sigmas, _CHILD_SIGMA))
    total = adult + child + _OUTLIER_DENSITY
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


def _agrees_with_floor(
    identities: np.ndarray, factor: np.ndarray, track: np.ndarray, soles: StandingSoles
) -> np.ndarray:
    """Return for ``P`` identities whether the adults' floor implies their correction as well; True where it is unknown.

    A child with an adult's size seems to stand below the floor of the others.
    """
    stands = np.isfinite(soles.sole)
    adult = stands & np.isin(track, identities[factor == 0])
    if not adult.any():
        return np.ones(len(identities), dtype=bool)
    floor = np.median(soles.sole[adult])
    own = [stands & (track == identity) for identity in identities]
    drops = [np.maximum((soles.camera[rows] - soles.sole[rows]), _MIN_DROP_M) for rows in own]
    heights = [np.maximum(soles.camera[rows] - floor, _MIN_DROP_M) for rows in own]
    wanted = [np.median(np.log(h / d)) if len(d) else one for h, d, one in zip(heights, drops, factor, strict=True)]
    return np.abs(np.array(wanted) - factor) <= (1 - _AGREEMENT) * np.abs(factor)


def _normal(values: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (values / sigma) ** 2) / sigma
