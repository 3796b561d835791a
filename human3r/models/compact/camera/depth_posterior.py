"""Gaussian posterior over log-depth corrections of an anchor, one per image block.

Errors of the network's depth are smooth, so the prior is a Gaussian process over position and depth. Parallax adds
information frame by frame, and a new anchor starts from the posterior of the old one. Scale is not corrected: it is
not observable from the motion of a single camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from human3r.records import TensorRecord

BLOCK_PX = 32
"""Side of the blocks, full-image pixels; sides of images are multiples of it."""
_SPREAD = 0.22
"""Standard deviation of the network's log depth within a frame. Measured on held-out renders, as are the two length
scales below, over each of which the covariance of the error falls to 60 %."""
_REACH_PX = 120.0
_REACH_LOG_DEPTH = 0.38
_ROUGHNESS = 0.07
"""Standard deviation of the uncorrelated error of a block."""
_SCALE_SPREAD = 0.01
"""Small, because a free scale would follow the prior on motion; above 0 for finite information."""
_POINTS_PER_BLOCK = 6
"""Cells of 8 pixels that a block must share with the old surface for the full weight of a transfer."""
_MAX_STEP = 0.3
_MAX_CORRECTION = 1.0
_TRANSFER_SPREAD = 0.05
"""Standard deviation added by warping from one anchor to the next."""
_TRANSFER_SHARE = 0.3
"""Share of the information that is transferred, because errors of neighboring blocks are correlated."""


@dataclass(frozen=True)
class NormalEquations(TensorRecord):
    """Normal equations of one frame for ``K`` unknowns of motion and brightness and ``C`` depth corrections."""

    hessian: Tensor
    """``K K`` block of the motion, priors included."""
    rhs: Tensor
    """``K`` right-hand side of the motion."""
    cross_hessian: Tensor
    """``C K`` block of corrections and motion."""
    depth_hessian: Tensor
    """``C`` diagonal of the block of the corrections, without prior."""
    depth_rhs: Tensor
    """``C`` right-hand side of the corrections."""
    variance: Tensor
    """``C`` variance of errors of a correction that are particular to this frame."""
    parallax: Tensor
    """Scalar mean of squared pixels per unit of log depth."""


@dataclass(frozen=True)
class DepthPosterior(TensorRecord):
    """A Gaussian over the corrections of ``C`` blocks, row-major over a grid."""

    correction: Tensor
    """``C`` mean, added to the log depth of the anchor."""
    information: Tensor
    """``C C`` inverse covariance."""
    parallax: Tensor
    """Scalar, maximum so far of the mean of squared pixels per unit of log depth."""
    grid: tuple[int, int]
    """(rows, columns)."""

    def block_of(self, pixels: Tensor) -> Tensor:
        """Return the block (``N`` int64) of ``N 2`` full-image pixels."""
        rows, columns = self.grid
        x, y = ((pixels + 0.5) / BLOCK_PX).long().unbind(-1)
        return y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)

    def sum_by_block(self, block: Tensor, values: Tensor) -> Tensor:
        """Sum ``N ...`` values per block; returns ``C ...``."""
        return values.new_zeros(self.correction.shape[0], *values.shape[1:]).index_add(0, block, values)

    def solve(self, correction: Tensor, equations: NormalEquations, stiffness: Tensor) -> tuple[Tensor, Tensor]:
        """Solve one step of motion and corrections jointly, by the Schur complement of the corrections.

        Args:
            correction: ``C`` current values.
            equations: Normal equations of the frame, linearized there.
            stiffness: Scalar factor on the information of the posterior.

        Returns:
            ``K`` step of the motion, and the ``C`` new corrections.
        """
        information, cross_hessian = stiffness * self.information, equations.cross_hessian
        depth_rhs = equations.depth_rhs - information @ (correction - self.correction)
        factor = torch.linalg.cholesky(information + torch.diag(equations.depth_hessian))
        solved = torch.cholesky_solve(torch.cat([cross_hessian, depth_rhs[:, None]], dim=1), factor)
        by_motion, alone = solved[:, :-1], solved[:, -1]
        step = torch.linalg.solve(
            equations.hessian - cross_hessian.T @ by_motion, equations.rhs - cross_hessian.T @ alone
        )
        moved = correction + (alone - by_motion @ step).clamp(-_MAX_STEP, _MAX_STEP)
        return step, moved.clamp(-_MAX_CORRECTION, _MAX_CORRECTION)

    def marginalized(self, equations: NormalEquations, stiffness: Tensor) -> Tensor:
        """Return the ``K K`` Hessian of the motion in ``solve``, with the corrections marginalized out."""
        factor = torch.linalg.cholesky(stiffness * self.information + torch.diag(equations.depth_hessian))
        return equations.hessian - equations.cross_hessian.T @ torch.cholesky_solve(equations.cross_hessian, factor)

    def updated(self, correction: Tensor, equations: NormalEquations, stiffness: Tensor) -> DepthPosterior:
        """Return the posterior after a frame for which ``solve`` ended at ``correction``, with the motion marginalized.

        Errors of the frames of one anchor are correlated: a frame is weighted by how much it raises the maximum of the
        parallax.
        """
        parallax = torch.maximum(self.parallax, equations.parallax)
        share = (parallax - self.parallax) / parallax.clamp(min=1e-9)
        cross_hessian, depth_hessian = equations.cross_hessian, equations.depth_hessian
        kept = 1 / (1 + equations.variance * depth_hessian)
        # The variance of the frame reduces both its information and its right-hand side.
        undamped = stiffness * self.information + _schur_complement(equations.hessian, cross_hessian, depth_hessian)
        rhs = undamped @ (correction - self.correction)
        hessian = equations.hessian - cross_hessian.T @ ((equations.variance * kept)[:, None] * cross_hessian)
        gain = _schur_complement(hessian, kept[:, None] * cross_hessian, kept * depth_hessian)
        information = (self.information + share * gain).contiguous()
        mean = self.correction + torch.linalg.solve(information, share * kept * rhs)
        return replace(self, correction=mean, information=information, parallax=parallax)

    def conditioned(self, ratio: Tensor, information: Tensor) -> DepthPosterior:
        """Return the posterior given ``C`` measured corrections with ``C`` information."""
        total = (self.information + torch.diag(information)).contiguous()
        depth_rhs = self.information @ self.correction + information * ratio
        solved = torch.cholesky_solve(depth_rhs[:, None], torch.linalg.cholesky(total))[:, 0]
        return replace(self, correction=solved, information=total)

    def variance(self) -> Tensor:
        """Return the ``C`` marginal variances."""
        return torch.cholesky_inverse(torch.linalg.cholesky(self.information)).diagonal()


def _schur_complement(hessian: Tensor, cross_hessian: Tensor, depth_hessian: Tensor) -> Tensor:
    """Return the ``C C`` information on the corrections with the motion marginalized out."""
    return torch.diag(depth_hessian) - cross_hessian @ torch.linalg.solve(hessian, cross_hessian.T)


def depth_prior(depth: Tensor, cell_px: float) -> DepthPosterior:
    """Return the prior for an ``h w`` depth map of the network, meters, with ``cell_px`` full-image pixels per cell."""
    height, width = depth.shape
    grid = (math.ceil(height * cell_px / BLOCK_PX), math.ceil(width * cell_px / BLOCK_PX))
    log_depth = functional.adaptive_avg_pool2d(depth.detach().log()[None], grid).flatten()
    row = torch.arange(grid[0], device=depth.device).repeat_interleave(grid[1])
    column = torch.arange(grid[1], device=depth.device).repeat(grid[0])
    squares = (row[:, None] - row).square() + (column[:, None] - column).square()
    far = squares * (BLOCK_PX / _REACH_PX) ** 2
    deep = (log_depth[:, None] - log_depth).square() / _REACH_LOG_DEPTH**2
    covariance = _SPREAD**2 * (-0.5 * (far + deep)).exp()
    # Remove the common component, which is the scale.
    covariance = covariance - covariance.mean(0) - covariance.mean(1, keepdim=True) + covariance.mean()
    eye = torch.eye(len(row), device=depth.device)
    covariance = covariance + _ROUGHNESS**2 * eye + _SCALE_SPREAD**2
    # Row-major, as read from a snapshot: in another layout, products differ in the last bit.
    information = torch.cholesky_inverse(torch.linalg.cholesky(covariance)).contiguous()
    return DepthPosterior(torch.zeros_like(log_depth), information, log_depth.new_zeros(()), grid)


def transfer(
    new: DepthPosterior, old: DepthPosterior, old_block: Tensor, new_block: Tensor, ratio: Tensor
) -> DepthPosterior:
    """Return the posterior of a new surface given that of the old one.

    Args:
        new: Prior of the new surface.
        old: Posterior of the old surface.
        old_block: ``N`` block of the old surface of each common point.
        new_block: ``N`` block of the new surface of each common point.
        ratio: ``N`` log ratio of its depth on the old surface to that on the new one, at equal scales.
    """
    trust = _TRANSFER_SHARE / (old.variance() + _TRANSFER_SPREAD**2)
    ones = torch.ones_like(ratio)
    count, total, trusted = new.sum_by_block(new_block, torch.stack([ones, ratio, trust[old_block]], dim=1)).T
    seen = (count / _POINTS_PER_BLOCK).clamp(max=1.0)
    return new.conditioned(total / count.clamp(min=1.0), seen * trusted / count.clamp(min=1.0))
