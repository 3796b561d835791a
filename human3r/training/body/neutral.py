"""Make the bodies of a shape space mannequins: breasts, navel, groin and the cleft behind become smooth surfaces.

The same linear map is applied to the mean and to every direction, so all shapes are treated alike. Joints do not move:
they are targets of the joint regressor, which is fitted afterwards.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from human3r.training.body.shape_space import ShapeSpace

REGIONS_M: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((0.072, -0.085, 0.12), (0.088, 0.098, 0.10)),
    ((-0.072, -0.085, 0.12), (0.088, 0.098, 0.10)),
    ((0.0, -0.285, 0.12), (0.045, 0.045, 0.07)),
    ((0.0, -0.485, 0.09), (0.058, 0.055, 0.07)),
    ((0.0, -0.430, -0.12), (0.036, 0.085, 0.08)),
)
"""Ellipsoids on the mean body whose surface is replaced: center and half axes, meters, body frame."""
_MIN_COTANGENT, _MAX_COTANGENT = 0.05, 5.0
"""Bounds on the weights of slivers."""


def neutralize(space: ShapeSpace, faces: np.ndarray) -> ShapeSpace:
    """Return the space with the smoothest surface inside ``REGIONS_M`` that continues the surface around them.

    Args:
        space: Bodies with the vertices of ``faces``.
        faces: ``F 3``.
    """
    is_free = np.zeros(len(space.mean), dtype=bool)
    for center, half_axes in REGIONS_M:
        is_free |= (((space.mean - center) / half_axes) ** 2).sum(axis=1) < 1
    columns = np.concatenate([space.mean[..., None], space.directions], axis=-1)
    filled = _fill(space.mean, faces, is_free, columns.reshape(len(columns), -1)).reshape(columns.shape)
    return replace(space, mean=filled[..., 0], directions=filled[..., 1:])


def _fill(vertices: np.ndarray, faces: np.ndarray, is_free: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Replace ``N C`` values at free vertices by the solution of the biharmonic equation with the others fixed.

    Source: Botsch and Kobbelt 2004, "An intuitive framework for real-time freeform modeling", thin-plate energy.
    """
    laplacian = _laplacian(vertices, faces)
    edges = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    double_areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    area = np.bincount(faces.ravel(), np.repeat(double_areas / 6, 3), minlength=len(vertices))
    energy = (laplacian.T @ sparse.diags(1 / np.maximum(area, 1e-9)) @ laplacian).tocsr()
    free, fixed = np.flatnonzero(is_free), np.flatnonzero(~is_free)
    filled = columns.copy()
    filled[free] = splu(energy[free][:, free].tocsc()).solve(-(energy[free][:, fixed] @ columns[fixed]))
    return filled


def _laplacian(vertices: np.ndarray, faces: np.ndarray) -> sparse.csr_matrix:
    """Return the cotangent Laplacian ``N N`` of the surface."""
    rows, columns, weights = [], [], []
    for corner in range(3):
        a, b, c = (faces[:, (corner + step) % 3] for step in range(3))
        first, second = vertices[b] - vertices[a], vertices[c] - vertices[a]
        double_area = np.maximum(np.linalg.norm(np.cross(first, second), axis=1), 1e-12)
        weight = np.clip((first * second).sum(axis=1) / double_area, _MIN_COTANGENT, _MAX_COTANGENT) / 2
        rows += [b, c]
        columns += [c, b]
        weights += [weight, weight]
    index = (np.concatenate(rows), np.concatenate(columns))
    adjacency = sparse.csr_matrix((np.concatenate(weights), index), shape=(len(vertices), len(vertices)))
    return sparse.csr_matrix(sparse.diags(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency)
