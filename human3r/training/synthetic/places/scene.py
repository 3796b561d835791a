"""Records of a built scene, with tests for free floor and lines of sight."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from human3r.training.synthetic.places.furniture import FurnitureStore
from human3r.training.synthetic.rendering.environment import Environment
from human3r.training.synthetic.rendering.mesh import Mesh
from human3r.training.synthetic.rendering.renderer import Lights
from human3r.training.synthetic.rendering.textures import TextureBank

_MOVING_M = (0.05, 1.8)
"""Heights between which people move."""


@dataclass(frozen=True)
class SceneAssets:
    """Assets of scenes; each may be empty and is then replaced by procedural content."""

    furniture: FurnitureStore
    environments: dict[str, Environment]


@dataclass(frozen=True)
class Obstacle:
    """An axis-aligned box that people and cameras must avoid."""

    low: tuple[float, ...]
    """(x, y, z), meters."""
    high: tuple[float, ...]
    """(x, y, z), meters."""


@dataclass(frozen=True)
class Scene:
    """A place without people."""

    kind: str
    mesh: Mesh
    bank: TextureBank
    lights: Lights
    floor: tuple[float, float, float, float]
    """(x0, z0, x1, z1) where people may be, meters, at y = 0."""
    ceiling_m: float
    """Cameras stay below this height."""
    camera_area: tuple[float, float, float, float]
    """(x0, z0, x1, z1) where cameras may be."""
    obstacles: list[Obstacle] = field(default_factory=list)

    def is_free(self, x: ArrayLike, z: ArrayLike, margin: float) -> np.ndarray:
        """Return which floor points keep ``margin`` to obstacles where people move, and to the floor's border."""
        x, z = np.asarray(x), np.asarray(z)
        x0, z0, x1, z1 = self.floor
        free = (x > x0 + margin) & (x < x1 - margin) & (z > z0 + margin) & (z < z1 - margin)
        for obstacle in self.obstacles:
            if obstacle.low[1] > _MOVING_M[1] or obstacle.high[1] < _MOVING_M[0]:
                continue
            inside_x = (x > obstacle.low[0] - margin) & (x < obstacle.high[0] + margin)
            free &= ~(inside_x & (z > obstacle.low[2] - margin) & (z < obstacle.high[2] + margin))
        return free

    def sees(self, start: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return which segments from one point to ``N 3`` points hit no obstacle."""
        blocked = np.zeros(len(ends), bool)
        for obstacle in self.obstacles:
            direction = ends - start
            with np.errstate(divide="ignore", invalid="ignore"):
                near, far = (np.array(obstacle.low) - start) / direction, (np.array(obstacle.high) - start) / direction
            first, last = np.minimum(near, far).max(1), np.maximum(near, far).min(1)
            blocked |= (first < last) & (first < 0.97) & (last > 0)
        return ~blocked


def obstacle_of(mesh: Mesh) -> Obstacle:
    """Return the bounding box of a mesh as an obstacle."""
    low, high = mesh.bounds()
    return Obstacle(tuple(float(v) for v in low), tuple(float(v) for v in high))
