"""A depth map as few triangles: right-triangulated irregular networks, refined where the surface or its texture bend.

Triangles are halved along their longest side until the depth at its middle is the mean of its ends and the texture,
which is stretched evenly over a triangle, is where the camera saw it. Neighbors agree on every side, so there are no
cracks. General quadric decimation knows neither the texture's projection nor the outlines that must stay.
Source: Evans et al., Right-Triangulated Irregular Networks (Algorithmica 30, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from human3r.surface.meshing.flatness import steps

CUT_DEPTH = 0.03
"""Relative depth step between neighbors that separates two surfaces where their slopes do not explain it."""
_SIDE = 6
"""Cells over which these slopes are measured."""
_TILE = 32
"""Side of the largest triangles, cells."""
_LEVELS = 2 * (_TILE.bit_length() - 1)
"""Halvings from the largest triangles to the smallest, two of which are a cell."""
_DEPTH_TOLERANCE = 0.004
"""Largest error of a triangle's depth, relative."""
_TEXTURE_TOLERANCE_PX = 1.0
"""Largest error of a triangle's texture, pixels of the source."""
_MIN_SCRAP = 3e-4
"""Of the map: smaller pieces, which hang in the air, are left out."""


@dataclass(frozen=True)
class GridMesh:
    """Triangles over a depth map."""

    row: np.ndarray
    """``V`` of each vertex in the map."""
    column: np.ndarray
    """``V``"""
    texture_row: np.ndarray
    """``V`` where its color is: behind outlines, that of the farther surface beside it."""
    texture_column: np.ndarray
    """``V``"""
    depth: np.ndarray
    """``V`` meters."""
    faces: np.ndarray
    """``F 3`` int32, counter-clockwise as the camera sees them."""


def triangulate(depth: np.ndarray, cell_px: float, coarseness: float = 1.0) -> GridMesh:
    """Return the surface of a depth map ``h w``, 0 where there is none, cut at depth edges.

    Where it is cut, the farther surface goes on behind the nearer one for a cell: no gap is seen from the camera.

    Args:
        depth: Camera z at the middle of every cell of the camera's image, meters.
        cell_px: Side of a cell in pixels of the source.
        coarseness: Factor on the tolerances.
    """
    height, width = depth.shape
    padded_shape = tuple(-(-(side - 1) // _TILE) * _TILE + 1 for side in depth.shape)
    z = np.zeros(padded_shape, dtype=np.float32)
    z[:height, :width] = depth
    cuts = np.zeros(padded_shape, dtype=bool)
    cuts[: height - 1, : width - 1] = _cuts(depth)
    levels = _hierarchy(padded_shape[0], padded_shape[1])
    error = _errors(z, cuts, levels, cell_px) / coarseness
    corners, smallest = _refined(levels, error)
    corners = corners[z.reshape(-1)[corners[:, 0]] > 0]
    near, far = _extremes(z.reshape(-1), smallest)
    is_known = near > 0
    row, column = np.divmod(smallest, padded_shape[1])
    is_cut = is_known & cuts[row.min(axis=1), column.min(axis=1)] & (far > (1 + CUT_DEPTH) * near)
    faces = np.concatenate([corners, smallest[is_known & ~is_cut]])
    return _assembled(z.reshape(-1), faces, smallest[is_cut], far[is_cut], padded_shape[1])


def _cuts(depth: np.ndarray) -> np.ndarray:
    """Return ``h - 1, w - 1`` bool: the depth steps along a side of the cell between four pixels."""
    down = steps(depth, 1, CUT_DEPTH, _SIDE)
    right = steps(depth.T, 1, CUT_DEPTH, _SIDE).T
    return down[:, 1:] | down[:, :-1] | right[1:] | right[:-1]


def _without_scraps(row: np.ndarray, column: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the triangles of pieces that cover enough of the map."""
    if len(faces) == 0:
        return faces
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    edges = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(row), len(row)))
    piece = connected_components(edges, directed=False)[1][faces[:, 0]]
    sides = np.stack([row, column], axis=1)[faces[:, 1:]] - np.stack([row, column], axis=1)[faces[:, :1]]
    area = np.bincount(piece, np.abs(np.linalg.det(sides.astype(np.float64))) / 2)
    return faces[area[piece] >= _MIN_SCRAP * np.ptp(row) * np.ptp(column)]


@lru_cache(maxsize=4)
def _hierarchy(height: int, width: int) -> list[np.ndarray]:
    """Return for each level ``n 3`` flat indices: both ends of the longest side, and the corner opposite."""
    top, left = (grid.reshape(-1) for grid in np.mgrid[0 : height - 1 : _TILE, 0 : width - 1 : _TILE])

    def flat(down: int, right: int) -> np.ndarray:
        return (top + down * _TILE) * width + left + right * _TILE

    start = np.concatenate([
        np.stack([flat(0, 0), flat(1, 1), flat(1, 0)], axis=1),
        np.stack([flat(1, 1), flat(0, 0), flat(0, 1)], axis=1),
    ])  # fmt: skip
    levels = [start.astype(np.int32)]
    for _ in range(_LEVELS):
        levels.append(_halved(levels[-1]))
    return levels


def _middle(triangles: np.ndarray) -> np.ndarray:
    # Rows and columns of both ends differ by even numbers, so the mean of the flat indices is exact.
    return (triangles[:, 0] + triangles[:, 1]) // 2


def _halved(triangles: np.ndarray) -> np.ndarray:
    """Return both halves of every triangle: first the left ones, then the right ones."""
    first, second, corner = triangles.T
    middle = _middle(triangles)
    return np.concatenate([np.stack([corner, first, middle], axis=1), np.stack([second, corner, middle], axis=1)])


def _errors(z: np.ndarray, cuts: np.ndarray, levels: list[np.ndarray], cell_px: float) -> np.ndarray:
    """Return for every vertex the error, over the tolerance, of the triangles that lack it; infinite at outlines."""
    with np.errstate(divide="ignore"):
        disparity = np.where(z > 0, 1 / z, 0).astype(np.float32).reshape(-1)
    is_outline = _near_outlines(z, cuts).reshape(-1)
    error = np.zeros(z.size, dtype=np.float32)
    for level in range(_LEVELS - 1, -1, -1):
        triangles = levels[level]
        middle = _middle(triangles)
        first, second = disparity[triangles[:, 0]], disparity[triangles[:, 1]]
        total = np.maximum(first + second, 1e-9)
        bend = np.abs(2 * disparity[middle] - total) / total / _DEPTH_TOLERANCE
        # The texture of the side's middle in space is not that of its middle in the image where depths differ.
        length_px = cell_px * _TILE * 2 ** (0.5 - level / 2)
        slip = np.abs(first - second) / total / 2 * length_px / _TEXTURE_TOLERANCE_PX
        own = np.where(is_outline[middle], np.inf, np.maximum(bend, slip))
        if level < _LEVELS - 1:
            below = error[_middle(levels[level + 1])]
            own = np.maximum(own, np.maximum(below[: len(own)], below[len(own) :]))
        np.maximum.at(error, middle, own.astype(np.float32))
    return error


def _near_outlines(z: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return ``h w`` bool: a vertex or one of its neighbors is unknown, or the depth steps between them."""
    is_border = minimum_filter(z, 3, mode="nearest") == 0
    # A cell's corners are its own vertex and the next ones.
    return maximum_filter(is_border | maximum_filter(cuts, 2), 3)


def _refined(levels: list[np.ndarray], error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the triangles that need no halving, and those that cannot be halved."""
    done: list[np.ndarray] = []
    active = levels[0]
    for _ in range(_LEVELS):
        is_split = error[_middle(active)] > 1
        done.append(active[~is_split])
        active = _halved(active[is_split])
    return np.concatenate(done), active


def _extremes(z: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    corners = z[triangles]
    return corners.min(axis=1), corners.max(axis=1)


def _assembled(z: np.ndarray, faces: np.ndarray, cut: np.ndarray, far: np.ndarray, width: int) -> GridMesh:
    """Join the surface and what continues behind outlines: ``cut`` triangles at depth ``far``.

    Corners of the farther surface itself stay where they are, so that both parts meet.
    """
    is_near = z[cut] * (1 + CUT_DEPTH) < far[:, None]
    vertices, joined = np.unique(np.concatenate([faces, cut]), return_inverse=True)
    joined = joined.reshape(-1, 3)  # its shape depends on NumPy's version
    behind = joined[len(faces) :]
    behind[is_near] = len(vertices) + np.arange(is_near.sum())
    # Their color is that of the farther surface beside it.
    beside = np.take_along_axis(cut, z[cut].argmax(axis=1)[:, None], axis=1).repeat(3, axis=1)
    everything, colored = np.concatenate([vertices, cut[is_near]]), np.concatenate([vertices, beside[is_near]])
    depth = np.concatenate([z[vertices], far[:, None].repeat(3, axis=1)[is_near]])
    row, column = np.divmod(everything, width)
    joined = _without_scraps(row, column, joined)
    return GridMesh(row, column, *np.divmod(colored, width), depth, joined[:, ::-1].astype(np.int32))
