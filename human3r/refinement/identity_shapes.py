"""One shape per identity; change shapes and distances of people so that their images stay nearly the same.

A body that grows moves away from the camera by the same factor; hands, face and pose stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from human3r.bodies import SmplxBody
from human3r.results.person_table import PersonTable
from human3r.results.posing import parameters_of_rows
from human3r.skeleton import TRUNK_JOINTS, body_size, bone_vectors

_BETA_RANGE = (-8.0, 5.0)


def mean_shapes(people: PersonTable, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``K`` identities and their score-weighted means of ``N 10`` betas."""
    identities, inverse = np.unique(people.person_track, return_inverse=True)
    weight = np.maximum(people.person_score.astype(np.float64), 1e-6)
    sums = np.zeros((len(identities), 10))
    np.add.at(sums, inverse, betas * weight[:, None])
    total = np.bincount(inverse, weight, minlength=len(identities))
    return identities, sums / np.maximum(total, 1e-12)[:, None]


def shape_of_each(people: PersonTable, betas: np.ndarray) -> np.ndarray:
    """Return ``N 10``: the mean shape of each row's identity."""
    identities, means = mean_shapes(people, betas)
    return means[np.searchsorted(identities, people.person_track)].astype(np.float32)


def body_sizes(body: SmplxBody, betas: np.ndarray) -> np.ndarray:
    """Return lengths from head to ankle along the bones of shapes ``N 10``: ``N`` meters."""
    values = torch.as_tensor(np.asarray(betas), dtype=torch.float32)
    return body_size(bone_vectors(body.rest_joints(values, torch.zeros_like(values)).double())).numpy()


def scaled_betas(body: SmplxBody, betas: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Change beta 0 (stature) of shapes ``N 10`` such that their sizes change by ``factor`` (``N``)."""
    goal = body_sizes(body, betas) * factor
    scaled = np.array(betas, dtype=np.float64)
    step = np.zeros(10)
    step[0] = 0.5
    # Bone lengths are nearly linear in a beta: three Newton steps are exact to the millimeter.
    for _ in range(3):
        size = body_sizes(body, scaled)
        slope = (body_sizes(body, scaled + step) - size) / step[0]
        # A body whose first beta is not stature is not changed.
        change = np.where(np.abs(slope) > 1e-3, (goal - size) / np.where(np.abs(slope) > 1e-3, slope, 1.0), 0.0)
        scaled[:, 0] = np.clip(scaled[:, 0] + change, *_BETA_RANGE)
    return scaled.astype(np.float32)


def with_shapes(
    people: PersonTable,
    body: SmplxBody,
    camera_position: np.ndarray,
    betas: np.ndarray,
    log_distance: np.ndarray | None = None,
) -> PersonTable:
    """Return the table with other shapes; the distance of every body follows its size.

    Args:
        people: N rows.
        body: Their body.
        camera_position: ``N 3`` of each row's camera, world, meters.
        betas: ``N 10`` new shapes.
        log_distance: ``N`` further change of the logarithm of the distance; None for none.
    """
    if len(people) == 0:
        return people
    factor = body_sizes(body, betas) / body_sizes(body, people.betas)
    if log_distance is not None:
        factor = factor * np.exp(log_distance)
    reshaped = replace(people, betas=np.asarray(betas, np.float32))
    with torch.inference_mode():
        joints = body.joints(parameters_of_rows(reshaped)).numpy()
    anchor = people.joints_world[:, TRUNK_JOINTS].mean(1)
    target = camera_position + (anchor - camera_position) * factor[:, None]
    shift = target - joints[:, TRUNK_JOINTS].mean(1)
    return replace(
        reshaped,
        transl=(people.transl + shift).astype(np.float32),
        joints_world=(joints + shift[:, None]).astype(np.float32),
    )
