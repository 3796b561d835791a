"""Depths of a moving camera's keyframes, moved to where their pictures match: details that smooth factors leave.

Patches of every keyframe are followed into others. One that is found off the place its depth predicts, along the line
on which depth moves it, has a depth that is wrong by that much. What patches say there, and the depths of the others,
is averaged with a prior of no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter, minimum_filter

from human3r.geometry.rigid import transform_points
from human3r.refinement.views.patches import Levels, cut_out, found_in, pyramid
from human3r.surface.meshing.parts import Part

_LATTICE_PX = 6
"""Between the centers of patches."""
_LEAPS = (1, 2, 5, -1, -2, -5)
"""A keyframe is compared with those so many after it."""
_ROUNDS = 2
_SMOOTH = 1.5
"""Standard deviation of the averaging, in steps of the lattice."""
_SAME_SURFACE = 0.2
"""Relative difference of depths within which two keyframes may see the same surface."""
_EDGE = 0.1
"""Relative range of depth around a patch from which on it lies on an outline."""
_MAX_OFF_PX = 6.0
"""A patch that is found farther off is another one."""
_BORDER_PX = 4
_NOISE = 0.25
"""Standard deviation of normalized gray values."""
_DEPTH_NOISE, _OUTLIER = 0.08, 0.05
"""Standard deviation of the difference of two keyframes' log depths, and difference from which on its weight falls."""
_PRIOR = 0.1
"""Standard deviation of the logarithm of a correction."""
_STEP = 0.01
"""Relative change of depth over which the motion of a patch is measured."""
_AGREE = 0.1
"""Relative difference of depths from which on one keyframe looks through what another one sees."""
_BESIDE_PX = 5
"""Outlines may be off by half of this."""
_VOTE_STEP_PX = 2
_MIN_VOTES = 3
"""So many more look through what is left out than see it too."""


@dataclass(frozen=True)
class _Patches:
    """What is followed of a part."""

    row: np.ndarray
    """``n`` in the lattice."""
    column: np.ndarray
    """``n``"""
    at: np.ndarray
    """``n 2`` pixels (x, y) of the map."""
    levels: Levels
    information: np.ndarray
    """``n 2 2`` on the place of a patch, per square pixel."""


@dataclass(frozen=True)
class _Sight:
    """What another part says about patches."""

    rows: np.ndarray
    """``n`` patches that it may see."""
    log_ratio: np.ndarray
    """``n``: its depth over that of the patch."""
    found: np.ndarray
    """``m`` patches that were followed."""
    along: np.ndarray
    """``m 2`` pixels that the patch moves by per logarithm of its depth."""
    off: np.ndarray
    """``m 2`` pixels from where it is expected to where it is."""


def matched(parts: Sequence[Part]) -> list[Part]:
    """Return the parts of one shot with corrected depths, and without what hangs where others look through."""
    found = list(parts)
    if len(found) < 2:
        return found
    pyramids = [pyramid(part.small_picture.astype(np.float32).mean(axis=2)) for part in found]
    patches = [_patches(part, levels) for part, levels in zip(found, pyramids, strict=True)]
    for _ in range(_ROUNDS):
        found = [_corrected(found, index, patches[index], pyramids) for index in range(len(found))]
    nearest = [minimum_filter(part.depth, _BESIDE_PX) for part in found]
    return [_without_contradicted(found, index, nearest) for index in range(len(found))]


def _patches(part: Part, levels: Levels) -> _Patches:
    low, high = (bound(part.depth, 2 * _LATTICE_PX - 1) for bound in (minimum_filter, maximum_filter))
    start = _LATTICE_PX // 2
    is_smooth = ((low > 0) & (high < (1 + _EDGE) * low))[start::_LATTICE_PX, start::_LATTICE_PX]
    is_smooth[[0, -1]] = is_smooth[:, [0, -1]] = False
    row, column = np.nonzero(is_smooth)
    at = np.stack([column, row], axis=1) * _LATTICE_PX + start
    cut = cut_out(levels, at.astype(float))
    slopes = cut[-1][..., 1:].double()
    information = (slopes.mT @ slopes / slopes.shape[1] / _NOISE**2).numpy()
    return _Patches(row, column, at, cut, information)


def _corrected(parts: Sequence[Part], index: int, patches: _Patches, pyramids: Sequence[Levels]) -> Part:
    part = parts[index]
    shape = tuple(-(-(side - _LATTICE_PX // 2) // _LATTICE_PX) for side in part.depth.shape)
    pull, weight = np.zeros(shape), np.full(shape, 1e-9)
    for other in (index + leap for leap in _LEAPS if 0 <= index + leap < len(parts)):
        sight = _sight(part, parts[other], patches, pyramids[other])
        pulled = np.einsum("ni,nij->nj", sight.along, patches.information[sight.found])
        cell = patches.row[sight.found], patches.column[sight.found]
        np.add.at(pull, cell, (pulled * sight.off).sum(axis=1))
        np.add.at(weight, cell, (pulled * sight.along).sum(axis=1))
        trust = np.minimum(1, _OUTLIER / np.maximum(np.abs(sight.log_ratio), 1e-9)) / _DEPTH_NOISE**2
        cell = patches.row[sight.rows], patches.column[sight.rows]
        np.add.at(pull, cell, trust * sight.log_ratio)
        np.add.at(weight, cell, trust)
    logarithm = gaussian_filter(pull, _SMOOTH) / (gaussian_filter(weight, _SMOOTH) + 1 / _PRIOR**2)
    places = [(np.arange(side) - _LATTICE_PX // 2) / _LATTICE_PX for side in part.depth.shape]
    fine = map_coordinates(logarithm, np.stack(np.meshgrid(*places, indexing="ij")), order=1, mode="nearest")
    return part.scaled(np.exp(fine))


def _sight(part: Part, other: Part, patches: _Patches, target: Levels) -> _Sight:
    height, width = other.depth.shape
    depths = _planes(part.depth, patches.at)
    beside = patches.at + np.array([[[0, 0]], [[1, 0]], [[0, 1]]])
    expected, z = _projected(part, other, beside, depths)
    moved, _ = _projected(part, other, patches.at, depths[0] * (1 + _STEP))
    guess, warp = expected[0], np.stack([expected[1] - expected[0], expected[2] - expected[0]], axis=-1)
    is_inside = (z[0] > 0) & (guess >= _BORDER_PX).all(axis=1)
    is_inside &= (guess < [width - _BORDER_PX, height - _BORDER_PX]).all(axis=1)
    column, row = np.where(is_inside[:, None], guess, 0).round().astype(int).T
    there = other.depth[row, column]
    is_seen = is_inside & (np.abs(there - z[0]) < _SAME_SURFACE * z[0])
    is_seen &= (np.linalg.det(warp) > 0.2) & (np.abs(warp).max((1, 2)) < 4)
    rows = np.flatnonzero(is_seen)
    followed = rows[patches.information[rows].any(axis=(1, 2))]  # the others are flat
    cut = tuple(level[torch.from_numpy(followed)] for level in patches.levels)
    place, is_found = found_in(target, cut, guess[followed], warp[followed], fine_only=True)
    off = place - guess[followed]
    is_found &= np.abs(off).max(axis=1, initial=0) < _MAX_OFF_PX
    along = (moved - guess)[followed] / _STEP
    return _Sight(rows, np.log(there[rows] / z[0, rows]), followed[is_found], along[is_found], off[is_found])


def _planes(depth: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return ``3 n``: depths at pixels, and one pixel beside them along x and y."""
    column, row = at.T
    here, half = depth[row, column], _LATTICE_PX // 2
    along_x = (depth[row, column + half] - depth[row, column - half]) / (2 * half)
    along_y = (depth[row + half, column] - depth[row - half, column]) / (2 * half)
    return np.stack([here, here + along_x, here + along_y])


def _projected(part: Part, other: Part, at: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``... 2`` pixels (x, y) of another part's map, and depth, of pixels of a part at depths ``...``."""
    lens = part.lens
    u, v = lens.pixels(part.depth.shape)
    x = (u[0] + at[..., 0] * (u[1] - u[0]) - lens.K[0, 2]) / lens.K[0, 0]
    y = (v[0] + at[..., 1] * (v[1] - v[0]) - lens.K[1, 2]) / lens.K[1, 1]
    points = transform_points(lens.T_world_camera, np.stack([x, y, np.ones_like(x)], axis=-1) * depth[..., None])
    row, column, z = other.lens.project(points, other.depth.shape)
    return np.stack([column, row], axis=-1), z


def _without_contradicted(parts: Sequence[Part], index: int, nearest: Sequence[np.ndarray]) -> Part:
    """Return a part without what hangs where more of the others look through than see it too.

    Args:
        parts: All of them.
        index: Of the part.
        nearest: ``h w`` of each, the least depth around a pixel; 0 where some of it is unknown.
    """
    part = parts[index]
    points = part.lens.points(part.depth)[::_VOTE_STEP_PX, ::_VOTE_STEP_PX]
    votes = np.zeros(points.shape[0] * points.shape[1], dtype=int)
    for other, behind in zip(parts, nearest, strict=True):
        if other is not part:
            z, seen = other.seen(points.reshape(-1, 3), np.stack([other.depth, behind], axis=-1))
            votes += z < (1 - _AGREE) * seen[:, 1]
            votes -= np.abs(seen[:, 0] - z) < _AGREE * z
    is_contradicted = (votes >= _MIN_VOTES).reshape(points.shape[:2])
    for axis, side in enumerate(part.depth.shape):
        is_contradicted = is_contradicted.repeat(_VOTE_STEP_PX, axis=axis).take(np.arange(side), axis=axis)
    return replace(part, depth=np.where(is_contradicted, 0, part.depth))
