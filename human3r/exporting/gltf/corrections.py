"""Morph targets for what four bones per vertex cannot represent: face, changing shape, pose correctives, more bones.

glTF adds morphs to the rest mesh before skinning, as SMPL-X adds its own offsets, so a weighted sum of displaced rest
meshes is exact up to the rank that is kept. Source: SMPL-X (arXiv 1904.05866), eq. 1 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.exporting.motion import PersonMotion, Skin
    from human3r.results.reconstruction import Reconstruction

MAX_TARGETS = 24
"""Enough for all ten expressions, the strongest pose correctives and the vertices with more than four bones."""
TOLERANCE_M = 3e-4
"""Displacements below this everywhere get no morph target."""
MAX_BASIS_FRAMES = 200
"""Frames from which the basis is computed; longer tracks are sampled evenly, then all frames are projected on it."""
_CHUNK_FRAMES = 64


@dataclass(frozen=True)
class Corrections:
    """K morph targets of one person, with weights that stay within [0, 1] (Blender clamps others)."""

    base: np.ndarray
    """``V 3`` float32 to add to the rest mesh."""
    targets: np.ndarray
    """``K V 3`` float32 displacements, meters; exactly zero where a target moves nothing."""
    weights: np.ndarray
    """``n K`` float32 in [0, 1], one row per seen frame."""
    residual_m: float
    """Largest displacement that the targets miss, over the frames of the basis."""


def build_corrections(reconstruction: Reconstruction, motion: PersonMotion, body: SmplxBody, skin: Skin) -> Corrections:
    """Fit morph targets to the displacements of the rest mesh over one track."""
    model = _DisplacementModel(reconstruction, motion, body, skin)
    count, num_vertices = len(motion.rows), len(motion.rest_vertices)
    sample = np.unique(np.linspace(0, count - 1, min(count, MAX_BASIS_FRAMES)).round().astype(int))
    offsets = model.displacements(sample)
    basis, residual_m = _principal_directions(offsets)
    del offsets
    chunks = [np.arange(first, min(first + _CHUNK_FRAMES, count)) for first in range(0, count, _CHUNK_FRAMES)]
    weights = np.concatenate([model.displacements(chunk) @ basis.T for chunk in chunks])
    low, span = weights.min(axis=0), np.ptp(weights, axis=0)
    span = np.where(span > 0, span, 1.0)
    return Corrections(
        base=(low @ basis).reshape(num_vertices, 3).astype(np.float32),
        targets=(span[:, None] * basis).reshape(len(basis), num_vertices, 3).astype(np.float32),
        weights=((weights - low) / span).astype(np.float32),
        residual_m=residual_m,
    )


class _DisplacementModel:
    """Return the position of each rest vertex for which four-bone skinning gives the vertex of the full body."""

    def __init__(self, reconstruction: Reconstruction, motion: PersonMotion, body: SmplxBody, skin: Skin) -> None:
        self._rest = motion.rest_vertices.astype(np.float64)
        expression = reconstruction.expression[motion.rows].astype(np.float64)
        betas = reconstruction.betas[motion.rows].astype(np.float64) - motion.betas
        terms = [
            (expression - expression.mean(axis=0), body.expression_directions),
            (betas, body.shape_directions),
        ]
        if body.pose_directions is not None:
            features = motion.R_parent_joint[:, 1:].astype(np.float64) - np.eye(3)
            terms.append((features.reshape(len(motion.rows), -1), body.pose_directions))
        self._terms = [
            (coefficients.astype(np.float32), directions.detach().cpu().numpy().reshape(-1, coefficients.shape[1]))
            for coefficients, directions in terms
            if np.abs(coefficients).max() > 1e-6
        ]
        full = body.skinning_weights.detach().cpu().numpy().astype(np.float64)
        four = np.zeros_like(full)
        np.add.at(four, (np.arange(len(full))[:, None], skin.joint_index.astype(np.int64)), skin.joint_weight)
        self._cut = np.flatnonzero(np.abs(full - four).max(axis=1) > 1e-5)
        self._full, self._four = full[self._cut], four[self._cut]
        R, rest_joints = motion.R_world_joint.astype(np.float64), motion.rest_joints.astype(np.float64)
        shift = motion.bones_world - (R @ rest_joints[..., None])[..., 0]
        self._bones = np.concatenate([R, shift[..., None]], axis=-1)

    def displacements(self, frames: np.ndarray) -> np.ndarray:
        """Return ``m 3V`` float32 for ``m`` of the seen frames."""
        offsets = np.zeros((len(frames), self._rest.size), dtype=np.float32)
        for coefficients, directions in self._terms:
            offsets += coefficients[frames] @ directions.T
        if len(self._cut):
            offsets = offsets.reshape(len(frames), -1, 3)
            offsets[:, self._cut] = self._undo_cut(frames, offsets[:, self._cut])
        return offsets.reshape(len(frames), -1)

    def _undo_cut(self, frames: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Pose the vertices with more than four bones by all of them, then undo the remaining four: ``m S 3``."""
        bones = self._bones[frames].reshape(len(frames), -1, 12)
        full = (self._full @ bones).reshape(len(frames), -1, 3, 4)
        four = (self._four @ bones).reshape(len(frames), -1, 3, 4)
        rest = self._rest[self._cut]
        posed = (full[..., :3] @ (rest + offsets)[..., None])[..., 0] + full[..., 3]
        return np.linalg.solve(four[..., :3], (posed - four[..., 3])[..., None])[..., 0] - rest


def _principal_directions(offsets: np.ndarray) -> tuple[np.ndarray, float]:
    """Return orthonormal rows that span ``offsets`` (``m 3V``) to within the tolerance, and the worst miss in meters.

    Found through the small ``m m`` Gram matrix, largest energy first.
    """
    values, vectors = np.linalg.eigh((offsets @ offsets.T).astype(np.float64))
    remainder, basis = offsets, []
    for index in np.argsort(-values)[:MAX_TARGETS]:
        if _longest(remainder) < TOLERANCE_M or values[index] <= 1e-12:
            break
        direction = (vectors[:, index] @ offsets).astype(np.float32)
        direction /= np.linalg.norm(direction)
        basis.append(direction)
        remainder = remainder - np.outer(remainder @ direction, direction)
    return np.array(basis, dtype=np.float32).reshape(len(basis), offsets.shape[1]), _longest(remainder)


def _longest(offsets: np.ndarray) -> float:
    squares = (offsets.reshape(len(offsets), -1, 3) ** 2).sum(axis=2)
    return float(np.sqrt(squares.max()))
