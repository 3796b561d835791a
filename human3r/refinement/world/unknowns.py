"""Unknowns of the joint estimate of ``fit``, and soles, scene and ground as functions of them. NumPy only."""

from __future__ import annotations

import numpy as np

from human3r.refinement.world.depth_correction import NUM_BENDS
from human3r.refinement.world.evidence import ShotEvidence

BENDS = slice(1, 1 + NUM_BENDS)
"""Among the unknowns: log scale, bends, tilt along the view and sideways, heights of floor and level ground, sizes."""
TILT = slice(1 + NUM_BENDS, 3 + NUM_BENDS)
HEIGHT, GROUND, SIZES = 3 + NUM_BENDS, 4 + NUM_BENDS, 5 + NUM_BENDS
"""Place of the floor's height, of that of level ground before the scene is scaled, and of the first size."""
_NUM_NEAR = 24


class WorldUnknowns:
    """What a vector ``U`` of unknowns makes of the evidence of a shot; world axes, from its first camera."""

    def __init__(self, evidence: ShotEvidence) -> None:
        self._evidence = evidence

    def start(self, mean: np.ndarray, log_scale: float) -> np.ndarray:
        """Return the mean ``U`` with another scale, and the heights that belong to it."""
        x = mean.copy()
        x[0] = log_scale
        x[HEIGHT] = np.median(self.soles(x) @ self.up(x))
        x[GROUND] = np.exp(-log_scale) * x[HEIGHT]
        return x

    def up(self, x: np.ndarray) -> np.ndarray:
        """Return the floor's unit normal ``3``."""
        up = self._evidence.up + x[TILT] @ self._evidence.tilt_axes
        return up / np.linalg.norm(up)

    def soles(self, x: np.ndarray) -> np.ndarray:
        """Return ``n 3`` soles."""
        evidence = self._evidence
        factor = np.exp(x[SIZES:][evidence.identity])
        return np.exp(x[0]) * evidence.cameras + factor[:, None] * evidence.soles

    def points(self, x: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return scene points ``M 3``, or some of them, before they are scaled."""
        evidence = self._evidence
        factor = np.exp(evidence.point_bends[rows] @ x[BENDS])
        return evidence.point_cameras[rows] + factor[:, None] * evidence.points[rows]

    def slopes_of_soles(self, x: np.ndarray) -> np.ndarray:
        """Return ``n U`` derivatives of the soles' heights."""
        evidence, up = self._evidence, self.up(x)
        slopes = np.zeros((len(evidence.soles), len(x)))
        slopes[:, 0] = np.exp(x[0]) * evidence.cameras @ up
        slopes[:, TILT] = self.soles(x) @ evidence.tilt_axes.T
        rows = np.arange(len(slopes))
        slopes[rows, SIZES + evidence.identity] = np.exp(x[SIZES:][evidence.identity]) * (evidence.soles @ up)
        return slopes

    def slopes_of_points(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return ``... U`` derivatives of the heights of ``...`` points before they are scaled."""
        evidence, up, flat = self._evidence, self.up(x), rows.reshape(-1)
        place = self.points(x, flat)
        slopes = np.zeros((len(flat), len(x)))
        slopes[:, BENDS] = ((place - evidence.point_cameras[flat]) @ up)[:, None] * evidence.point_bends[flat]
        slopes[:, TILT] = place @ evidence.tilt_axes.T
        return slopes.reshape(*rows.shape, len(x))

    def slopes_of_surface(
        self, x: np.ndarray, points: np.ndarray, soles: np.ndarray, height: np.ndarray, flat: np.ndarray
    ) -> np.ndarray:
        """Return ``n U`` derivatives of the surface's height under soles, taken for level there.

        Args:
            x: The unknowns.
            points: ``M 3`` scene, y-up.
            soles: ``n 3`` y-up.
            height: ``n`` of the surface.
            flat: ``3`` factors on the axes, for what is near.
        """
        from scipy.spatial import KDTree

        # The points that make the surface: nearest to its height under the foot.
        wanted = np.column_stack([soles[:, 0], height, soles[:, 2]])
        # Few are asked for: a tree that is built fast, not one that is searched fast.
        tree = KDTree(points * flat, balanced_tree=False, compact_nodes=False)
        near = tree.query(wanted * flat, k=min(_NUM_NEAR, len(points)))[1].reshape(len(soles), -1)
        slopes = np.exp(x[0]) * self.slopes_of_points(x, near).mean(1)
        slopes[:, 0] = points[near, 1].mean(1)
        return slopes
