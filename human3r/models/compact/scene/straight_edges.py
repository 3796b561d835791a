"""Likelihood of focal lengths from the straight edges of one image, under the Manhattan-world assumption.

Edges along three orthogonal directions meet in three vanishing points, whose possible positions depend on the focal
length. Every edge pixel is an independent measurement; edges are not linked to lines.
Sources: Coughlan and Yuille, "Manhattan world: compass direction from a single image by Bayesian inference", ICCV 1999;
with the focal length as a further unknown: Deutscher, Isard and MacCormick, "Automatic camera calibration from a single
Manhattan image", ECCV 2002.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.models.compact.convnets.convolution import maximum_filter
from human3r.records import TensorRecord

MAX_LOG_RATIO = 0.75
"""Bound on the log ratio of focal lengths to the reference: 31 to 101 degrees for a reference of 60."""
_NUM_FOCALS = 15
_NUM_EDGES, _NUM_SEARCHED, _NUM_FITTED = 1500, 200, 500
"""Edges in the final likelihood, in the grid search over rotations, and in their refinement."""
_SEARCH_EVERY = 5
"""Focal lengths that share a grid search, done for the middle one; divides their number."""
_MIN_EDGES = 60
_SMOOTHING_PX, _WINDOW_PX = 0.8, 3.0
"""Standard deviations of the Gaussians before the gradient, and over the structure tensor."""
_MIN_COHERENCE = 0.85
"""Of the structure tensor: 0 is isotropic, 1 a single direction."""
_MIN_SLOPE, _MAX_SLOPE = 2 / 127.5, 20 / 127.5
"""Gray values in [-1, 1] per pixel: smaller slopes are noise, larger ones are clamped."""
_MASK_GROWTH_PX, _MAX_PERSON = 4, 0.3
"""Borders of person masks are soft, and clothes have edges."""
_BORDER_PX = 4
"""Margin in which the image border affects directions."""
_COARSE_SIGMA, _SIGMA = 0.06, 0.03
"""Error of a direction, radians, of the first and the last step; .02 and .04 were worse on held-out renders."""
_DIRECTION_SHARE = 0.23
"""Share of the edges along each of the three directions; .15 was worse, .28 equal."""
_ROLL_DEG, _PITCH_DEG, _YAW_DEG = range(-16, 17, 8), range(-48, 49, 8), [7.5 * step for step in range(12)]
"""Grid of rotations: cameras are upright to about 20 degrees, and look up or down by up to 50."""
_NUM_STARTS = 3
_NUM_STEPS = 6
_MAX_STEP_RAD = 0.15
_STIFFNESS = 1e-3
"""Damping of a rotation, per edge, for directions without edges."""
_OUTLIER_DENSITY = (1 - 3 * _DIRECTION_SHARE) / math.pi
"""Density of edges along none of the directions, per radian."""


@dataclass(frozen=True)
class Edges(TensorRecord):
    """N edge pixels of one image."""

    position_px: Tensor
    """``N 2`` (x, y) from the principal point."""
    normal: Tensor
    """``N 2`` unit vector across the edge."""

    def __len__(self) -> int:
        return self.position_px.shape[0]


def find_edges(gray: Tensor, person_mask: Tensor, center_px: Tensor) -> Edges:
    """Return the steepest edge pixels of ``H W`` gray values in [-1, 1] outside of people, in descending order."""
    gray = _smoothed(gray, _SMOOTHING_PX)
    slope_x, slope_y = torch.zeros_like(gray), torch.zeros_like(gray)
    slope_x[:, 1:-1] = (gray[:, 2:] - gray[:, :-2]) / 2
    slope_y[1:-1] = (gray[2:] - gray[:-2]) / 2
    xx, yy, xy = (_smoothed(product, _WINDOW_PX) for product in (slope_x**2, slope_y**2, slope_x * slope_y))
    spread = torch.hypot(xx - yy, 2 * xy)
    steepness = torch.hypot(slope_x, slope_y)
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)
    normal = torch.stack([angle.cos(), angle.sin()])
    is_edge = (spread > _MIN_COHERENCE * (xx + yy)) & (steepness > _MIN_SLOPE) & _is_crest(steepness, normal)
    is_edge &= maximum_filter(person_mask, _MASK_GROWTH_PX) < _MAX_PERSON
    inside = torch.zeros_like(is_edge)
    inside[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = True
    clarity = torch.where(is_edge & inside, steepness.clamp(max=_MAX_SLOPE), 0.0)
    best, index = clarity.flatten().topk(min(_NUM_EDGES, clarity.numel()))
    index, columns = index[best > 0], gray.shape[1]
    position = torch.stack([index % columns, index // columns], dim=-1) - center_px
    return Edges(position, normal.flatten(1).T[index])


def focal_evidence(edges: Edges, focal_px: Tensor) -> Tensor:
    """Return the ``F`` log likelihoods of the focal lengths of ``log_focals``, relative to the scalar ``focal_px``.

    For each focal length the rotation of the three directions is optimized: by grid search, then by expectation
    maximization over the assignment of edges to directions. Too few edges give zeros.
    """
    focals = focal_px * log_focals(focal_px).exp()
    if len(edges) < _MIN_EDGES:
        return torch.zeros_like(focals)
    rotations = _search(edges, focals)
    focals = focals.repeat_interleave(_NUM_STARTS)
    rotations = rotations.flatten(0, 1)
    sparse = _thinned(edges, _NUM_FITTED)
    for step in range(_NUM_STEPS):
        share = min(1.0, step / (0.6 * _NUM_STEPS))
        rotations = _refined(rotations, focals, sparse, _COARSE_SIGMA * (_SIGMA / _COARSE_SIGMA) ** share)
    likelihood = _log_likelihood(_residuals(rotations, focals, edges).sine, _SIGMA)
    return likelihood.sum(-1).view(_NUM_FOCALS, _NUM_STARTS).amax(1)


def log_focals(like: Tensor) -> Tensor:
    """Return the ``F`` log ratios of the evaluated focal lengths to the reference."""
    return torch.linspace(-MAX_LOG_RATIO, MAX_LOG_RATIO, _NUM_FOCALS, dtype=like.dtype, device=like.device)


def _search(edges: Edges, focals: Tensor) -> Tensor:
    """Return the ``F S 3 3`` best rotations of the grid for every focal length."""
    rotations = _rotation_grid(focals)
    sparse = _thinned(edges, _NUM_SEARCHED)
    found = []
    for focal in focals[_SEARCH_EVERY // 2 :: _SEARCH_EVERY]:
        sine = _residuals(rotations, focal.expand(len(rotations)), sparse).sine
        total = _log_likelihood(sine, _COARSE_SIGMA).sum(-1)
        found.append(rotations[total.topk(_NUM_STARTS).indices])
    return torch.stack(found).repeat_interleave(_SEARCH_EVERY, dim=0)


def _thinned(edges: Edges, count: int) -> Edges:
    """Return about ``count`` of the edges, evenly spaced in their order."""
    return edges.map(lambda values: values[:: max(1, len(values) // count)])


def _refined(rotations: Tensor, focals: Tensor, edges: Edges, sigma: float) -> Tensor:
    """Return ``B 3 3`` rotations after one step of expectation maximization."""
    residuals = _residuals(rotations, focals, edges)
    own = _DIRECTION_SHARE / (sigma * math.sqrt(2 * math.pi)) * _gaussian(residuals.sine, sigma)
    probability = own / (own.sum(1, keepdim=True) + _OUTLIER_DENSITY)
    # A rotation w moves a direction d by w x d, and a function of d by w (d x gradient).
    gradient = residuals.gradient(focals, edges)
    jacobian = torch.linalg.cross(rotations.mT[:, :, None].expand_as(gradient), gradient).flatten(1, 2)
    weighted = jacobian * probability.flatten(1)[..., None]
    hessian = weighted.mT @ jacobian + _STIFFNESS * len(edges) * torch.eye(3).to(rotations)
    step = torch.linalg.solve(hessian, (weighted * residuals.sine.flatten(1)[..., None]).sum(1))
    return rotation_from_axis_angle(-step.clamp(-_MAX_STEP_RAD, _MAX_STEP_RAD)) @ rotations


@dataclass(frozen=True)
class _Residuals(TensorRecord):
    """Deviations of ``N`` edges from each direction; ``B 3 N`` each."""

    towards_x: Tensor
    """Vector from the edge to the vanishing point of the direction, up to scale."""
    towards_y: Tensor
    length: Tensor
    sine: Tensor
    """Of the angle between that vector and the edge."""

    def gradient(self, focals: Tensor, edges: Edges) -> Tensor:
        """Return the ``B 3 N 3`` derivative of the sine by the direction."""
        x, y = edges.position_px.unbind(-1)
        slope_x, slope_y = (
            (across - self.sine * toward / self.length) / self.length
            for across, toward in zip(edges.normal.unbind(-1), (self.towards_x, self.towards_y), strict=True)
        )
        focal = focals[:, None, None]
        return torch.stack([focal * slope_x, focal * slope_y, -(slope_x * x + slope_y * y)], dim=-1)


def _residuals(rotations: Tensor, focals: Tensor, edges: Edges) -> _Residuals:
    """Compare edges with ``B`` triples of directions, the columns of ``rotations``, under ``B`` focal lengths."""
    x, y = edges.position_px.unbind(-1)
    across_x, across_y = edges.normal.unbind(-1)
    direction_x, direction_y, direction_z = rotations[..., None].unbind(1)
    focal = focals[:, None, None]
    towards_x = focal * direction_x - x * direction_z
    towards_y = focal * direction_y - y * direction_z
    length = (towards_x.square() + towards_y.square()).sqrt().clamp(min=1e-3)
    return _Residuals(towards_x, towards_y, length, (across_x * towards_x + across_y * towards_y) / length)


def _log_likelihood(sine: Tensor, sigma: float) -> Tensor:
    """Return ``B N`` from ``B 3 N``: the mixture over the directions and outliers."""
    along = _gaussian(sine, sigma).sum(1) * (_DIRECTION_SHARE / (sigma * math.sqrt(2 * math.pi)))
    return (along + _OUTLIER_DENSITY).log()


def _gaussian(sine: Tensor, sigma: float) -> Tensor:
    # Clamped: exponentials that underflow take four times as long.
    return (sine.square() * (-0.5 / sigma**2)).clamp(min=-40.0).exp()


def _rotation_grid(like: Tensor) -> Tensor:
    """Return ``B 3 3`` rotations of a roughly upright camera; the directions repeat every quarter turn of yaw."""
    degrees = [torch.tensor(list(values), dtype=like.dtype) for values in (_ROLL_DEG, _PITCH_DEG, _YAW_DEG)]
    angles = torch.cartesian_prod(*degrees).deg2rad()
    roll, pitch, yaw = rotation_from_axis_angle(angles[..., None] * torch.eye(3)[[2, 0, 1]]).unbind(-3)
    return (roll @ pitch @ yaw).to(like.device)


def _is_crest(steepness: Tensor, normal: Tensor) -> Tensor:
    """Return which of ``H W`` pixels are steeper than their neighbors across the edge (along ``normal``)."""
    rows, columns = steepness.shape
    row = torch.arange(rows, device=steepness.device)[:, None]
    column = torch.arange(columns, device=steepness.device)
    step_x, step_y = normal.round().long()
    ahead = (row + step_y).clamp(0, rows - 1) * columns + (column + step_x).clamp(0, columns - 1)
    behind = (row - step_y).clamp(0, rows - 1) * columns + (column - step_x).clamp(0, columns - 1)
    flat = steepness.flatten()
    return (steepness >= flat[ahead]) & (steepness > flat[behind])


def _smoothed(image: Tensor, sigma_px: float) -> Tensor:
    """Smooth ``H W`` with a Gaussian."""
    radius = math.ceil(3 * sigma_px)
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.softmax(-0.5 * (offsets / sigma_px) ** 2, dim=0)
    padded = functional.pad(image[None, None], (radius, radius, radius, radius), mode="replicate")
    across = functional.conv2d(padded, kernel.view(1, 1, 1, -1))
    return functional.conv2d(across, kernel.view(1, 1, -1, 1))[0, 0]
