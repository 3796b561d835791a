"""Camera motion between two frames from one depth map by Gauss-Newton: lens, surface, priors and feature matches.

Differentiable, with bounded iterations. Photometric alignment is in ``alignment.py``.
Points are ``N 3`` but stored by coordinate: operations over contiguous rows take a third of the time.
Sources: Baker and Matthews, "Lucas-Kanade 20 years on" (2004); iteratively re-weighted least squares with
Tukey's biweight: Holland and Welsch (1977).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from human3r.records import TensorRecord

TUKEY = 4.685
"""95 % efficiency on Gaussian noise. Source: Holland and Welsch (1977)."""
_TO_SIGMA = 1.4826
"""Standard deviation over median absolute deviation of a Gaussian."""
_MIN_SIGMA_PX = 0.15
_TEMPERATURE = 0.04
"""Of the softmax over a window of feature similarities in [-1, 1]."""
_LOOSE_RAD, _LOOSE_M = 0.2, 0.5
"""Prior of a single step, which keeps the camera at rest on textureless images."""
_REST_RAD, _REST_M = 0.001, 0.005
"""Core of the heavy-tailed prior of a camera at rest; for a moving camera its weight vanishes."""
_SETTLED = 0.01
"""Steps that move the image by less than this share of a cell end a refinement."""
NEAR_M = 0.05
"""Points nearer to the camera, or behind it, are invisible."""
CORRELATION = 40.0
"""Pixels per independent measurement: neighbors share texture, codec blocks and depth errors."""


@dataclass(frozen=True)
class Surface(TensorRecord):
    """N points of one frame with their gray values."""

    points: Tensor
    """``N 3`` meters, camera frame of that frame."""
    gray: Tensor
    """``N`` in [-1, 1]."""
    slope: Tensor
    """``N 2`` gray values per pixel of the full image, along (x, y)."""
    weight: Tensor
    """``N`` in [0, 1]; 0 for people and for depth edges."""

    def by_coordinate(self) -> Surface:
        """Return the same in the fast layout; in another layout, products differ in the last bit."""
        return replace(self, points=self.points.T.contiguous().T, slope=self.slope.T.contiguous().T)


@dataclass(frozen=True)
class Lens(TensorRecord):
    """Pinhole camera of both frames."""

    focal_px: Tensor
    """Scalar, pixels of the full image."""
    center_px: Tensor
    """``2`` (x, y)."""
    image_size: tuple[int, int]
    """(height, width), pixels of the full image."""

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``N 2`` pixels and whether each is in front of the camera and inside the image."""
        depth = points[:, 2]
        rows = points.T[:2] * (self.focal_px / depth.clamp(min=NEAR_M)) + self.center_px[:, None]
        height, width = self.image_size
        x, y = rows
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1) & (depth > NEAR_M)
        return rows.T, inside


def transform(T_a_b: Tensor, points_b: Tensor) -> Tensor:
    """Return ``N 3`` points of frame *b* in frame *a*."""
    return torch.addmm(T_a_b[:3, 3:], T_a_b[:3, :3], points_b.T).T


def small_motion(twist: Tensor) -> Tensor:
    """Return the ``4 4`` motion of a ``6`` twist (rotation vector, translation) by Rodrigues' formula."""
    rotation, translation = twist[:3], twist[3:]
    eye = torch.eye(4, dtype=twist.dtype, device=twist.device)
    skew = torch.linalg.cross(eye[:3, :3], rotation.expand(3, 3))
    # The offset keeps the root differentiable at rest.
    angle = (rotation.square().sum() + 1e-24).sqrt() / math.pi
    turned = eye[:3, :3] + angle.sinc() * skew + 0.5 * (0.5 * angle).sinc().square() * (skew @ skew)
    # Out of place: gradients flow through both blocks.
    return torch.cat([torch.cat([turned, translation[:, None]], dim=1), eye[3:]])


def inverse(T_a_b: Tensor) -> Tensor:
    """Return ``T_b_a``."""
    R_b_a = T_a_b[:3, :3].T
    top = torch.cat([R_b_a, -(R_b_a @ T_a_b[:3, 3])[:, None]], dim=1)
    return torch.cat([top, T_a_b[3:]])


def orthonormal(T_a_b: Tensor) -> Tensor:
    """Project the rotation of a ``4 4`` motion back to SO(3) by one Newton step to the polar factor.

    ``inverse`` transposes, so rounding errors would otherwise grow exponentially over a clip.
    """
    R_a_b = T_a_b[:3, :3]
    rotation = 1.5 * R_a_b - 0.5 * R_a_b @ R_a_b.T @ R_a_b
    return torch.cat([torch.cat([rotation, T_a_b[:3, 3:]], dim=1), T_a_b[3:]])


def tukey_weight(residual: Tensor, sigma: Tensor) -> Tensor:
    """Return the biweight of residuals (any shape) in [0, 1]."""
    return (1 - (residual / (TUKEY * sigma)).square()).clamp(min=0).square()


def robust_sigma(residual: Tensor, weight: Tensor, least: float) -> Tensor:
    """Return 1.48 times the median of the absolute residuals with weight."""
    chosen = residual.detach().abs()[weight > 0.05]
    if chosen.numel() == 0:
        return residual.new_tensor(least)
    return (_TO_SIGMA * chosen.median()).clamp(min=least)


def point_jacobian(points: Tensor, focal_px: Tensor) -> Tensor:
    """Return ``N 2 6``: pixels per small motion (rotation vector, translation) applied to the points."""
    x, y, z = points.unbind(-1)
    inverse_z = 1 / z.clamp(min=NEAR_M)
    x, y, zero = x * inverse_z, y * inverse_z, torch.zeros_like(x)
    product = x * y
    along_x = [-product, 1 + x.square(), -y, inverse_z, zero, -x * inverse_z]
    along_y = [-1 - y.square(), product, x, zero, inverse_z, -y * inverse_z]
    return (focal_px * torch.stack(along_x + along_y)).unflatten(0, (2, 6)).permute(2, 0, 1)


def twists_of(motions: Tensor) -> Tensor:
    """Return the ``S 6`` twists of ``S 4 4`` motions; inverse of ``small_motion`` for small angles."""
    skew = motions[:, :3, :3] - motions[:, :3, :3].transpose(1, 2)
    # sin(angle) times the axis: exact enough for a prior that vanishes beyond a fraction of a degree.
    return torch.cat([0.5 * skew[:, (2, 0, 1), (1, 2, 0)], motions[:, :3, 3]], dim=1)


def rest_information(deviations: Tensor) -> Tensor:
    """Return the ``S 6`` weights of a Cauchy prior on ``S 6`` twists."""
    squares = deviations.detach().square().unflatten(1, (2, 3)).sum(-1)
    core = squares.new_tensor([_REST_RAD**2, _REST_M**2])
    return (1 / (core + squares)).repeat_interleave(3, dim=1)


def motion_prior(jacobian: Tensor, rest_twists: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the ``K`` diagonal of the prior's information on a step, and its ``K`` right-hand side.

    The first six columns of ``jacobian`` (``M K``) are a motion, others have no prior. ``rest_twists`` are the ``S 6``
    twists from poses at which the camera may have rested.
    """
    free = jacobian.shape[1] - 6
    prior = jacobian.new_tensor([1 / _LOOSE_RAD**2] * 3 + [1 / _LOOSE_M**2] * 3 + [1e-6] * free)
    if rest_twists is None:
        return prior, torch.zeros_like(prior)
    strength = rest_information(rest_twists)
    return prior + functional.pad(strength.sum(0), (0, free)), functional.pad(
        (strength * rest_twists).sum(0), (0, free)
    )


def has_settled(step: Tensor, surface: Surface, lens: Lens, cell_px: float) -> bool:
    """Test whether a step (``6`` or more) moves the image by less than ``_SETTLED`` cells of ``cell_px`` pixels."""
    turn, shift = torch.linalg.vector_norm(step.detach()[:6].view(2, 3), dim=1)
    motion_px = (turn + shift / surface.points[:, 2].detach().mean()) * lens.focal_px.detach()
    return bool(motion_px < _SETTLED * cell_px)


def align_matches(
    surface: Surface, targets: Tensor, trust: Tensor, T_b_a: Tensor, lens: Lens, steps: int, cell_px: float = 1.0
) -> Tensor:
    """Return ``T_b_a`` fitted to matches by robust reprojection.

    Args:
        surface: Points of frame *a*.
        targets: ``N 2`` matched pixels of frame *b*.
        trust: ``N`` weights of the matches.
        T_b_a: ``4 4`` initial value.
        lens: Intrinsics.
        steps: Maximum of Gauss-Newton steps; a settled refinement ends earlier.
        cell_px: Pixels between the matched cells.
    """
    trusted = surface.weight * trust
    for _ in range(steps):
        moved = transform(T_b_a, surface.points)
        pixels, inside = lens.project(moved)
        residual = targets - pixels
        distance = torch.linalg.vector_norm(residual, dim=-1)
        weight = trusted * inside
        sigma = robust_sigma(distance, weight, _MIN_SIGMA_PX)
        weight = weight * tukey_weight(distance.detach(), sigma)
        jacobian = point_jacobian(moved, lens.focal_px).permute(2, 1, 0).flatten(1).T
        weighted = jacobian.T * (weight.repeat(2) / (CORRELATION * sigma.square()))
        prior, prior_rhs = motion_prior(jacobian, None)
        hessian, rhs = weighted @ jacobian + torch.diag(prior), weighted @ residual.T.flatten() + prior_rhs
        step = torch.linalg.solve(hessian, rhs)
        T_b_a = small_motion(step) @ T_b_a
        if has_settled(step, surface, lens, cell_px):
            break
    return T_b_a


def match_features(
    features_a: Tensor, features_b: Tensor, pixels: Tensor, radius: int, stride_px: int
) -> tuple[Tensor, Tensor]:
    """Match each cell of frame *a* within a window around a predicted place in frame *b*.

    Args:
        features_a: ``C h w``, unit length per cell.
        features_b: ``C h w``.
        pixels: ``h*w 2`` predicted full-image pixels of the cells of frame *a*.
        radius: Half side of the window, cells.
        stride_px: Pixels per cell.

    Returns:
        ``h*w 2`` expected pixels, and ``h*w`` weights in [0, 1], the probability mass at the peak.
    """
    rows, columns = features_a.shape[1:]
    similarity = features_a.flatten(1).T @ features_b.flatten(1)
    offsets = torch.arange(-radius, radius + 1, device=pixels.device)
    center = ((pixels + 0.5) / stride_px - 0.5).round().long()
    # Rows and columns of a window separately: one plane of indices instead of pairs.
    x, y = center[:, :1] + offsets, center[:, 1:] + offsets
    inside_x, inside_y = (x >= 0) & (x < columns), (y >= 0) & (y < rows)
    index = (y.clamp(0, rows - 1) * columns)[:, :, None] + x.clamp(0, columns - 1)[:, None]
    outside = ~(inside_y[:, :, None] & inside_x[:, None])
    window = similarity.gather(1, index.flatten(1)).masked_fill(outside.flatten(1), -1e4 * _TEMPERATURE)
    probability = (window / _TEMPERATURE).softmax(dim=1)
    best = probability.argmax(1, keepdim=True)
    # Mean around the peak only: a second peak would move it to a place between both.
    side = len(offsets)
    places = torch.arange(side, device=pixels.device)
    near_x = ((places - best % side).abs() <= 1).to(probability.dtype)
    near_y = ((places - best // side).abs() <= 1).to(probability.dtype)
    probability = probability.unflatten(1, (side, side))
    by_x = (near_y[:, None] @ probability)[:, 0] * near_x
    by_y = (probability @ near_x[..., None])[..., 0] * near_y
    mass = by_x.sum(1)
    expected = torch.stack([(x * by_x).sum(1), (y * by_y).sum(1)], dim=1) / mass.clamp(min=1e-6)[:, None]
    return (expected + 0.5) * stride_px - 0.5, mass * (inside_x.any(1) & inside_y.any(1))
