"""Alignment of two images over a surface, in closed form: the motion, and with it what depth and lens were wrong by.

Each step follows the mean of the slopes of both images, which doubles the reach and squares the convergence; the update
is zero where the images are equal.
Source: Benhimane and Malis, "Real-time image-based tracking of planes using efficient second-order minimization",
IROS 2004.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.geometry.camera import sample_at_pixels
from human3r.models.compact.camera.depth_belief import DepthBelief, JointEquations
from human3r.models.compact.camera.focal_belief import FocalEstimate
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
"""Least noise of grey values in [-1, 1]: two and a half steps of a byte."""
_PARALLAX_NOISE_PX = 0.5
"""Standard deviation of what a block of the belief is off in one frame for reasons that no depth explains, such as a
wrong focal length in a turn."""
_FREE_PARALLAX_PX = 20.0
"""Parallax (pixels per logarithm of the depth) from which on depth is as free as the belief says."""
_MIN_STIFFNESS = 4.0
"""The images' information on depth is less than their noise says: people's shadows move, edges lie between cells."""
_OUTLIER_GREY = 0.2
"""Difference of grey values in [-1, 1] that is as wrong as any."""


@dataclass(frozen=True)
class Target(TensorRecord):
    """The frame that a surface is aligned to, at one resolution."""

    picture: Tensor
    """``3 h w`` grey values and their slopes from ``picture``."""
    background: Tensor
    """``h' w'`` weight in [0, 1]; 0 where it shows people."""


@dataclass(frozen=True)
class DepthEstimate(TensorRecord):
    """Corrections of a surface that are being fitted to one frame."""

    belief: DepthBelief
    """What was known before the frame."""
    correction: Tensor
    """``C``, see ``DepthBelief``."""
    stiffness: Tensor
    """Scalar, see ``DepthBelief.solve``: while there is little parallax, free depth would let translations grow until
    they explain noise."""
    parallax: Tensor
    """Scalar, mean square of pixels per logarithm of the depth."""
    equations: JointEquations | None = None
    """Of the last step."""

    def absorbed(self) -> DepthBelief:
        """Return the belief after the frame."""
        return (
            self.belief
            if self.equations is None
            else self.belief.absorb(self.correction, self.equations, self.stiffness)
        )


@dataclass(frozen=True)
class Unknowns(TensorRecord):
    """What is fitted to a frame beside motion and light; None is taken for granted."""

    depth: DepthEstimate | None = None
    focal: FocalEstimate | None = None
    normal: Tensor | None = None
    """``K K`` equations of the last step, priors included, before depth is eliminated."""

    def eliminated(self) -> Tensor:
        """Return the equations of the last step without the depth."""
        assert self.normal is not None
        depth = self.depth
        if depth is None or depth.equations is None:
            return self.normal
        return depth.belief.eliminated(depth.equations, depth.stiffness)


@dataclass(frozen=True)
class _Step(TensorRecord):
    """What one look at both images says."""

    columns: Tensor
    """``N K`` change of the residual per motion, gain, bias and, last, logarithm of the focal length."""
    depth_column: Tensor
    """``N`` change of the residual per logarithm of the point's depth, negative."""
    residual: Tensor
    """``N`` grey values."""
    information: Tensor
    """``N``"""
    parallax: Tensor
    """``N`` squared pixels per logarithm of the point's depth."""


def picture(grey: Tensor, cell_px: float) -> Tensor:
    """Return ``3 h w``: grey values and their slopes per full-image pixel along (x, y)."""
    return torch.cat([grey[None], gradient(grey) / cell_px])


def gradient(image: Tensor) -> Tensor:
    """Return ``2 h w`` central differences along (x, y) per cell; one-sided at the border."""
    vertical, horizontal = torch.gradient(image)
    return torch.stack([horizontal, vertical])


def cauchy_weight(residual: Tensor, sigma: Tensor) -> Tensor:
    """Return the weight of Cauchy's estimator for residuals (any shape), in (0, 1]."""
    return 1 / (1 + (residual / (CAUCHY * sigma)).square())


def align_images(
    surface: Surface, target: Target, T_b_a: Tensor, lens: Lens, steps: int, stays: Tensor | None = None
) -> Tensor:
    """Fit a motion so that frame *b* shows at every point what frame *a* showed there.

    Args:
        surface: Points of frame *a*.
        target: Frame *b*.
        T_b_a: ``4 4`` start.
        lens: Intrinsics.
        steps: Gauss-Newton steps at most; a refinement that has settled ends earlier.
        stays: ``S 4 4`` values of ``T_b_a`` at which the camera may have stayed. Only for a motion that has nearly
            converged: from far away, every step would begin where the prior is strongest, and hardly move. Outliers
            then weigh nothing at all; before, they still guide.

    Returns:
        ``T_b_a``.
    """
    return align_jointly(surface, Unknowns(), target, T_b_a, lens, steps, stays)[0]


def align_jointly(
    surface: Surface,
    unknowns: Unknowns,
    target: Target,
    T_b_a: Tensor,
    lens: Lens,
    steps: int,
    stays: Tensor | None = None,
) -> tuple[Tensor, Unknowns]:
    """Fit a motion as ``align_images`` does, and with it depth and focal length, if given estimates to start from."""
    base = _visible_weight(surface, target, T_b_a, lens)
    cell_px = lens.image_size[0] / target.picture.shape[1]
    light = torch.stack([surface.grey.new_ones(()), surface.grey.new_zeros(())])
    T_a_stays = None if stays is None else torch.stack([inverse(T_stay_a) for T_stay_a in stays])
    depth, focal, normal = unknowns.depth, unknowns.focal, unknowns.normal
    block = None if depth is None else depth.belief.block_of(lens.project(surface.points)[0])
    for _ in range(steps):
        seen, through = (surface, lens) if focal is None else focal.focus(surface, lens)
        if depth is not None:
            seen = replace(seen, points=seen.points * depth.correction.exp()[block, None])
        look = _compare(seen, target, base, T_b_a, through, light, stays is not None, focal is not None)
        weighted = look.columns.T * look.information
        still = None if T_a_stays is None else twists_of(T_a_stays @ T_b_a)
        prior, pull = motion_prior(look.columns, still)
        normal, aim = weighted @ look.columns + torch.diag(prior), weighted @ look.residual + pull
        if focal is not None:
            normal, aim = focal.with_prior(normal, aim)
        if depth is None:
            step = torch.linalg.solve(normal, aim)
        else:
            assert block is not None
            equations = _depth_equations(look, depth.belief, block, normal, aim)
            step, correction = depth.belief.solve(depth.correction, equations, depth.stiffness)
            depth = replace(depth, correction=correction, equations=equations)
        T_b_a = T_b_a @ inverse(small_motion(step[:6]))
        light = light + step[6:8]
        focal = None if focal is None else focal.moved(step)
        if has_settled(step, surface, lens, cell_px):
            break
    return T_b_a, Unknowns(depth, focal, normal)


def start_depth(belief: DepthBelief, surface: Surface, T_b_a: Tensor, lens: Lens) -> DepthEstimate:
    """Return the estimate that a frame starts from, given a motion that is nearly right."""
    moved = transform(T_b_a, surface.points)
    square = _parallax(moved, T_b_a[:3, 3], lens).square().sum(0)
    mean = (surface.weight * square).sum() / surface.weight.sum().clamp(min=1e-6)
    mean = mean.detach().clamp(min=1e-4)
    return DepthEstimate(belief, belief.correction, _MIN_STIFFNESS * (1 + _FREE_PARALLAX_PX**2 / mean), mean)


def _parallax(moved: Tensor, translation: Tensor, lens: Lens) -> Tensor:
    """Return ``2 N`` pixels per logarithm of the depth that ``N 3`` points had before they moved.

    A point that goes farther along its ray moves against the translation, the less the farther it is.
    """
    x, y, z = moved.T
    z = z.clamp(min=NEAR_M)
    return torch.stack([x / z * translation[2] - translation[0], y / z * translation[2] - translation[1]]) * (
        lens.focal_px / z
    )


def _focal_flow(surface: Surface, moved: Tensor, T_b_a: Tensor, lens: Lens) -> Tensor:
    """Return ``2 N`` pixels per logarithm of the focal length, surfaces being stretched with it (``stretched``)."""
    x, y, z = moved.T
    z = z.clamp(min=NEAR_M)
    farther = T_b_a[:3, 2:3] * surface.points[:, 2]
    off = torch.stack([x, y]) / z
    return (off + (farther[:2] - off * farther[2]) / z) * lens.focal_px


def _depth_equations(look: _Step, belief: DepthBelief, block: Tensor, normal: Tensor, aim: Tensor) -> JointEquations:
    """Join the equations of motion (``normal``, ``aim``) and corrections."""
    information = look.information * look.depth_column
    own = [information * look.depth_column, -information * look.residual]
    sums = torch.stack([*own, look.information * look.parallax, look.information])
    sums = belief.sum_by_block(block, torch.cat([sums, -information * look.columns.T]).T)
    gained, push, parallax, weight = sums[:, :4].T
    return JointEquations(
        normal=normal,
        aim=aim,
        coupling=sums[:, 4:],
        gained=gained,
        push=push,
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
    light: Tensor,
    is_strict: bool,
    with_focal: bool,
) -> _Step:
    """Compare grey values at a motion; ``light`` is (gain, bias) of frame *b* over frame *a*."""
    moved = transform(T_b_a, surface.points)
    pixels, inside = lens.project(moved)
    seen = sample_at_pixels(target.picture, pixels, lens.image_size).T
    residual = seen[0] - light[0] * surface.grey - light[1]
    # Between near frames, slopes differ by the roll alone.
    R = T_b_a[:2, :2]
    slope_x, slope_y = 0.5 * (surface.slope.T + R.T @ seen[1:])
    along_x, along_y = point_jacobian(surface.points, lens.focal_px).permute(1, 2, 0)
    columns = torch.cat([slope_x * along_x + slope_y * along_y, surface.grey[None], torch.ones_like(seen[:1])]).T
    move_x, move_y = _parallax(moved, T_b_a[:3, 3], lens)
    turned_x, turned_y = R @ torch.stack([slope_x, slope_y])
    if with_focal:
        along_x, along_y = _focal_flow(surface, moved, T_b_a, lens)
        columns = torch.cat([columns.T, -(turned_x * along_x + turned_y * along_y)[None]]).T
    weight = base * inside
    sigma = robust_sigma(residual, weight, _MIN_SIGMA)
    weight = weight * (tukey_weight if is_strict else cauchy_weight)(residual.detach(), sigma)
    information = weight / (CORRELATION * sigma.square())
    depth_column = turned_x * move_x + turned_y * move_y
    parallax = move_x.square() + move_y.square()
    return _Step(columns, depth_column, residual, information, parallax)


def misfit(surface: Surface, target: Target, T_b_a: Tensor, lens: Lens) -> Tensor:
    """Return the mean robust difference of grey values under a motion, in [0, 1.25].

    Weight that leaves the image costs a quarter of an outlier: less, and motions would flee the picture; more, and no
    turning camera would ever seem to turn.
    """
    pixels, inside = lens.project(transform(T_b_a, surface.points))
    weight = surface.weight * sample_at_pixels(target.background[None], pixels, lens.image_size)[:, 0]
    kept = weight * inside
    total, inside_total = weight.sum().clamp(min=1e-6), kept.sum().clamp(min=1e-6)
    residual = sample_at_pixels(target.picture[:1], pixels, lens.image_size)[:, 0] - surface.grey
    mean = (residual * kept).sum() / inside_total
    cost = ((residual - mean).abs() / _OUTLIER_GREY).clamp(max=1.0)
    return (cost * kept).sum() / inside_total + 0.25 * (1 - kept.sum() / total)
