"""Ten shape directions and the joint regressor.

Nine directions are principal components of adults, the tenth leads from adults to children: it keeps stature, which is
beta0's (0.1 m per unit), and gives childlike proportions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

NUM_ADULT_COMPONENTS = 9
CHILD_UNITS = 4.0
"""beta9 = 4 adds the proportions of a child: a large head, short legs, narrow shoulders."""

_TRUNK_M = (0.2, -0.45, -0.05)
"""The trunk of the mean body, arms and legs left out: largest |x|, lowest and highest y."""
_REGRESSOR_NEIGHBORS = 300
_REGRESSOR_RIDGE = 1e-7
_REGRESSOR_BOUND = 0.3
_EXPRESSION_WEIGHT = 0.1
_SUM_WEIGHT = 10.0


@dataclass(frozen=True)
class ShapeSpace:
    """A linear space of bodies."""

    mean: np.ndarray
    """``N 3`` mean adult."""
    directions: np.ndarray
    """``N 3 10`` meters per unit; coefficients of adults have unit variance (the last: see ``CHILD_UNITS``)."""
    joint_mean: np.ndarray
    """``55 3``"""
    joint_directions: np.ndarray
    """``55 3 10``"""


def fit_shape_space(vertices: np.ndarray, joints: np.ndarray, num_adults: int) -> ShapeSpace:
    """Principal components of the adults, plus the difference of children and adults without its stature component.

    Args:
        vertices: ``S N 3`` T-posed people, pelvis at the same place, adults first.
        joints: ``S 55 3`` their joints.
        num_adults: How many of them are adults.
    """
    bodies = np.concatenate([vertices.reshape(len(vertices), -1), joints.reshape(len(joints), -1)], axis=1)
    bodies = bodies.astype(np.float64)
    num_vertex_values = vertices[0].size
    adults, children = bodies[:num_adults], bodies[num_adults:]
    mean = adults.mean(axis=0)
    centered = adults - mean
    gram = centered[:, :num_vertex_values] @ centered[:, :num_vertex_values].T / (num_adults - 1)
    values, modes = np.linalg.eigh(gram)
    largest = np.argsort(values)[::-1][:NUM_ADULT_COMPONENTS]
    directions = centered.T @ modes[:, largest] / np.sqrt(num_adults - 1)
    directions *= _signs(
        mean[:num_vertex_values].reshape(-1, 3), directions[:num_vertex_values].reshape(-1, 3, NUM_ADULT_COMPONENTS)
    )
    way = children.mean(axis=0) - mean
    stature = directions[:, 0]
    surface = stature[:num_vertex_values]
    child = (way - stature * (surface @ way[:num_vertex_values]) / (surface @ surface)) / CHILD_UNITS
    directions = np.concatenate([directions, child[:, None]], axis=1)
    return ShapeSpace(
        mean=mean[:num_vertex_values].reshape(-1, 3),
        directions=directions[:num_vertex_values].reshape(-1, 3, directions.shape[1]),
        joint_mean=mean[num_vertex_values:].reshape(-1, 3),
        joint_directions=directions[num_vertex_values:].reshape(-1, 3, directions.shape[1]),
    )


def _signs(mean: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Positive is taller for the first component and a wider trunk for the others.

    Args:
        mean: ``N 3``.
        directions: ``N 3 C``.
    """
    is_trunk = (np.abs(mean[:, 0]) < _TRUNK_M[0]) & (mean[:, 1] > _TRUNK_M[1]) & (mean[:, 1] < _TRUNK_M[2])
    outwards = mean[is_trunk] * (1.0, 0.0, 1.0)
    wider = np.einsum("ni,nic->c", outwards, directions[is_trunk])
    top, bottom = mean[:, 1].argmax(), mean[:, 1].argmin()
    wider[0] = directions[top, 1, 0] - directions[bottom, 1, 0]
    return np.where(wider < 0, -1.0, 1.0)


def fit_joint_regressor(space: ShapeSpace, expressions: np.ndarray) -> np.ndarray:
    """Find for each joint a few hundred vertex weights that follow it through all shapes, and ignore expressions.

    Ridge and bounds keep the weights small: unbounded solutions reach -1.7 and would amplify noise in the vertices.

    Args:
        space: The shape space; its joints are the targets.
        expressions: ``N 3 10`` displacement per unit of expression.

    Returns:
        ``55 N`` rows sum to 1.
    """
    regressor = np.zeros((len(space.joint_mean), len(space.mean)))
    for row, joint in enumerate(space.joint_mean):
        near = np.argsort(np.linalg.norm(space.mean - joint, axis=1), kind="stable")[:_REGRESSOR_NEIGHBORS]
        equations = np.concatenate(
            [
                space.mean[near].T - joint[:, None],
                space.directions[near].reshape(len(near), -1).T,
                _EXPRESSION_WEIGHT * expressions[near].reshape(len(near), -1).T,
                _SUM_WEIGHT * np.ones((1, len(near))),
                np.sqrt(_REGRESSOR_RIDGE) * np.eye(len(near)),
            ]
        )
        targets = np.concatenate(
            [
                np.zeros(3),
                space.joint_directions[row].ravel(),
                np.zeros(expressions[0].size),
                [_SUM_WEIGHT],
                np.zeros(len(near)),
            ]
        )
        weights = lsq_linear(equations, targets, bounds=(-_REGRESSOR_BOUND, _REGRESSOR_BOUND)).x
        regressor[row, near] = weights / weights.sum()
    return regressor
