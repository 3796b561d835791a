"""The fused scene points as viewers get them: thinned to a bound, in the y-up world whose floor is y = 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from human3r.reconstruction import Reconstruction

MAX_POINTS = 200_000
"""More points make files for the web heavy without looking denser; ``points.ply`` and the npz hold them all."""


def thinned_points(reconstruction: Reconstruction, limit: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return at most ``limit`` points ``M 3`` float32 in metres and their colours ``M 3`` uint8, evenly thinned."""
    count = len(reconstruction.points_world)
    chosen = np.arange(count)
    if count > limit:
        chosen = np.sort(np.random.default_rng(0).choice(count, limit, replace=False))
    T = reconstruction.T_gravity_world.astype(np.float64)
    points = reconstruction.points_world[chosen] @ T[:3, :3].T + T[:3, 3]
    return points.astype(np.float32), reconstruction.points_color[chosen]
