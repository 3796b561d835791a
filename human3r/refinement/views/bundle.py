"""Poses and depths of a shot's views that agree with the displacements of image patches between them.

Unknown are the camera of every view, and a smooth correction of its log depth, bilinear between knots. Evidence are
places of points of one view in others, and the depths of both there; priors are the path and the depths of the stream.
Scale and first camera stay: errors of depth are correlated between views, so their common part is held. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve
from scipy.spatial.transform import Rotation

from human3r.geometry.rigid import inverse_transform_points, transform_points
from human3r.refinement.world.depth_correction import KNOTS, NUM_KNOTS, NUM_LAYERS

_SIZE = 6 + NUM_KNOTS
"""Unknowns of a view: turn, shift, log depth at the knots."""
_MIN_NOISE_PX, MAX_NOISE_PX = 0.5, 1.5
"""Standard deviation of a place, pixels of the network: of what knots do not explain, too."""
_NOISE_OF_MEDIAN = 2.0
"""Standard deviation over the median distance of places from where they are expected."""
_DEPTH_NOISE = 0.08
"""Standard deviation of the difference of log depths at a point that two views see."""
_SHAPE, _REACH, _SCALE, _ROUGHNESS = 0.15, 1.5, 0.1, 0.03
"""Prior on the log depth of a view: smooth over so many knots, in common, and alone at each knot."""
_PERSISTENCE, _SHARED = 10.0, 0.8
"""Views over which errors of depth persist, and the share that does."""
_TURN_SIGMA, _SHIFT_SIGMA, _STEP_SIGMA = np.deg2rad(0.1), 0.003, 0.03
"""Prior on the motion between two views: radians; shares of the median depth and of the motion."""
_MAX_STEP = 0.3
"""Radians, meters, log depth."""
_DETAIL, _DETAIL_REACH = 0.1, (1.0, 1.0, 0.7)
"""Prior on the details of a view's depth: deviation, and smooth over so many rows, columns and layers."""


@dataclass(frozen=True)
class Track:
    """Points of one view that another view sees."""

    source: int
    target: int
    rays: np.ndarray
    """``n 3`` with z = 1, source camera."""
    log_depth: np.ndarray
    """``n`` in the source."""
    knots: np.ndarray
    """``n K`` weights of the source's knots."""
    place: np.ndarray
    """``n 2`` pixels in the target."""
    target_log_depth: np.ndarray
    """``n`` there; NaN where unknown."""
    target_knots: np.ndarray
    """``n K``"""
    layers: np.ndarray
    """``n L`` weights of the source's layers."""
    target_layers: np.ndarray
    """``n L``"""


@dataclass(frozen=True)
class Bundle:
    """Cameras and corrections of V views."""

    T_world_camera: np.ndarray
    """``V 4 4``"""
    log_depth: np.ndarray
    """``V K`` corrections at the knots."""
    detail: np.ndarray
    """``V K L`` further corrections at knots and layers."""

    @classmethod
    def of(cls, T_world_camera: np.ndarray) -> Bundle:
        """Return views ``V 4 4`` without corrections."""
        count = len(T_world_camera)
        return cls(T_world_camera, np.zeros((count, NUM_KNOTS)), np.zeros((count, NUM_KNOTS, NUM_LAYERS)))

    def correction(self, view: int, knots: np.ndarray, layers: np.ndarray) -> np.ndarray:
        """Return ``n`` corrections of log depth of a view, given weights ``n K`` and ``n L``."""
        return knots @ self.log_depth[view] + ((knots @ self.detail[view]) * layers).sum(1)

    def total(self) -> np.ndarray:
        """Return ``V K*L``: all corrections."""
        return (self.log_depth[..., None] + self.detail).reshape(len(self.detail), -1)

    def seen(self, source: int, target: int, points: np.ndarray) -> np.ndarray:
        """Return ``n 3`` points of a camera in another one."""
        return inverse_transform_points(
            self.T_world_camera[target], transform_points(self.T_world_camera[source], points)
        )


def adjusted(
    start: Bundle, now: Bundle, tracks: Sequence[Track], K: np.ndarray, unit: float, steps: int, noise_px: float
) -> Bundle:
    """Return the bundle after some Gauss-Newton steps.

    Args:
        start: Cameras of the stream, for the prior.
        now: Where to begin.
        tracks: The evidence.
        K: ``3 3`` pixels of the network.
        unit: Median depth.
        steps: How many.
    """
    information = _depth_information(len(now.log_depth))
    for _ in range(steps):
        hessian, gradient = _prior(start, now, information, unit)
        for track in tracks:
            _add(hessian, gradient, now, track, K, noise_px)
        step = -solve(hessian, gradient, assume_a="pos").reshape(-1, _SIZE)
        step *= min(1.0, _MAX_STEP / np.abs(step).max())
        moved = [T @ _motion(x) for T, x in zip(now.T_world_camera, step[:, :6], strict=True)]
        now = Bundle(np.stack(moved), now.log_depth + step[:, 6:], now.detail)
        if np.abs(step).max() < 1e-4:
            break
    return now


def noise_of(now: Bundle, tracks: Sequence[Track], K: np.ndarray) -> float:
    """Return the standard deviation of places, pixels, by what the present estimate leaves unexplained."""
    off = np.concatenate([linearized(now, track, K)[1][:, :2] for track in tracks])
    return float((_NOISE_OF_MEDIAN * np.median(np.linalg.norm(off, axis=1))).clip(_MIN_NOISE_PX, MAX_NOISE_PX))


def _motion(step: np.ndarray) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(step[:3]).as_matrix(), step[3:]
    return T


def _depth_information(num_views: int) -> np.ndarray:
    """Return ``V*K V*K``: the inverse covariance of all corrections."""
    place = np.stack(np.meshgrid(*(np.arange(count) for count in KNOTS), indexing="ij"), -1).reshape(-1, 2)
    squares = ((place[:, None] - place) ** 2).sum(-1)
    within = _SHAPE**2 * np.exp(-0.5 * squares / _REACH**2) + _SCALE**2 + _ROUGHNESS**2 * np.eye(NUM_KNOTS)
    apart = np.abs(np.arange(num_views)[:, None] - np.arange(num_views))
    across = _SHARED * np.exp(-apart / _PERSISTENCE) + (1 - _SHARED) * np.eye(num_views)
    return np.kron(np.linalg.inv(across), np.linalg.inv(within))


def _prior(start: Bundle, now: Bundle, information: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    num_views = len(now.log_depth)
    hessian, gradient = np.zeros((num_views, _SIZE, num_views, _SIZE)), np.zeros((num_views, _SIZE))
    depth = information.reshape(num_views, NUM_KNOTS, num_views, NUM_KNOTS)
    hessian[:, 6:, :, 6:] = depth
    gradient[:, 6:] = (information @ now.log_depth.reshape(-1)).reshape(num_views, -1)
    hessian[0, range(6), 0, range(6)] += 1e9
    for view in range(1, num_views):
        T, T_start = (
            np.linalg.inv(bundle.T_world_camera[view - 1]) @ bundle.T_world_camera[view] for bundle in (now, start)
        )
        shift = _SHIFT_SIGMA * unit + _STEP_SIGMA * np.linalg.norm(T_start[:3, 3])
        weight = np.repeat([_TURN_SIGMA**-2, shift**-2], 3)
        R = T[:3, :3]
        off = np.concatenate(
            [Rotation.from_matrix(T_start[:3, :3].T @ R).as_rotvec(), R.T @ (T[:3, 3] - T_start[:3, 3])]
        )
        # Where the stream was wrong, it was so by far.
        weight = weight / (1 + (weight * off**2).sum() / len(off))
        own = np.eye(6)
        before = -np.block([[R.T, np.zeros((3, 3))], [-R.T @ _cross(T[None, :3, 3])[0], R.T]])
        for one, J in ((view - 1, before), (view, own)):
            gradient[one, :6] += J.T @ (weight * off)
            for other, J_other in ((view - 1, before), (view, own)):
                hessian[one, :6, other, :6] += (J.T * weight) @ J_other
    return hessian.reshape(num_views * _SIZE, -1), gradient.reshape(-1)


def _add(hessian: np.ndarray, gradient: np.ndarray, now: Bundle, track: Track, K: np.ndarray, noise_px: float) -> None:
    """Add the equations of a track."""
    jacobian, residual = linearized(now, track, K)
    weight = _weights(residual, noise_px)
    flat = jacobian.reshape(-1, 2 * _SIZE)
    weighted = flat * weight.reshape(-1, 1)
    H, g = weighted.T @ flat, weighted.T @ residual.reshape(-1)
    parts = [slice(view * _SIZE, (view + 1) * _SIZE) for view in (track.source, track.target)]
    own = [slice(0, _SIZE), slice(_SIZE, None)]
    for rows, its_rows in zip(parts, own, strict=True):
        gradient[rows] += g[its_rows]
        for columns, its_columns in zip(parts, own, strict=True):
            hessian[rows, columns] += H[its_rows, its_columns]


def _weights(residual: np.ndarray, noise_px: float) -> np.ndarray:
    """Return the weights ``n 3`` of residuals, those of outliers reduced (Cauchy)."""
    sigma = np.array([noise_px, noise_px, _DEPTH_NOISE])
    squared = (residual / sigma) ** 2
    squared[:, :2] = squared[:, :2].sum(1, keepdims=True)
    return 1 / (sigma**2 * (1 + squared))


def detailed(now: Bundle, tracks: Sequence[Track], K: np.ndarray, noise_px: float) -> Bundle:
    """Return the bundle with the details of each view's depth that its tracks show, path and other views fixed."""
    place = np.stack(np.meshgrid(*map(np.arange, (*KNOTS, NUM_LAYERS)), indexing="ij"), -1).reshape(-1, 3)
    squares = (((place[:, None] - place) / _DETAIL_REACH) ** 2).sum(-1)
    information = np.linalg.inv(_DETAIL**2 * np.exp(-0.5 * squares) + 1e-4 * np.eye(len(place)))
    size = len(place)
    found = now.detail.copy()
    for view in range(len(found)):
        hessian, gradient = information.copy(), information @ now.detail[view].reshape(-1)
        for track in tracks:
            if track.source != view:
                continue
            jacobian, residual = linearized(now, track, K)
            along, weight = jacobian[..., 6:_SIZE].sum(2), _weights(residual, noise_px)
            weights = (track.knots[..., None] * track.layers[:, None]).reshape(-1, size)
            hessian += (weights.T * (weight * along**2).sum(1)) @ weights
            gradient += weights.T @ (weight * along * residual).sum(1)
        found[view] -= np.linalg.solve(hessian, gradient).reshape(found[view].shape)
    return Bundle(now.T_world_camera, now.log_depth, found)


def linearized(now: Bundle, track: Track, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return derivatives ``n 3 2*_SIZE`` and residuals ``n 3`` of a track: pixels along (x, y), log depth."""
    correction = now.correction(track.source, track.knots, track.layers)
    points = track.rays * np.exp(track.log_depth + correction)[:, None]
    seen = now.seen(track.source, track.target, points)
    R = now.T_world_camera[track.target][:3, :3].T @ now.T_world_camera[track.source][:3, :3]
    z = np.maximum(seen[:, 2], 1e-3)
    x, y = seen[:, 0] / z, seen[:, 1] / z
    place = np.stack([K[0, 0] * x + K[0, 2], K[1, 1] * y + K[1, 2]], axis=1)
    there = track.target_log_depth + now.correction(track.target, track.target_knots, track.target_layers)
    residual = np.column_stack([place - track.place, np.log(z) - there])
    slopes = np.zeros((len(z), 3, 3))
    slopes[:, 0, 0], slopes[:, 0, 2] = K[0, 0] / z, -K[0, 0] * x / z
    slopes[:, 1, 1], slopes[:, 1, 2] = K[1, 1] / z, -K[1, 1] * y / z
    slopes[:, 2, 2] = 1 / z
    by_source = slopes @ R
    jacobian = np.zeros((len(z), 3, 2 * _SIZE))
    jacobian[:, :, :3], jacobian[:, :, 3:6] = -by_source @ _cross(points), by_source
    jacobian[:, :, 6:_SIZE] = (by_source @ points[..., None]) * track.knots[:, None]
    jacobian[:, :, _SIZE : _SIZE + 3], jacobian[:, :, _SIZE + 3 : _SIZE + 6] = slopes @ _cross(seen), -slopes
    jacobian[:, 2, _SIZE + 6 :] = -track.target_knots
    # Where the target has no depth.
    is_unknown = ~np.isfinite(residual[:, 2]) | (seen[:, 2] < 0.05)
    residual[is_unknown, 2] = 0
    jacobian[is_unknown, 2] = 0
    behind = seen[:, 2] < 0.05
    residual[behind], jacobian[behind] = 0, 0
    return jacobian, residual


def _cross(vectors: np.ndarray) -> np.ndarray:
    """Return ``n 3 3`` matrices of the cross product with ``n 3`` vectors."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
