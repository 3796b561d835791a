"""Place furniture in a room: along the walls facing inwards, in groups in the middle, small items on tables."""

from __future__ import annotations

import re

import numpy as np

from human3r.training.synthetic.places.furniture import FurnitureItem, FurnitureStore
from human3r.training.synthetic.places.scene import Obstacle, obstacle_of
from human3r.training.synthetic.places.walls import Wall
from human3r.training.synthetic.rendering.mesh import Mesh, translation, turn_y
from human3r.training.synthetic.rendering.textures import TextureBank

TABLES = re.compile(r"table|desk|biurko", re.IGNORECASE)
NOT_TABLES = re.compile(r"bedside|technical|football|tennis|pool|coffee", re.IGNORECASE)
CHAIRS = re.compile(r"chair|silla|stool|seat|thonet|fotel", re.IGNORECASE)
LOW_SEATS = re.compile(r"sofa|couch|armchair|fotel|bench", re.IGNORECASE)


class Furnisher:
    """Places models one after another and keeps their footprints as obstacles."""

    def __init__(
        self,
        rng: np.random.Generator,
        store: FurnitureStore,
        bank: TextureBank,
        grain: int,
        is_validation: bool,
        budget: int,
    ) -> None:
        """Start empty; ``budget`` is the maximum number of triangles of all furniture."""
        self._rng, self._store, self._bank, self._grain = rng, store, bank, grain
        self._is_validation = is_validation
        self._budget = budget
        self._loaded: dict[str, Mesh] = {}
        self.meshes: list[Mesh] = []
        self.obstacles: list[Obstacle] = []

    def candidates(
        self, use: str, pattern: re.Pattern[str] | None = None, unlike: re.Pattern[str] | None = None
    ) -> list[FurnitureItem]:
        """List the items of this split for a use, by name."""
        items = self._store.choose(use, self._is_validation)
        items = [item for item in items if pattern is None or pattern.search(item.name)]
        return [item for item in items if unlike is None or not unlike.search(item.name)]

    def place(
        self, item: FurnitureItem, x: float, z: float, angle: float, y: float = 0.0, margin: float = 0.05
    ) -> Mesh | None:
        """Place an item; return None if it would collide or exceed the triangle budget."""
        mesh = self._load(item)
        if len(mesh.faces) > self._budget:
            return None
        mesh = mesh.moved(translation(x, y, z) @ turn_y(angle))
        spot = obstacle_of(mesh)
        if any(_overlap(spot, other, margin) for other in self.obstacles):
            return None
        self._budget -= len(mesh.faces)
        self.meshes.append(mesh)
        self.obstacles.append(spot)
        return mesh

    def along_walls(self, walls: list[Wall], count: int) -> None:
        """Put floor and wall items with their back to the walls."""
        standing, hanging = (
            self.candidates("floor", unlike=re.compile(r"poolTable|table_tennis|^table$")),
            self.candidates("wall"),
        )
        for attempt in range(count * 3):
            wall = walls[self._rng.integers(len(walls))]
            is_hanging = bool(hanging) and self._rng.uniform() < 0.12
            pool = hanging if is_hanging else standing
            if not pool or attempt - count * 2 > len(self.meshes):
                return
            item = pool[self._rng.integers(len(pool))]
            width, height, depth = item.size_m
            if width > wall.length - 0.2:
                continue
            along = self._rng.uniform(width / 2 + 0.05, wall.length - width / 2 - 0.05)
            if self._blocks_opening(wall, along - width / 2, along + width / 2, height):
                continue
            y = (item.elevation_m or 1.5) if is_hanging else 0.0
            if y + height > wall.height:
                continue
            spot = wall.at(along, 0, depth / 2 + self._rng.uniform(0.01, 0.06))
            # The front of an item is +z and faces into the room.
            angle = np.arctan2(wall.inward[0], wall.inward[2]) + (0 if is_hanging else self._rng.normal(0, 0.01))
            mesh = self.place(item, spot[0], spot[2], angle, y)
            if mesh is not None and not is_hanging and 0.35 < height < 1.3 and self._rng.uniform() < 0.6:
                self.place_small_items(mesh, int(self._rng.integers(1, 4)))

    def group(self, x: float, z: float) -> None:
        """Put a table with chairs around a point, or sometimes a single item."""
        tables = self.candidates("floor", TABLES, NOT_TABLES)
        chairs = self.candidates("floor", CHAIRS, LOW_SEATS)
        if not tables or self._rng.uniform() < 0.2:
            pool = self.candidates("floor")
            if pool:
                self.place(pool[self._rng.integers(len(pool))], x, z, self._rng.uniform(0, 2 * np.pi))
            return
        table = tables[self._rng.integers(len(tables))]
        angle = self._rng.choice([0, np.pi / 2]) + self._rng.normal(0, 0.03)
        mesh = self.place(table, x, z, angle)
        if mesh is None:
            return
        self.place_small_items(mesh, int(self._rng.integers(0, 5)))
        if not chairs:
            return
        chair = chairs[self._rng.integers(len(chairs))]
        width, _, depth = table.size_m
        for side in range(4):
            reach = (depth if side % 2 == 0 else width) / 2 + self._rng.uniform(0.1, 0.4)
            direction = angle + side * np.pi / 2
            count = 2 if (width if side % 2 == 0 else depth) > 1.3 else 1
            for seat in range(count):
                if self._rng.uniform() < 0.25:
                    continue
                shift = 0.0 if count == 1 else (seat - 0.5) * 0.65
                offset_x = np.sin(direction) * reach + np.cos(direction) * shift
                offset_z = np.cos(direction) * reach - np.sin(direction) * shift
                turn = direction + np.pi + self._rng.normal(0, 0.25)
                self.place(chair, x + offset_x, z + offset_z, turn, margin=-0.25)

    def place_small_items(self, mesh: Mesh, count: int) -> None:
        """Place small items on the highest flat part of a mesh."""
        small = self.candidates("small")
        top = _flat_top(mesh)
        if not small or top is None:
            return
        (x0, z0, x1, z1), y = top
        for _ in range(count):
            item = small[self._rng.integers(len(small))]
            reach = max(item.size_m[0], item.size_m[2]) / 2
            if x1 - x0 < 2 * reach or z1 - z0 < 2 * reach:
                continue
            x, z = self._rng.uniform(x0 + reach, x1 - reach), self._rng.uniform(z0 + reach, z1 - reach)
            self.place(item, x, z, self._rng.uniform(0, 2 * np.pi), y + 0.002, margin=-0.001)

    def _blocks_opening(self, wall: Wall, left: float, right: float, height: float) -> bool:
        for hole in wall.openings:
            room = 0.15 if hole.bottom > 0 else 0.3
            if left < hole.right + room and right > hole.left - room and height > hole.bottom:
                return True
        return False

    def _load(self, item: FurnitureItem) -> Mesh:
        key = f"{item.library}/{item.name}"
        if key not in self._loaded:
            self._loaded[key] = self._store.load(item, self._bank, self._grain)
        return self._loaded[key]


def _flat_top(mesh: Mesh) -> tuple[tuple[float, float, float, float], float] | None:
    """Return the rectangle (x0, z0, x1, z1), shrunk by 12 % per side, and the height of the highest large flat area."""
    corners = mesh.vertices[mesh.faces]
    is_flat = np.ptp(corners[..., 1], axis=1) < 0.003
    if not is_flat.any():
        return None
    flat = corners[is_flat]
    area = 0.5 * np.abs(np.cross(flat[:, 1, [0, 2]] - flat[:, 0, [0, 2]], flat[:, 2, [0, 2]] - flat[:, 0, [0, 2]]))
    height = np.round(flat[:, 0, 1], 2)
    levels = np.unique(height)
    extents = np.array([area[height == level].sum() for level in levels])
    best = levels[extents > 0.5 * extents.max()].max()
    if extents.max() < 0.1 or best < 0.3:
        return None
    chosen = flat[height == best].reshape(-1, 3)
    low, high = chosen.min(0), chosen.max(0)
    shrink = 0.12 * (high - low)
    return (low[0] + shrink[0], low[2] + shrink[2], high[0] - shrink[0], high[2] - shrink[2]), float(chosen[:, 1].max())


def _overlap(a: Obstacle, b: Obstacle, margin: float) -> bool:
    return all(
        a.low[axis] < b.high[axis] + (0 if axis == 1 else margin)
        and b.low[axis] < a.high[axis] + (0 if axis == 1 else margin)
        for axis in range(3)
    )
