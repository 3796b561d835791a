"""Points of views followed into other views: where the present estimate expects them, then where patches match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import minimum_filter

from human3r.refinement.views.bundle import Bundle, Track
from human3r.refinement.views.patches import Levels, corners, cut_out, found_in, pyramid
from human3r.refinement.world.depth_correction import knot_weights, layer_weights
from human3r.results.scene_views import LATTICE_PX, SceneView

_CELL = 4
"""Side of the squares of lattice points of which the best corner is followed."""
_MIN_CORNER = 15.0
_MAX_POINTS = 160
"""Best corners that are followed of a view."""
_EDGE = 0.15
"""Step of log depth to a neighbor from which a point lies at an edge."""
_SAME_SURFACE = 0.3
"""Largest difference of log depths of one surface in two views."""
_LEAPS = (-1, 2, -4, 8, -16, 32)
"""A view's patches are looked for in those so many later: each pair is compared in one direction only."""
_MIN_POINTS = 12
_BORDER_PX = 4
_NEAR_M = 0.05


@dataclass(frozen=True)
class _Points:
    """What is followed of a view."""

    rays: np.ndarray
    """``3 n 3``, z = 1: through the point, and one pixel beside it along x and y."""
    log_depth: np.ndarray
    """``3 n`` likewise."""
    knots: np.ndarray
    """``n K``"""
    layers: np.ndarray
    """``n L``"""
    patches: Levels


@dataclass(frozen=True)
class _Expectation:
    """Where points of a view are expected in another."""

    source: int
    rows: np.ndarray
    """``n`` points of the source."""
    guess: np.ndarray
    """``n 2`` pixels."""
    warp: np.ndarray
    """``n 2 2``"""


class Tracker:
    """Follows the points of a shot's views.

    Args:
        views: At least two.
        growth: ``V`` factors on their depths.
        middle_m: Depth at the middle layer.
        K: ``3 3`` pixels of the network.
    """

    def __init__(self, views: Sequence[SceneView], growth: np.ndarray, middle_m: float, K: np.ndarray) -> None:
        self._K, self._log_middle = K, np.log(middle_m)
        self._size = (views[0].gray.shape[0], views[0].gray.shape[1])
        self._pyramids = [pyramid(view.gray) for view in views]
        with np.errstate(divide="ignore"):
            self._log_depth = [
                np.log(view.depth * factor).astype(np.float64) for view, factor in zip(views, growth, strict=True)
            ]
        self._points = [self._points_of(number, view.gray) for number, view in enumerate(views)]

    def tracks(self, bundle: Bundle, *, fine_only: bool = False) -> list[Track]:
        """Return all tracks; with ``fine_only`` the bundle is good to a few pixels."""
        count = len(self._points)
        found: list[Track] = []
        for target in range(count):
            sources = [target - leap for leap in _LEAPS if 0 <= target - leap < count]
            expected = [self._expectation(bundle, source, target) for source in sources]
            found += self._followed(target, [one for one in expected if len(one.rows) >= _MIN_POINTS], fine_only)
        return found

    def _expectation(self, bundle: Bundle, source: int, target: int) -> _Expectation:
        points = self._points[source]
        correction = bundle.correction(source, points.knots, points.layers)
        in_source = points.rays * np.exp(points.log_depth + correction)[..., None]
        seen = bundle.seen(source, target, in_source)
        z = np.maximum(seen[..., 2], _NEAR_M)
        pixels = seen[..., :2] / z[..., None] * self._K[[0, 1], [0, 1]] + self._K[:2, 2]
        guess, warp = pixels[0], np.stack([pixels[1] - pixels[0], pixels[2] - pixels[0]], axis=-1)
        there = self._depth_at(target, guess)
        there = there + bundle.correction(target, knot_weights(guess, self._size), self._layers(there))
        height, width = self._size
        is_seen = (seen[0, :, 2] > _NEAR_M) & (np.abs(np.log(z[0]) - there) < _SAME_SURFACE)
        is_seen &= ((guess > _BORDER_PX) & (guess < [width - 1 - _BORDER_PX, height - 1 - _BORDER_PX])).all(1)
        is_seen &= (np.linalg.det(warp) > 0.2) & (np.abs(warp).max((1, 2)) < 4)
        rows = np.flatnonzero(is_seen)
        return _Expectation(source, rows, guess[rows], warp[rows])

    def _followed(self, target: int, expected: Sequence[_Expectation], fine_only: bool) -> list[Track]:
        """Return the tracks from several sources into one target."""
        if not expected:
            return []
        patches = [[level[one.rows] for level in self._points[one.source].patches] for one in expected]
        place, is_found = found_in(
            self._pyramids[target],
            tuple(torch.cat(level) for level in zip(*patches, strict=True)),
            np.concatenate([one.guess for one in expected]),
            np.concatenate([one.warp for one in expected]),
            fine_only=fine_only,
        )
        there = self._depth_at(target, place)
        is_found &= np.isfinite(there)
        ends = np.cumsum([len(one.rows) for one in expected])
        tracks, first = [], 0
        for one, end in zip(expected, ends, strict=True):
            kept = first + np.flatnonzero(is_found[first:end])
            if len(kept) >= _MIN_POINTS:
                points, rows = self._points[one.source], one.rows[kept - first]
                rays, knots = points.rays[0, rows], knot_weights(place[kept], self._size)
                at_source = points.log_depth[0, rows], points.knots[rows]
                layers = points.layers[rows], self._layers(there[kept])
                tracks.append(Track(one.source, target, rays, *at_source, place[kept], there[kept], knots, *layers))
            first = end
        return tracks

    def _depth_at(self, view: int, pixels: np.ndarray) -> np.ndarray:
        """Return the log depth ``n`` at the nearest lattice points; -inf on people."""
        grid = self._log_depth[view]
        x, y = np.floor(pixels / LATTICE_PX).astype(int).T
        return grid[y.clip(0, grid.shape[0] - 1), x.clip(0, grid.shape[1] - 1)]

    def _layers(self, log_depth: np.ndarray) -> np.ndarray:
        return layer_weights(np.maximum(log_depth, -99) - self._log_middle)

    def _points_of(self, number: int, gray: np.ndarray) -> _Points:
        """Return the best corners of a picture, away from people and edges of depth."""
        log_depth = self._log_depth[number]
        row, column = _best(_usable(log_depth) * corners(gray, LATTICE_PX))
        pixels = np.stack([column, row], axis=1) * float(LATTICE_PX) + LATTICE_PX // 2
        beside = pixels + np.array([[[0, 0]], [[1, 0]], [[0, 1]]])
        rays = np.concatenate(
            [(beside - self._K[:2, 2]) / self._K[[0, 1], [0, 1]], np.ones((*beside.shape[:2], 1))], -1
        )
        along_x = (log_depth[row, column + 1] - log_depth[row, column - 1]) / (2 * LATTICE_PX)
        along_y = (log_depth[row + 1, column] - log_depth[row - 1, column]) / (2 * LATTICE_PX)
        here = log_depth[row, column]
        depths = np.stack([here, here + along_x, here + along_y])
        patches = cut_out(self._pyramids[number], pixels)
        return _Points(rays, depths, knot_weights(pixels, self._size), self._layers(here), patches)


def _usable(log_depth: np.ndarray) -> np.ndarray:
    """Return where a lattice of depths is known and smooth, away from its border."""
    lowest = minimum_filter(log_depth, 3, mode="nearest")
    highest = -minimum_filter(-log_depth, 3, mode="nearest")
    with np.errstate(invalid="ignore"):
        is_usable = np.isfinite(lowest) & (highest - lowest < _EDGE)
    is_usable[[0, -1]] = is_usable[:, [0, -1]] = False
    return is_usable


def _best(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the best point of every square of a lattice."""
    rows, columns = (side // _CELL for side in score.shape)
    cells = score[: rows * _CELL, : columns * _CELL].reshape(rows, _CELL, columns, _CELL)
    cells = cells.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    highest = cells.max(-1)
    enough = np.sort(highest, axis=None)[-_MAX_POINTS] if highest.size > _MAX_POINTS else 0.0
    row, column = np.nonzero(highest > max(_MIN_CORNER, enough))
    best = cells[row, column].argmax(-1)
    return row * _CELL + best // _CELL, column * _CELL + best % _CELL
