"""Random numbers that are correlated in time: errors of a detector that come and go, and smooth motion."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from human3r.training.simulation.rotations import RandomSource

_JITTER = 1e-4
"""Added to the diagonal of covariances before they are factored."""


class CorrelatedSource(RandomSource):
    """Random tensors that are correlated in time.

    The first axis of every tensor is P people x T frames (or a multiple). Marginal laws are those of ``RandomSource``.

    Args:
        factors: ``K P T T`` lower Cholesky factors of covariances in time; every draw of every person takes one of K.
    """

    def __init__(self, generator: torch.Generator, factors: Tensor) -> None:
        super().__init__(generator)
        self.factors = factors

    def _gaussian(self, *shape: int) -> Tensor:
        kinds, people, frames, _ = self.factors.shape
        chosen = torch.randint(kinds, (people,), generator=self.generator)
        white = torch.randn((people, frames, math.prod(shape) // (people * frames)), generator=self.generator)
        return (self.factors[chosen, torch.arange(people)] @ white).reshape(shape)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in [low, high)."""
        return low + (high - low) * torch.special.ndtr(self._gaussian(*shape)).clamp(0, 1 - 1e-6)

    def normal(self, sigma: float, *shape: int) -> Tensor:
        """Zero-mean Gaussian."""
        return sigma * self._gaussian(*shape)

    def chance(self, probability: float | Tensor, *shape: int) -> Tensor:
        """True with the given probability."""
        return self.uniform(0.0, 1.0, *shape) < probability

    def choose(self, weights: Tensor, count: int) -> Tensor:
        """Indices drawn in proportion to ``weights``."""
        edges = (weights / weights.sum()).cumsum(0)
        return torch.searchsorted(edges, self.uniform(0.0, 1.0, count)).clamp(max=len(weights) - 1)

    def below(self, limit: int, count: int) -> Tensor:
        """Whole numbers from 0 to ``limit`` - 1."""
        return self.uniform(0.0, limit, count).long()


def slow_factors(
    shares: tuple[float, float, float], tau_s: tuple[float, float], rng: RandomSource, seconds: Tensor
) -> Tensor:
    """Return ``3 P T T`` factors for the detector: mostly slow, slower, and with a constant share.

    Args:
        shares: Parts of the variance that are constant, slow, and new in every frame.
        tau_s: Range of the time constants of the slow part.
        seconds: ``P T`` time of every frame.
    """
    count, length = seconds.shape
    gap = (seconds[:, :, None] - seconds[:, None]).abs()
    constant, slow, white = shares
    low, high = (math.log(bound) for bound in tau_s)
    tau = rng.uniform(low, high, 3, count, 1, 1).exp()
    tau[1] = tau[1] * 3
    steady = torch.tensor([0.0, 0.0, constant]).reshape(3, 1, 1, 1)
    slow_part = (1 - white - steady) * torch.exp(-gap / tau)
    assert abs(constant + slow + white - 1) < 1e-6, "the shares of the noise must add up to 1"
    return torch.linalg.cholesky(steady + slow_part + (white + _JITTER) * torch.eye(length))


def smooth_factors(seconds: Tensor, scale_s: float) -> Tensor:
    """Return ``1 P T T`` factors of smooth motion with unit variance (Gaussian covariance in time)."""
    gap = seconds[:, :, None] - seconds[:, None]
    covariance = torch.exp(-0.5 * (gap / scale_s) ** 2).double()
    factor = torch.linalg.cholesky(covariance + _JITTER * torch.eye(seconds.shape[1]).double())
    return factor.float()[None]
