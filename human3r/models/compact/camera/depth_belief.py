"""What is believed about the depth of an anchor: a correction per block of the image, with its information.

The network's depth is wrong in smooth patches, so the prior is a Gaussian process over place and depth; parallax adds
information frame by frame, and a new anchor inherits what the old one knew. The scale belongs to the network alone:
images of a moving camera do not tell it.
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
"""Standard deviation of the logarithm of the network's depth within a frame. Measured on held-out renders, as are the
two lengths below: the covariance of the error falls to 60 % over each of them."""
_REACH_PX = 120.0
_REACH_LOG_DEPTH = 0.38
_ROUGHNESS = 0.07
"""Standard deviation of what neighbouring blocks do not share."""
_SCALE_SPREAD = 0.01
"""Keeps the information finite; a scale that moved freely would follow the prior on motion."""
_POINTS_OF_A_BLOCK = 6
"""Cells of 8 pixels that a block must share with the old surface to inherit from it in full."""
_MAX_STEP = 0.3
_MAX_CORRECTION = 1.0
_INHERITED_SPREAD = 0.05
"""Standard deviation that warping from one anchor to the next adds."""
_INHERITED_SHARE = 0.3
"""Of the information that is inherited: errors of neighbouring blocks are alike."""


@dataclass(frozen=True)
class JointEquations(TensorRecord):
    """Normal equations of one frame for ``K`` numbers of motion and light and ``C`` corrections."""

    normal: Tensor
    """``K K`` of the motion, priors included."""
    aim: Tensor
    """``K`` its right-hand side."""
    coupling: Tensor
    """``C K`` between corrections and motion."""
    gained: Tensor
    """``C`` diagonal of the images' information on the corrections."""
    push: Tensor
    """``C`` its right-hand side."""
    variance: Tensor
    """``C`` of what a correction may be off in this frame alone."""
    parallax: Tensor
    """Scalar, mean square of pixels per logarithm of the depth."""


@dataclass(frozen=True)
class DepthBelief(TensorRecord):
    """A Gaussian over the corrections of ``C`` blocks, row-major over a grid."""

    correction: Tensor
    """``C`` mean, to be added to the logarithm of the anchor's depth."""
    information: Tensor
    """``C C`` inverse covariance."""
    parallax: Tensor
    """Scalar, the largest so far: mean square of pixels per logarithm of the depth."""
    grid: tuple[int, int]
    """(rows, columns)."""

    def block_of(self, pixels: Tensor) -> Tensor:
        """Return the block (``N`` int64) of ``N 2`` full-image pixels."""
        rows, columns = self.grid
        x, y = ((pixels + 0.5) / BLOCK_PX).long().unbind(-1)
        return y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)

    def sum_by_block(self, block: Tensor, values: Tensor) -> Tensor:
        """Add up ``N ...`` values; returns ``C ...``."""
        return values.new_zeros(self.correction.shape[0], *values.shape[1:]).index_add(0, block, values)

    def solve(self, correction: Tensor, equations: JointEquations, stiffness: Tensor) -> tuple[Tensor, Tensor]:
        """Solve one step of motion and corrections together; the blocks are eliminated first (Schur complement).

        Args:
            correction: ``C`` where the last step left it.
            equations: What the frame says, linearised there.
            stiffness: Scalar by which the belief counts more than it should.

        Returns:
            ``K`` step of the motion, and the ``C`` corrections after it.
        """
        information, coupling = stiffness * self.information, equations.coupling
        push = equations.push - information @ (correction - self.correction)
        factor = torch.linalg.cholesky(information + torch.diag(equations.gained))
        solved = torch.cholesky_solve(torch.cat([coupling, push[:, None]], dim=1), factor)
        by_motion, alone = solved[:, :-1], solved[:, -1]
        step = torch.linalg.solve(equations.normal - coupling.T @ by_motion, equations.aim - coupling.T @ alone)
        moved = correction + (alone - by_motion @ step).clamp(-_MAX_STEP, _MAX_STEP)
        return step, moved.clamp(-_MAX_CORRECTION, _MAX_CORRECTION)

    def eliminated(self, equations: JointEquations, stiffness: Tensor) -> Tensor:
        """Return the ``K K`` equations of the motion that ``solve`` solved, the corrections marginalised out."""
        factor = torch.linalg.cholesky(stiffness * self.information + torch.diag(equations.gained))
        return equations.normal - equations.coupling.T @ torch.cholesky_solve(equations.coupling, factor)

    def absorb(self, correction: Tensor, equations: JointEquations, stiffness: Tensor) -> DepthBelief:
        """Return the belief after a frame for which ``solve`` ended at a correction, the motion marginalised out.

        Frames of one anchor repeat each other's errors: one counts by what it adds to the largest parallax so far.
        """
        parallax = torch.maximum(self.parallax, equations.parallax)
        share = (parallax - self.parallax) / parallax.clamp(min=1e-9)
        coupling, gained = equations.coupling, equations.gained
        kept = 1 / (1 + equations.variance * gained)
        # Whoever believes the noise of a frame believes less of what it says.
        raw = stiffness * self.information + _taught(equations.normal, coupling, gained)
        said = raw @ (correction - self.correction)
        normal = equations.normal - coupling.T @ ((equations.variance * kept)[:, None] * coupling)
        taught = _taught(normal, kept[:, None] * coupling, kept * gained)
        information = (self.information + share * taught).contiguous()
        mean = self.correction + torch.linalg.solve(information, share * kept * said)
        return replace(self, correction=mean, information=information, parallax=parallax)

    def upsample(self, size: tuple[int, int]) -> Tensor:
        """Return the ``h w`` corrections of a map that covers the image."""
        maps = self.correction.view(1, 1, *self.grid)
        return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)[0, 0]

    def observe(self, ratio: Tensor, information: Tensor) -> DepthBelief:
        """Return the belief after ``C`` measured corrections with ``C`` information each."""
        total = (self.information + torch.diag(information)).contiguous()
        push = self.information @ self.correction + information * ratio
        solved = torch.cholesky_solve(push[:, None], torch.linalg.cholesky(total))[:, 0]
        return replace(self, correction=solved, information=total)

    def variance(self) -> Tensor:
        """Return the ``C`` variances of the corrections."""
        return torch.cholesky_inverse(torch.linalg.cholesky(self.information)).diagonal()


def _taught(normal: Tensor, coupling: Tensor, gained: Tensor) -> Tensor:
    """Return the ``C C`` information on corrections that is left when the motion is marginalised out."""
    return torch.diag(gained) - coupling @ torch.linalg.solve(normal, coupling.T)


def prior_belief(depth: Tensor, cell_px: float) -> DepthBelief:
    """Return what is known before any motion.

    Args:
        depth: ``h w`` depth of the network, metres, over the whole image.
        cell_px: Full-image pixels per cell of it.
    """
    height, width = depth.shape
    grid = (math.ceil(height * cell_px / BLOCK_PX), math.ceil(width * cell_px / BLOCK_PX))
    log_depth = functional.adaptive_avg_pool2d(depth.detach().log()[None], grid).flatten()
    row = torch.arange(grid[0], device=depth.device).repeat_interleave(grid[1])
    column = torch.arange(grid[1], device=depth.device).repeat(grid[0])
    squares = (row[:, None] - row).square() + (column[:, None] - column).square()
    far = squares * (BLOCK_PX / _REACH_PX) ** 2
    deep = (log_depth[:, None] - log_depth).square() / _REACH_LOG_DEPTH**2
    covariance = _SPREAD**2 * (-0.5 * (far + deep)).exp()
    # Take out what all blocks share: that is the scale.
    covariance = covariance - covariance.mean(0) - covariance.mean(1, keepdim=True) + covariance.mean()
    eye = torch.eye(len(row), device=depth.device)
    covariance = covariance + _ROUGHNESS**2 * eye + _SCALE_SPREAD**2
    # Row-major, as a snapshot gives it back: products of another layout differ in the last bit.
    information = torch.cholesky_inverse(torch.linalg.cholesky(covariance)).contiguous()
    return DepthBelief(torch.zeros_like(log_depth), information, log_depth.new_zeros(()), grid)


def inherit(new: DepthBelief, old: DepthBelief, old_block: Tensor, new_block: Tensor, ratio: Tensor) -> DepthBelief:
    """Return the belief about a new surface after what is known of the old one.

    Args:
        new: The prior of the new surface.
        old: The belief about the old one.
        old_block: ``N`` block of the old surface that each point seen by both belongs to.
        new_block: ``N`` block of the new surface that it falls into.
        ratio: ``N`` logarithm of its depth by the old surface over that by the new one, scales alike.
    """
    trust = _INHERITED_SHARE / (old.variance() + _INHERITED_SPREAD**2)
    ones = torch.ones_like(ratio)
    count, total, trusted = new.sum_by_block(new_block, torch.stack([ones, ratio, trust[old_block]], dim=1)).T
    seen = (count / _POINTS_OF_A_BLOCK).clamp(max=1.0)
    return new.observe(total / count.clamp(min=1.0), seen * trusted / count.clamp(min=1.0))
