"""Camera motion between two frames from one depth map, in closed form: the solvers of the compact camera head.

Two steps, both differentiable and made of a fixed number of iterations: robust Gauss-Newton on the reprojection of soft
feature matches, then inverse compositional image alignment, whose update is zero where the images are equal.
Sources: Baker and Matthews, "Lucas-Kanade 20 years on" (2004), sec. 3.2; iteratively re-weighted least squares with
Tukey's biweight: Holland and Welsch (1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from torch import Tensor
from torch.nn import functional

from human3r.records import TensorRecord

TUKEY = 4.685
"""95 % efficiency on Gaussian noise. Source: Holland and Welsch (1977)."""
_TO_SIGMA = 1.4826
"""Standard deviation over median absolute deviation of a Gaussian."""
_MIN_SIGMA = 0.006
"""Least noise of grey values in [-1, 1]: three quarters of a byte's step."""
_MIN_SIGMA_PX = 0.15
_OUTLIER_GREY = 0.2
"""Difference of grey values in [-1, 1] that is as wrong as any."""
_LOOSE_RAD, _LOOSE_M = 0.2, 0.5
"""Prior of any single step: keeps a textureless picture from moving the camera at all."""
_STILL_RAD, _STILL_M = 0.001, 0.005
"""Core of the heavy-tailed prior of standing still: most hand-free cameras do not move, and moving ones leave the core
at once, where the prior has no force."""
_CORRELATION = 40.0
"""Pixels per independent measurement: neighbours share texture, blocks of the codec and errors of the depth."""


@dataclass(frozen=True)
class Surface(TensorRecord):
    """N points that one frame saw, with what it saw there."""

    points: Tensor
    """``N 3`` metres, camera frame of that frame."""
    grey: Tensor
    """``N`` in [-1, 1]."""
    slope: Tensor
    """``N 2`` grey values per pixel of the full image, along (x, y)."""
    weight: Tensor
    """``N`` in [0, 1]; 0 for people and for depth edges."""


@dataclass(frozen=True)
class Lens(TensorRecord):
    """A pinhole that both frames share."""

    focal_px: Tensor
    """Scalar, pixels of the full image."""
    center_px: Tensor
    """``2`` (x, y)."""
    image_size: tuple[int, int]
    """(height, width), pixels of the full image."""

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``N 2`` pixels and whether each is in front of the camera and inside the image."""
        depth = points[:, 2:].clamp(min=0.05)
        pixels = points[:, :2] / depth * self.focal_px + self.center_px
        height, width = self.image_size
        limit = pixels.new_tensor([width - 1.0, height - 1.0])
        inside = ((pixels >= 0) & (pixels <= limit)).all(-1) & (points[:, 2] > 0.05)
        return pixels, inside


def transform(T_a_b: Tensor, points_b: Tensor) -> Tensor:
    """Return ``N 3`` points of frame *b* in frame *a*."""
    return points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3]


def small_motion(twist: Tensor) -> Tensor:
    """Return the ``4 4`` motion of a ``6`` vector (rotation vector, translation)."""
    motion = torch.eye(4, dtype=twist.dtype, device=twist.device)
    # Out of place: gradients flow through both blocks.
    top = torch.cat([roma.rotvec_to_rotmat(twist[:3]), twist[3:, None]], dim=1)
    return torch.cat([top, motion[3:]])


def inverse(T_a_b: Tensor) -> Tensor:
    """Return ``T_b_a``."""
    R_b_a = T_a_b[:3, :3].T
    top = torch.cat([R_b_a, -(R_b_a @ T_a_b[:3, 3])[:, None]], dim=1)
    return torch.cat([top, T_a_b[3:]])


def sample(maps: Tensor, pixels: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Sample ``C h w`` maps that cover the image at ``N 2`` full-image pixels; returns ``N C``."""
    height, width = image_size
    scale = pixels.new_tensor([2.0 / width, 2.0 / height])
    grid = ((pixels + 0.5) * scale - 1.0)[None, :, None]
    return functional.grid_sample(maps[None], grid, align_corners=False, padding_mode="border")[0, :, :, 0].T


def tukey_weight(residual: Tensor, sigma: Tensor) -> Tensor:
    """Return the biweight of residuals (any shape) in [0, 1]."""
    return (1 - (residual / (TUKEY * sigma)).square()).clamp(min=0).square()


def robust_sigma(residual: Tensor, weight: Tensor, least: float) -> Tensor:
    """Return 1.48 times the median of the absolute residuals that have weight."""
    chosen = residual.detach().abs()[weight > 0.05]
    if chosen.numel() == 0:
        return residual.new_tensor(least)
    return (_TO_SIGMA * chosen.median()).clamp(min=least)


def point_jacobian(points: Tensor, focal_px: Tensor) -> Tensor:
    """Return ``N 2 6``: pixels per small motion (rotation vector, translation) applied to the points."""
    x, y, z = points.unbind(-1)
    inverse_z = focal_px / z.clamp(min=0.05)
    zero = torch.zeros_like(x)
    along_point = torch.stack(
        [inverse_z, zero, -x / z * inverse_z, zero, inverse_z, -y / z * inverse_z], dim=-1
    ).unflatten(-1, (2, 3))
    # d(w x X + v): minus the cross-product matrix of X, and the identity.
    cross = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.cat([along_point @ cross, along_point], dim=-1)


def still_information(deviation: Tensor) -> Tensor:
    """Return the ``6`` weights of a Cauchy prior on a ``6`` twist: strong at rest, vanishing in motion."""
    rotation = 1 / (_STILL_RAD**2 + deviation[:3].detach().square().sum())
    translation = 1 / (_STILL_M**2 + deviation[3:].detach().square().sum())
    return torch.cat([rotation.expand(3), translation.expand(3)])


def twist_of(motion: Tensor) -> Tensor:
    """Return the ``6`` vector (rotation vector, translation) of a ``4 4`` motion; undoes ``small_motion``."""
    skew = motion[:3, :3] - motion[:3, :3].T
    # sin(angle) times the axis: exact enough for a prior that has no force beyond a fraction of a degree.
    rotation = 0.5 * torch.stack([skew[2, 1], skew[0, 2], skew[1, 0]])
    return torch.cat([rotation, motion[:3, 3]])


def solve_motion(
    jacobian: Tensor, residual: Tensor, weight: Tensor, sigma: Tensor, still: tuple[Tensor, ...] = ()
) -> Tensor:
    """Solve one damped, weighted Gauss-Newton step.

    Args:
        jacobian: ``M K``; the first six columns are a motion, others (brightness) have no prior.
        residual: ``M``.
        weight: ``M``.
        sigma: Scalar noise of the residual.
        still: ``6`` twists by which the estimate is away from poses where the camera may have stayed.

    Returns:
        ``K`` step.
    """
    information = weight / (_CORRELATION * sigma.square())
    weighted = jacobian * information[:, None]
    prior = jacobian.new_full((jacobian.shape[1],), 1e-6)
    prior[:3] = 1 / _LOOSE_RAD**2
    prior[3:6] = 1 / _LOOSE_M**2
    target = weighted.T @ residual
    for deviation in still:
        strength = functional.pad(still_information(deviation), (0, jacobian.shape[1] - 6))
        prior = prior + strength
        target = target + strength * functional.pad(deviation, (0, jacobian.shape[1] - 6))
    return torch.linalg.solve(weighted.T @ jacobian + torch.diag(prior), target)


def align_matches(surface: Surface, targets: Tensor, trust: Tensor, T_b_a: Tensor, lens: Lens, steps: int) -> Tensor:
    """Fit a motion to matches by robust reprojection.

    Args:
        surface: Points of frame *a*.
        targets: ``N 2`` pixels of frame *b* where they were found.
        trust: ``N`` weights of the matches.
        T_b_a: ``4 4`` start.
        lens: Intrinsics.
        steps: Gauss-Newton steps.

    Returns:
        ``T_b_a``.
    """
    for _ in range(steps):
        moved = transform(T_b_a, surface.points)
        pixels, inside = lens.project(moved)
        residual = targets - pixels
        distance = torch.linalg.vector_norm(residual, dim=-1)
        weight = surface.weight * trust * inside
        sigma = robust_sigma(distance, weight, _MIN_SIGMA_PX)
        weight = weight * tukey_weight(distance.detach(), sigma)
        jacobian = point_jacobian(moved, lens.focal_px)
        step = solve_motion(jacobian.flatten(0, 1), residual.flatten(), weight.repeat_interleave(2), sigma)
        T_b_a = small_motion(step) @ T_b_a
    return T_b_a


def align_images(
    surface: Surface,
    grey_b: Tensor,
    background_b: Tensor,
    T_b_a: Tensor,
    lens: Lens,
    steps: int,
    T_before_a: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Fit a motion so that frame *b* shows at every point what frame *a* showed there.

    Args:
        surface: Points of frame *a*.
        grey_b: ``h w`` grey image of frame *b*, any resolution.
        background_b: ``h' w'`` weight in [0, 1]; 0 where frame *b* shows people.
        T_b_a: ``4 4`` start.
        lens: Intrinsics.
        steps: Gauss-Newton steps.
        T_before_a: ``4 4`` where the camera was before; it may have stayed there, or still be at frame *a*.

    Returns:
        ``T_b_a``, and the share of the weight that agrees with it.
    """
    columns = torch.cat(
        [(surface.slope[:, None] @ point_jacobian(surface.points, lens.focal_px))[:, 0],
         surface.grey[:, None], torch.ones_like(surface.grey)[:, None]], dim=-1,
    )  # fmt: skip
    pixels, _ = lens.project(transform(T_b_a, surface.points))
    base = surface.weight * sample(background_b[None], pixels, lens.image_size)[:, 0]
    gain, bias = surface.grey.new_ones(()), surface.grey.new_zeros(())
    T_a_before = inverse(T_b_a if T_before_a is None else T_before_a)
    agreement = surface.grey.new_zeros(())
    for _ in range(steps):
        pixels, inside = lens.project(transform(T_b_a, surface.points))
        residual = sample(grey_b[None], pixels, lens.image_size)[:, 0] - gain * surface.grey - bias
        weight = base * inside
        sigma = robust_sigma(residual, weight, _MIN_SIGMA)
        robust = tukey_weight(residual.detach(), sigma)
        agreement = (weight * robust).sum() / weight.sum().clamp(min=1e-6)
        still = (twist_of(T_b_a), twist_of(T_a_before @ T_b_a))
        step = solve_motion(columns, residual, weight * robust, sigma, still)
        T_b_a = T_b_a @ inverse(small_motion(step[:6]))
        gain, bias = gain + step[6], bias + step[7]
    return T_b_a, agreement


def misfit(surface: Surface, grey_b: Tensor, background_b: Tensor, T_b_a: Tensor, lens: Lens) -> Tensor:
    """Return the mean robust difference of grey values under a motion, in [0, 1.25].

    Weight that leaves the image costs a quarter of an outlier: less, and motions would flee the picture; more, and no
    turning camera would ever seem to turn.
    """
    pixels, inside = lens.project(transform(T_b_a, surface.points))
    weight = surface.weight * sample(background_b[None], pixels, lens.image_size)[:, 0]
    kept = weight * inside
    total, inside_total = weight.sum().clamp(min=1e-6), kept.sum().clamp(min=1e-6)
    residual = sample(grey_b[None], pixels, lens.image_size)[:, 0] - surface.grey
    mean = (residual * kept).sum() / inside_total
    cost = ((residual - mean).abs() / _OUTLIER_GREY).clamp(max=1.0)
    return (cost * kept).sum() / inside_total + 0.25 * (1 - kept.sum() / total)


def match_features(
    features_a: Tensor, features_b: Tensor, pixels: Tensor, radius: int, stride_px: int
) -> tuple[Tensor, Tensor]:
    """Find where each cell of frame *a* went, near a predicted place.

    One product of all cells with all cells, then a gather of each window.

    Args:
        features_a: ``C h w``, unit length per cell.
        features_b: ``C h w``.
        pixels: ``h*w 2`` predicted full-image pixels of the cells of frame *a*.
        radius: Half side of the window, cells.
        stride_px: Pixels per cell.

    Returns:
        ``h*w 2`` expected pixels, and ``h*w`` trust in [0, 1]: how peaked the window is.
    """
    rows, columns = features_a.shape[1:]
    similarity = features_a.flatten(1).T @ features_b.flatten(1)
    offsets = torch.arange(-radius, radius + 1, device=pixels.device)
    shift = torch.stack(torch.meshgrid(offsets, offsets, indexing="xy"), dim=-1).reshape(-1, 2)
    center = ((pixels + 0.5) / stride_px - 0.5).round().long()
    cells = center[:, None] + shift
    limit = torch.tensor([columns - 1, rows - 1], device=pixels.device)
    inside = ((cells >= 0) & (cells <= limit)).all(-1)
    clipped = torch.minimum(cells.clamp(min=0), limit)
    window = similarity.gather(1, clipped[..., 1] * columns + clipped[..., 0])
    probability = (window / 0.04).masked_fill(~inside, -1e4).softmax(dim=1)
    # Refine around the peak only: far second peaks would pull the mean to a place where nothing is.
    best = cells.gather(1, probability.argmax(1)[:, None, None].expand(-1, 1, 2))
    near = ((cells - best).abs() <= 1).all(-1)
    local = probability * near
    mass = local.sum(1)
    expected = (cells * local[..., None]).sum(1) / mass.clamp(min=1e-6)[:, None]
    return (expected + 0.5) * stride_px - 0.5, mass * inside.any(1)
