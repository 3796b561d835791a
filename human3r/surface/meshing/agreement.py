"""Depths of keyframes that see the same surfaces are made to agree: a smooth factor on each map, all found together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_array, csr_array, eye_array, vstack
from scipy.sparse.linalg import spsolve

from human3r.surface.meshing.parts import Part

_KNOTS = (4, 5)
"""Rows and columns of a map's grid, between which the logarithm of its factor is interpolated."""
_PROBE_STEP_PX = 8
_ROUNDS = 2
"""Factors move points, which are then seen elsewhere."""
_SAME_SURFACE = 0.25
"""Depths that differ by more, relative, are of other surfaces."""
_OUTLIER = 0.05
"""Difference of depths from which on its weight falls."""
_STIFFNESS = 3.0
"""Weight of a factor of 1 at a knot, in probes."""


def agreed(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with depths that agree where they overlap, as far as smooth factors can make them."""
    found = list(parts)
    for _ in range(_ROUNDS if len(parts) > 1 else 0):
        logarithms = _solved(found)
        found = [part.scaled(_factor(part, logarithm)) for part, logarithm in zip(found, logarithms, strict=True)]
    return found


def _factor(part: Part, logarithm: np.ndarray) -> np.ndarray:
    height, width = part.depth.shape
    rows, columns = (np.linspace(0, last - 1, side) for last, side in zip(_KNOTS, (height, width), strict=True))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    return np.exp(map_coordinates(logarithm.reshape(_KNOTS), places, order=1))


def _solved(parts: Sequence[Part]) -> np.ndarray:
    """Return ``parts knots``: logarithms of factors by which the depths of all pairs of parts agree best."""
    num_knots = _KNOTS[0] * _KNOTS[1]
    size = len(parts) * num_knots
    equations, differences = [eye_array(size) * _STIFFNESS], [np.zeros(size)]
    for index, part in enumerate(parts):
        is_probe = np.zeros(part.depth.shape, dtype=bool)
        is_probe[_PROBE_STEP_PX // 2 :: _PROBE_STEP_PX, _PROBE_STEP_PX // 2 :: _PROBE_STEP_PX] = True
        is_probe &= part.depth > 0
        points = part.lens.points(part.depth)[is_probe]
        for other_index, other in enumerate(parts):
            if other_index == index or other.shot != part.shot:
                continue
            z, there = other.seen(points)
            is_same = np.abs(there - z) < _SAME_SURFACE * z
            difference = np.log(there[is_same] / z[is_same])
            weight = np.minimum(1, _OUTLIER / np.maximum(np.abs(difference), 1e-9)) ** 0.5
            own = _interpolation(part, points[is_same], index * num_knots, size)
            its = _interpolation(other, points[is_same], other_index * num_knots, size)
            equations.append((own - its) * weight[:, None])
            differences.append(difference * weight)
    matrix, values = csr_array(vstack(equations)), np.concatenate(differences)
    return np.asarray(spsolve((matrix.T @ matrix).tocsc(), matrix.T @ values)).reshape(len(parts), num_knots)


def _interpolation(part: Part, points: np.ndarray, first: int, size: int) -> csr_array:
    """Return ``n size``: the weights of a part's knots at points; ``first`` is the column of its first knot."""
    row, column, _ = part.lens.project(points, part.depth.shape)
    places = [
        (place / (side - 1) * (last - 1)).clip(0, last - 1)
        for place, side, last in zip((row, column), part.depth.shape, _KNOTS, strict=True)
    ]
    low = [np.minimum(place.astype(int), last - 2) for place, last in zip(places, _KNOTS, strict=True)]
    shares = [place - start for place, start in zip(places, low, strict=True)]
    weights, knots = [], []
    for down in (0, 1):
        for right in (0, 1):
            weights.append(np.abs(1 - down - shares[0]) * np.abs(1 - right - shares[1]))
            knots.append(first + (low[0] + down) * _KNOTS[1] + low[1] + right)
    rows = np.tile(np.arange(len(points)), 4)
    return csr_array(coo_array((np.concatenate(weights), (rows, np.concatenate(knots))), shape=(len(points), size)))
