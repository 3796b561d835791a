"""Photometric alignment of two images over a surface: the motion, and corrections of depth and focal length.

Each step uses the mean of the gradients of both images (efficient second-order minimization).
Source: Benhimane and Malis, "Real-time image-based tracking of planes using efficient second-order minimization",
IROS 2004.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.geometry.camera import sample_at_pixels
from human3r.models.compact.camera.depth_posterior import DepthPosterior, NormalEquations
from human3r.models.compact.camera.focal_posterior import FocalEstimate
from human3r.models.compact.camera.motion import (
    CORRELATION,
    NEAR_M,
    Lens,
    Surface,
    has_settled,
    inverse,
    motion_prior,
    point_jacobian,
    robust_sigma,
    small_motion,
    transform,
    tukey_weight,
    twists_of,
)
from human3r.records import TensorRecord

CAUCHY = 2.385
"""95 % efficiency on Gaussian noise. Source: Holland and Welsch (1977)."""
_MIN_SIGMA = 0.02
"""Minimum noise of gray values in [-1, 1]: 2.5 gray levels."""
_PARALLAX_NOISE_PX = 0.5
"""Standard deviation of errors of a depth block in one frame that depth does not explain, such as a wrong focal length
in a rotation."""
_FREE_PARALLAX_PX = 20.0
"""Parallax (pixels per unit of log depth) above which the depth posterior is used as it is."""
_MIN_STIFFNESS = 4.0
"""Above 1, because residuals are correlated: shadows of people move, edges lie between cells."""
_OUTLIER_GRAY = 0.2
"""Difference of gray values in [-1, 1] at which the misfit saturates."""


@dataclass(frozen=True)
class Target(TensorRecord):
    """The frame that a surface is aligned to, at one resolution."""

    image: Tensor
    """``3 h w`` from ``image_and_gradient``."""
    background: Tensor
    """``h' w'`` weight in [0, 1]; 0 on people."""


@dataclass(frozen=True)
class DepthEstimate(TensorRecord):
    """Depth corrections in the fit of one frame."""

    prior: DepthPosterior
    """Posterior before the frame."""
    correction: Tensor
    """``C``, see ``DepthPosterior``."""
    stiffness: Tensor
    """Scalar, see ``DepthPosterior.solve``: with little parallax, free depth would let translations fit noise."""
    parallax: Tensor
    """Scalar mean of squared pixels per unit of log depth."""
    equations: NormalEquations | None = None
    """Of the last step."""

    def posterior(self) -> DepthPosterior:
        """Return the posterior after the frame."""
        if self.equations is None:
            return self.prior
        return self.prior.updated(self.correction, self.equations, self.stiffness)


@dataclass(frozen=True)
class Unknowns(TensorRecord):
    """Unknowns of a frame beside motion and brightness; None is fixed."""

    depth: DepthEstimate | None = None
    focal: FocalEstimate | None = None
    hessian: Tensor | None = None
    """``K K`` of the last step, priors included, before depth is marginalized."""

    def marginalized(self) -> Tensor:
        """Return the Hessian of the last step with the depth marginalized out."""
        assert self.hessian is not None
        depth = self.depth
        if depth is None or depth.equations is None:
            return self.hessian
        return depth.prior.marginalized(depth.equations, depth.stiffness)


@dataclass(frozen=True)
class _Linearization(TensorRecord):
    """Residuals of the gray values at one motion, linearized."""

    jacobian: Tensor
    """``N K`` derivatives by motion, gain, bias and, last, log focal length."""
    depth_jacobian: Tensor
    """``N`` negative derivative by the log depth of the point."""
    residual: Tensor
    """``N`` gray values."""
    information: Tensor
    """``N``"""
    parallax: Tensor
    """``N`` squared pixels per unit of log depth of the point."""


def image_and_gradient(gray: Tensor, cell_px: float) -> Tensor:
    """Return ``3 h w``: gray values and their slopes per full-image pixel along (x, y)."""
    return torch.cat([gray[None], gradient(gray) / cell_px])


def gradient(image: Tensor) -> Tensor:
    """Return ``2 h w`` central differences along (x, y) per cell; one-sided at the border."""
    vertical, horizontal = torch.gradient(image)
    return torch.stack([horizontal, vertical])


def cauchy_weight(residual: Tensor, sigma: Tensor) -> Tensor:
    """Return the weight of Cauchy's estimator for residuals (any shape), in (0, 1]."""
    return 1 / (1 + (residual / (CAUCHY * sigma)).square())


def align_images(
    surface: Surface,
    target: Target,
    T_b_a: Tensor,
    lens: Lens,
    steps: int,
    unknowns: Unknowns,
    rest_poses: Tensor | None = None,
) -> tuple[Tensor, Unknowns]:
    """Return ``T_b_a`` that minimizes the photometric error between both frames, and the other unknowns.

    Args:
        surface: Points of frame *a*.
        target: Frame *b*.
        T_b_a: ``4 4`` initial value.
        lens: Intrinsics.
        steps: Maximum of Gauss-Newton steps; a settled refinement ends earlier.
        unknowns: Initial estimates of depth and focal length, if these are fitted jointly.
        rest_poses: ``S 4 4`` values of ``T_b_a`` at which the camera may have rested, as a prior, which would stall a
            motion that has not nearly converged. Outliers then have no weight (Tukey instead of Cauchy).
    """
    base = _visible_weight(surface, target, T_b_a, lens)
    cell_px = lens.image_size[0] / target.image.shape[1]
    gain_bias = torch.stack([surface.gray.new_ones(()), surface.gray.new_zeros(())])
    T_a_rests = None if rest_poses is None else torch.stack([inverse(T_rest_a) for T_rest_a in rest_poses])
    depth, focal, hessian = unknowns.depth, unknowns.focal, unknowns.hessian
    block = None if depth is None else depth.prior.block_of(lens.project(surface.points)[0])
    for _ in range(steps):
        seen, through = (surface, lens) if focal is None else focal.focus(surface, lens)
        if depth is not None:
            seen = replace(seen, points=seen.points * depth.correction.exp()[block, None])
        linear = _compare(seen, target, base, T_b_a, through, gain_bias, rest_poses is not None, focal is not None)
        weighted = linear.jacobian.T * linear.information
        rest_twists = None if T_a_rests is None else twists_of(T_a_rests @ T_b_a)
        prior, prior_rhs = motion_prior(linear.jacobian, rest_twists)
        hessian, rhs = weighted @ linear.jacobian + torch.diag(prior), weighted @ linear.residual + prior_rhs
        if focal is not None:
            hessian, rhs = focal.with_prior(hessian, rhs)
        if depth is None:
            step = torch.linalg.solve(hessian, rhs)
        else:
            assert block is not None
            equations = _depth_equations(linear, depth.prior, block, hessian, rhs)
            step, correction = depth.prior.solve(depth.correction, equations, depth.stiffness)
            depth = replace(depth, correction=correction, equations=equations)
        T_b_a = T_b_a @ inverse(small_motion(step[:6]))
        gain_bias = gain_bias + step[6:8]
        focal = None if focal is None else focal.moved(step)
        if has_settled(step, surface, lens, cell_px):
            break
    return T_b_a, Unknowns(depth, focal, hessian)


def start_depth(prior: DepthPosterior, surface: Surface, T_b_a: Tensor, lens: Lens) -> DepthEstimate:
    """Return the initial estimate of a frame, given a motion that has nearly converged."""
    moved = transform(T_b_a, surface.points)
    square = _parallax(moved, T_b_a[:3, 3], lens).square().sum(0)
    mean = (surface.weight * square).sum() / surface.weight.sum().clamp(min=1e-6)
    mean = mean.detach().clamp(min=1e-4)
    return DepthEstimate(prior, prior.correction, _MIN_STIFFNESS * (1 + _FREE_PARALLAX_PX**2 / mean), mean)


def _parallax(moved: Tensor, translation: Tensor, lens: Lens) -> Tensor:
    """Return the ``2 N`` derivative of pixels by the negative log depth of ``N 3`` points before the motion."""
    x, y, z = moved.T
    z = z.clamp(min=NEAR_M)
    return torch.stack([x / z * translation[2] - translation[0], y / z * translation[2] - translation[1]]) * (
        lens.focal_px / z
    )


def _focal_flow(surface: Surface, moved: Tensor, T_b_a: Tensor, lens: Lens) -> Tensor:
    """Return the ``2 N`` derivative of pixels by the log focal length, with surfaces ``stretched`` accordingly."""
    x, y, z = moved.T
    z = z.clamp(min=NEAR_M)
    farther = T_b_a[:3, 2:3] * surface.points[:, 2]
    off = torch.stack([x, y]) / z
    return (off + (farther[:2] - off * farther[2]) / z) * lens.focal_px


def _depth_equations(
    linear: _Linearization, prior: DepthPosterior, block: Tensor, hessian: Tensor, rhs: Tensor
) -> NormalEquations:
    """Extend the equations of the motion by those of the depth corrections."""
    information = linear.information * linear.depth_jacobian
    own = [information * linear.depth_jacobian, -information * linear.residual]
    sums = torch.stack([*own, linear.information * linear.parallax, linear.information])
    sums = prior.sum_by_block(block, torch.cat([sums, -information * linear.jacobian.T]).T)
    depth_hessian, depth_rhs, parallax, weight = sums[:, :4].T
    return NormalEquations(
        hessian=hessian,
        rhs=rhs,
        cross_hessian=sums[:, 4:],
        depth_hessian=depth_hessian,
        depth_rhs=depth_rhs,
        variance=_PARALLAX_NOISE_PX**2 * weight / parallax.clamp(min=1e-9),
        parallax=parallax.sum() / weight.sum().clamp(min=1e-9),
    )


def _visible_weight(surface: Surface, target: Target, T_b_a: Tensor, lens: Lens) -> Tensor:
    pixels, _ = lens.project(transform(T_b_a, surface.points))
    return surface.weight * sample_at_pixels(target.background[None], pixels, lens.image_size)[:, 0]


def _compare(
    surface: Surface,
    target: Target,
    base: Tensor,
    T_b_a: Tensor,
    lens: Lens,
    gain_bias: Tensor,
    is_strict: bool,
    with_focal: bool,
) -> _Linearization:
    """Linearize the gray-value residuals at a motion; ``gain_bias`` maps gray values of frame *a* to frame *b*."""
    moved = transform(T_b_a, surface.points)
    pixels, inside = lens.project(moved)
    seen = sample_at_pixels(target.image, pixels, lens.image_size).T
    residual = seen[0] - gain_bias[0] * surface.gray - gain_bias[1]
    # Between near frames, slopes differ by the roll only.
    R = T_b_a[:2, :2]
    slope_x, slope_y = 0.5 * (surface.slope.T + R.T @ seen[1:])
    along_x, along_y = point_jacobian(surface.points, lens.focal_px).permute(1, 2, 0)
    jacobian = torch.cat([slope_x * along_x + slope_y * along_y, surface.gray[None], torch.ones_like(seen[:1])]).T
    move_x, move_y = _parallax(moved, T_b_a[:3, 3], lens)
    turned_x, turned_y = R @ torch.stack([slope_x, slope_y])
    if with_focal:
        along_x, along_y = _focal_flow(surface, moved, T_b_a, lens)
        jacobian = torch.cat([jacobian.T, -(turned_x * along_x + turned_y * along_y)[None]]).T
    weight = base * inside
    sigma = robust_sigma(residual, weight, _MIN_SIGMA)
    weight = weight * (tukey_weight if is_strict else cauchy_weight)(residual.detach(), sigma)
    information = weight / (CORRELATION * sigma.square())
    depth_jacobian = turned_x * move_x + turned_y * move_y
    parallax = move_x.square() + move_y.square()
    return _Linearization(jacobian, depth_jacobian, residual, information, parallax)


def misfit(surface: Surface, target: Target, T_b_a: Tensor, lens: Lens) -> Tensor:
    """Return the mean robust difference of gray values under a motion, in [0, 1.25].

    Points that leave the image cost a quarter of an outlier: with less, the fit would move them out of the image; with
    more, rotations would be underestimated.
    """
    pixels, inside = lens.project(transform(T_b_a, surface.points))
    weight = surface.weight * sample_at_pixels(target.background[None], pixels, lens.image_size)[:, 0]
    kept = weight * inside
    total, inside_total = weight.sum().clamp(min=1e-6), kept.sum().clamp(min=1e-6)
    residual = sample_at_pixels(target.image[:1], pixels, lens.image_size)[:, 0] - surface.gray
    mean = (residual * kept).sum() / inside_total
    cost = ((residual - mean).abs() / _OUTLIER_GRAY).clamp(max=1.0)
    return (cost * kept).sum() / inside_total + 0.25 * (1 - kept.sum() / total)
