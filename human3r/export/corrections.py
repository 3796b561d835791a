"""What bones alone cannot say, as a few morph targets: facial expression and pose correctives.

SMPL-X adds both to the rest mesh before skinning, which is also where glTF applies morphs, so a weighted sum of
displaced rest meshes is exact up to the rank that is kept. Source: SMPL-X (arXiv 1904.05866), eq. 1 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.export.motion import PersonMotion
    from human3r.reconstruction import Reconstruction

MAX_TARGETS = 16
"""Enough for all ten expressions plus the strongest pose correctives; more would bloat the file (126 kB each)."""
TOLERANCE_M = 2e-4
"""Displacements that stay below this everywhere are not worth a morph target."""
MAX_BASIS_FRAMES = 200
"""Frames from which the basis is found; longer tracks are sampled evenly, then all frames are projected on it."""


@dataclass(frozen=True)
class Corrections:
    """K morph targets of one person, with weights that stay within [0, 1] (Blender clamps others)."""

    base: np.ndarray
    """``V 3`` float32 to add to the rest mesh."""
    targets: np.ndarray
    """``K V 3`` float32 displacements, metres."""
    weights: np.ndarray
    """``n K`` float32 in [0, 1], one row per seen frame."""
    residual_m: float
    """Largest displacement that the kept targets miss, over the frames of the basis."""


def build_corrections(
    reconstruction: Reconstruction, motion: PersonMotion, body: SmplxBody, max_targets: int = MAX_TARGETS
) -> Corrections:
    """Fit morph targets to the displacements of the rest mesh over one track."""
    num_frames, num_vertices = len(motion.rows), len(motion.rest_vertices)
    coefficients, directions = _displacement_model(reconstruction, motion, body)
    none = Corrections(
        np.zeros((num_vertices, 3), np.float32),
        np.zeros((0, num_vertices, 3), np.float32),
        np.zeros((num_frames, 0), np.float32),
        0.0,
    )
    if directions.shape[1] == 0 or not np.any(coefficients):
        return none
    sample = np.unique(np.linspace(0, num_frames - 1, min(num_frames, MAX_BASIS_FRAMES)).round().astype(int))
    offsets = (coefficients[sample] @ directions.T).astype(np.float32)
    basis, residual = _principal_directions(offsets, max_targets)
    if len(basis) == 0:
        none_residual = float(residual)
        return Corrections(none.base, none.targets, none.weights, none_residual)
    weights = coefficients @ (directions.T @ basis.T)
    low, span = weights.min(axis=0), np.ptp(weights, axis=0)
    span = np.where(span > 0, span, 1.0)
    return Corrections(
        base=(low @ basis).reshape(-1, 3).astype(np.float32),
        targets=(span[:, None] * basis).reshape(len(basis), -1, 3).astype(np.float32),
        weights=((weights - low) / span).astype(np.float32),
        residual_m=float(residual),
    )


def _displacement_model(
    reconstruction: Reconstruction, motion: PersonMotion, body: SmplxBody
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``n C`` coefficients and ``3V C`` directions whose product displaces the rest mesh."""
    expression = reconstruction.expression[motion.rows].astype(np.float64)
    expression -= expression.mean(axis=0)
    face = body.expression_directions.detach().cpu().numpy().reshape(-1, expression.shape[1]).astype(np.float64)
    coefficients, directions = [expression], [face]
    if body.pose_directions is not None:
        identity = np.eye(3)
        features = (motion.R_parent_joint[:, 1:].astype(np.float64) - identity).reshape(len(motion.rows), -1)
        pose = body.pose_directions.detach().cpu().numpy()
        coefficients.append(features)
        directions.append(pose.reshape(-1, pose.shape[-1]).astype(np.float64))
    return np.concatenate(coefficients, axis=1), np.concatenate(directions, axis=1)


def _principal_directions(offsets: np.ndarray, max_targets: int) -> tuple[np.ndarray, float]:
    """Return orthonormal rows that span ``offsets`` to within the tolerance, and the largest displacement missed."""
    values, vectors = np.linalg.eigh((offsets @ offsets.T).astype(np.float64))
    order = np.argsort(-values)
    remainder, basis = offsets.astype(np.float64), []
    for index in order[:max_targets]:
        missed = np.linalg.norm(remainder.reshape(len(offsets), -1, 3), axis=2).max()
        if missed < TOLERANCE_M or values[index] <= 1e-12:
            break
        direction = vectors[:, index] @ offsets / np.sqrt(values[index])
        direction /= np.linalg.norm(direction)
        basis.append(direction)
        remainder = remainder - np.outer(remainder @ direction, direction)
    missed = np.linalg.norm(remainder.reshape(len(offsets), -1, 3), axis=2).max()
    return np.array(basis).reshape(len(basis), offsets.shape[1]), float(missed)
