"""What the straight edges of one picture say about its focal length: most that people build has three directions.

Edges along three directions at right angles meet in three vanishing points, and which triples are possible depends on
the focal length. Every edge pixel votes alone, with its own direction: nothing is linked into lines.
Sources: Coughlan and Yuille, "Manhattan world: compass direction from a single image by Bayesian inference", ICCV 1999;
with the focal length as a further unknown: Deutscher, Isard and MacCormick, "Automatic camera calibration from a single
Manhattan image", ECCV 2002.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from torch import Tensor
from torch.nn import functional

from human3r.models.compact.convnets.convolution import maximum_filter
from human3r.records import TensorRecord

MAX_LOG_RATIO = 0.75
"""Focal lengths within this factor (as a logarithm) of a reference are compared: 31 to 101 degrees about 60."""
_NUM_FOCALS = 15
_NUM_EDGES, _NUM_SEARCHED, _NUM_FITTED = 1500, 200, 500
"""Edges that are compared in the end, in the search over all turns, and while turns are improved."""
_SEARCH_EVERY = 5
"""Focal lengths that share a search over all turns, done for the middle one of them; divides their number."""
_MIN_EDGES = 60
"""With fewer, any three directions fit."""
_SMOOTHING_PX, _WINDOW_PX = 0.8, 3.0
"""Standard deviations of the Gaussians before the slopes are taken, and over which an edge's direction is."""
_MIN_COHERENCE = 0.85
"""0 where slopes point everywhere, 1 where all point the same way."""
_LEAST_SLOPE, _STEEP = 2 / 127.5, 20 / 127.5
"""Grey values in [-1, 1] per pixel: fainter is noise, and steeper counts no more."""
_MASK_GROWTH_PX, _MOST_PERSON = 4, 0.3
"""Borders of person masks are soft, and clothes have edges."""
_BORDER_PX = 4
"""Where the picture's own border enters an edge's direction."""
_COARSE_SIGMA, _SIGMA = 0.06, 0.03
"""Error of an edge's direction, radians, at first and at last; .02 and .04 did worse on held-out renders."""
_DIRECTION_SHARE = 0.23
"""Of the edges that belong to each of the three directions; the others point anywhere. .15 did worse, .28 alike."""
_ROLL_DEG, _PITCH_DEG, _YAW_DEG = range(-16, 17, 8), range(-48, 49, 8), [7.5 * step for step in range(12)]
"""Turns that are searched: cameras are held upright to some 20 degrees, and look up or down by 50."""
_NUM_STARTS = 3
_NUM_STEPS = 6
_MAX_STEP_RAD = 0.15
_STIFFNESS = 1e-3
"""Of a turn, in units of all edges: directions that nothing shows stay where they are."""
_STRAY_DENSITY = (1 - 3 * _DIRECTION_SHARE) / math.pi
"""Of edges that follow none of the directions, per radian."""


@dataclass(frozen=True)
class Edges(TensorRecord):
    """N edge pixels of one picture."""

    place_px: Tensor
    """``N 2`` (x, y) from the principal point."""
    normal: Tensor
    """``N 2`` unit vector across the edge."""

    def __len__(self) -> int:
        return self.place_px.shape[0]


def find_edges(grey: Tensor, person_mask: Tensor, center_px: Tensor) -> Edges:
    """Find the clearest edge pixels outside of people, clearest first.

    Args:
        grey: ``H W`` in [-1, 1].
        person_mask: ``H W`` in [0, 1].
        center_px: ``2`` principal point (x, y).
    """
    grey = _smoothed(grey, _SMOOTHING_PX)
    slope_x, slope_y = torch.zeros_like(grey), torch.zeros_like(grey)
    slope_x[:, 1:-1] = (grey[:, 2:] - grey[:, :-2]) / 2
    slope_y[1:-1] = (grey[2:] - grey[:-2]) / 2
    xx, yy, xy = (_smoothed(product, _WINDOW_PX) for product in (slope_x**2, slope_y**2, slope_x * slope_y))
    spread = torch.hypot(xx - yy, 2 * xy)
    steepness = torch.hypot(slope_x, slope_y)
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)
    normal = torch.stack([angle.cos(), angle.sin()])
    is_edge = (spread > _MIN_COHERENCE * (xx + yy)) & (steepness > _LEAST_SLOPE) & _is_crest(steepness, normal)
    is_edge &= maximum_filter(person_mask, _MASK_GROWTH_PX) < _MOST_PERSON
    inside = torch.zeros_like(is_edge)
    inside[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = True
    clarity = torch.where(is_edge & inside, steepness.clamp(max=_STEEP), 0.0)
    best, index = clarity.flatten().topk(min(_NUM_EDGES, clarity.numel()))
    index, columns = index[: int((best > 0).sum())], grey.shape[1]
    place = torch.stack([index % columns, index // columns], dim=-1) - center_px
    return Edges(place, normal.flatten(1).T[index])


def focal_evidence(edges: Edges, focal_px: Tensor) -> Tensor:
    """Return how well every focal length of ``log_focals`` explains the edges: ``F`` logarithms of likelihoods.

    For each of them the best turn of the three directions is searched: over a grid, then by expectation and
    maximisation, in which every edge belongs to every direction with some probability.

    Args:
        edges: Edge pixels; too few say nothing.
        focal_px: Scalar that the focal lengths are relative to.
    """
    focals = focal_px * log_focals(focal_px).exp()
    if len(edges) < _MIN_EDGES:
        return torch.zeros_like(focals)
    turns = _search(edges, focals)
    focals = focals.repeat_interleave(_NUM_STARTS)
    turns = turns.flatten(0, 1)
    sparse = _thinned(edges, _NUM_FITTED)
    for step in range(_NUM_STEPS):
        share = min(1.0, step / (0.6 * _NUM_STEPS))
        turns = _improved(turns, focals, sparse, _COARSE_SIGMA * (_SIGMA / _COARSE_SIGMA) ** share)
    likelihood = _log_likelihood(_aim(turns, focals, edges).sine, _SIGMA)
    return likelihood.sum(-1).view(_NUM_FOCALS, _NUM_STARTS).amax(1)


def log_focals(like: Tensor) -> Tensor:
    """Return the ``F`` logarithms of focal lengths over the reference that are compared."""
    return torch.linspace(-MAX_LOG_RATIO, MAX_LOG_RATIO, _NUM_FOCALS, dtype=like.dtype, device=like.device)


def _search(edges: Edges, focals: Tensor) -> Tensor:
    """Return ``F S 3 3`` the best turns of a grid for every focal length, found for some of them."""
    turns = _turn_grid(focals)
    sparse = _thinned(edges, _NUM_SEARCHED)
    found = []
    for focal in focals[_SEARCH_EVERY // 2 :: _SEARCH_EVERY]:
        sine = _aim(turns, focal.expand(len(turns)), sparse).sine
        total = _log_likelihood(sine, _COARSE_SIGMA).sum(-1)
        found.append(turns[total.topk(_NUM_STARTS).indices])
    return torch.stack(found).repeat_interleave(_SEARCH_EVERY, dim=0)


def _thinned(edges: Edges, count: int) -> Edges:
    """Keep about so many edges, evenly from the clearest to the faintest."""
    return edges.map(lambda values: values[:: max(1, len(values) // count)])


def _improved(turns: Tensor, focals: Tensor, edges: Edges, sigma: float) -> Tensor:
    """Return ``B 3 3`` turns after one step towards the edges that may belong to each direction."""
    aim = _aim(turns, focals, edges)
    own = _DIRECTION_SHARE / (sigma * math.sqrt(2 * math.pi)) * _bell(aim.sine, sigma)
    belongs = own / (own.sum(1, keepdim=True) + _STRAY_DENSITY)
    # A turn w moves a direction d by w x d, and what depends on d by w (d x slope).
    slope = aim.slope(focals, edges)
    jacobian = torch.linalg.cross(turns.mT[:, :, None].expand_as(slope), slope).flatten(1, 2)
    weighted = jacobian * belongs.flatten(1)[..., None]
    normal = weighted.mT @ jacobian + _STIFFNESS * len(edges) * torch.eye(3).to(turns)
    step = torch.linalg.solve(normal, (weighted * aim.sine.flatten(1)[..., None]).sum(1))
    return roma.rotvec_to_rotmat(-step.clamp(-_MAX_STEP_RAD, _MAX_STEP_RAD)) @ turns


@dataclass(frozen=True)
class _Aim(TensorRecord):
    """Where ``N`` edges would point if they followed each direction; ``B 3 N`` each."""

    towards_x: Tensor
    """From the edge's place to the direction's vanishing point, of any length."""
    towards_y: Tensor
    length: Tensor
    sine: Tensor
    """Of the angle between that and the edge."""

    def slope(self, focals: Tensor, edges: Edges) -> Tensor:
        """Return ``B 3 N 3`` slopes of the sine by the direction."""
        x, y = edges.place_px.unbind(-1)
        slope_x, slope_y = (
            (across - self.sine * towards / self.length) / self.length
            for across, towards in zip(edges.normal.unbind(-1), (self.towards_x, self.towards_y), strict=True)
        )
        focal = focals[:, None, None]
        return torch.stack([focal * slope_x, focal * slope_y, -(slope_x * x + slope_y * y)], dim=-1)


def _aim(turns: Tensor, focals: Tensor, edges: Edges) -> _Aim:
    """Compare edges with ``B`` triples of directions, the columns of ``turns`` (``B 3 3``), seen with ``B`` lenses."""
    x, y = edges.place_px.unbind(-1)
    across_x, across_y = edges.normal.unbind(-1)
    direction_x, direction_y, direction_z = turns[..., None].unbind(1)
    focal = focals[:, None, None]
    towards_x = focal * direction_x - x * direction_z
    towards_y = focal * direction_y - y * direction_z
    length = (towards_x.square() + towards_y.square()).sqrt().clamp(min=1e-3)
    return _Aim(towards_x, towards_y, length, (across_x * towards_x + across_y * towards_y) / length)


def _log_likelihood(sine: Tensor, sigma: float) -> Tensor:
    """Return ``B N`` from ``B 3 N``: an edge follows one of the directions, or none."""
    along = _bell(sine, sigma).sum(1) * (_DIRECTION_SHARE / (sigma * math.sqrt(2 * math.pi)))
    return (along + _STRAY_DENSITY).log()


def _bell(sine: Tensor, sigma: float) -> Tensor:
    # Exponentials that underflow take four times as long.
    return (sine.square() * (-0.5 / sigma**2)).clamp(min=-40.0).exp()


def _turn_grid(like: Tensor) -> Tensor:
    """Return ``B 3 3`` turns of a camera that is held more or less upright; a quarter turn about up changes nothing."""
    degrees = [torch.tensor(list(values), dtype=like.dtype) for values in (_ROLL_DEG, _PITCH_DEG, _YAW_DEG)]
    angles = torch.cartesian_prod(*degrees).deg2rad()
    return roma.euler_to_rotmat("ZXY", angles).to(like.device)


def _is_crest(steepness: Tensor, normal: Tensor) -> Tensor:
    """Say of ``H W`` pixels whether they are steeper than their neighbours across the edge (along ``normal``)."""
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
