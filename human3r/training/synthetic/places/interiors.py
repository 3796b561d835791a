"""Parts of a room besides furniture: walls with openings, curtains and pictures, ceilings, columns, shelves, rugs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from human3r.training.synthetic.places import surfaces
from human3r.training.synthetic.places.scene import SceneAssets
from human3r.training.synthetic.places.surfaces import Surface, make_surface
from human3r.training.synthetic.places.walls import Wall, curtain_mesh, opening_mesh, skirting_mesh, wall_mesh
from human3r.training.synthetic.rendering.mesh import Material, Mesh, box, join_meshes, quad
from human3r.training.synthetic.rendering.textures import TextureBank


@dataclass(frozen=True)
class RoomPlan:
    """Kind and inner size of a room, meters."""

    kind: str
    width: float
    depth: float
    height: float

    @property
    def is_public(self) -> bool:
        """Whether the room is lit by panels and sparsely furnished."""
        return self.kind != "home"


def wall_parts(
    rng: np.random.Generator, bank: TextureBank, plan: RoomPlan, walls: list[Wall], trim: Surface
) -> list[Mesh]:
    """Build the walls with doors, windows, curtains and skirting boards."""
    common = surfaces.wall_surface(rng, bank)
    lower = surfaces.wall_surface(rng, bank) if rng.uniform() < 0.18 else None
    lower_height = float(rng.uniform(0.8, 1.4))
    skirting = float(rng.uniform(0.05, 0.15)) if rng.uniform() < 0.75 else 0.0
    cloth = surfaces.cloth_surface(rng, bank) if rng.uniform() < 0.5 and not plan.is_public else None
    meshes = []
    for wall in walls:
        surface = common if rng.uniform() < 0.8 else surfaces.wall_surface(rng, bank)
        meshes.append(wall_mesh(wall, surface, lower, lower_height))
        for hole in wall.openings:
            meshes.append(opening_mesh(wall, hole, trim, rng))
            if cloth is not None and hole.kind == "window":
                meshes.append(curtain_mesh(wall, hole, cloth, rng))
        if skirting and (board := skirting_mesh(wall, trim, skirting)) is not None:
            meshes.append(board)
    return meshes


def rooms_behind(rng: np.random.Generator, bank: TextureBank, walls: list[Wall], floor: Surface) -> list[Mesh]:
    """Build an empty room behind every wall with a door, so that open doors do not show the background."""
    meshes = []
    for wall in walls:
        if not any(hole.kind != "window" for hole in wall.openings):
            continue
        paint = surfaces.wall_surface(rng, bank)
        deep = float(rng.uniform(1.5, 4.0))
        high = wall.height
        out = -wall.inward * deep
        base = wall.at(0, 0, -0.13)
        side, up = wall.along * wall.length, np.array([0, high, 0])
        meshes += [
            paint.quad(base + out, side, up),
            paint.quad(base, out, up),
            paint.quad(base + side, out, up),
            floor.quad(base + wall.inward * 0.13, side, out * 1.1),
            quad(base + up, side, out, Material((0.8, 0.8, 0.8))),
        ]
    return meshes


def ceiling_parts(rng: np.random.Generator, bank: TextureBank, plan: RoomPlan) -> list[Mesh]:
    """Build the ceiling, sometimes with beams."""
    look = surfaces.ceiling_surface(rng, bank, plan.is_public)
    x, z, high = plan.width / 2, plan.depth / 2, plan.height
    meshes = [look.quad([-x, high, -z], [2 * x, 0, 0], [0, 0, 2 * z])]
    if plan.kind in ("hall", "home") and rng.uniform() < 0.15:
        beam = surfaces.trim_surface(rng, bank)
        for place in np.arange(-z + 0.6, z - 0.3, rng.uniform(0.9, 2.5)):
            meshes.append(beam.box([-x, high - 0.22, place], [x, high, place + 0.16]))
    return meshes


def structure_parts(rng: np.random.Generator, bank: TextureBank, plan: RoomPlan, trim: Surface) -> list[Mesh]:
    """Build columns in halls and offices, and rows of filled shelves in shops."""
    x, z = plan.width / 2, plan.depth / 2
    meshes = []
    if plan.kind in ("hall", "office") and rng.uniform() < 0.5 and plan.width > 6:
        look = surfaces.wall_surface(rng, bank)
        half = rng.uniform(0.15, 0.35)
        for place in np.arange(-z + 2, z - 1.5, rng.uniform(3, 6)):
            for side in (-x / 2, x / 2):
                meshes.append(look.box([side - half, 0, place - half], [side + half, plan.height, place + half]))
    if plan.kind == "shop":
        pitch, deep, high = rng.uniform(2.0, 3.0), rng.uniform(0.45, 0.9), rng.uniform(1.4, 2.3)
        for place in np.arange(-x + 1.2, x - 1.0, pitch):
            meshes += _shelf_row(rng, bank, trim, (place, place + deep), (-z + 1.6, z - 1.6), high)
    return meshes


def _shelf_row(
    rng: np.random.Generator,
    bank: TextureBank,
    trim: Surface,
    across: tuple[float, float],
    along: tuple[float, float],
    high: float,
) -> list[Mesh]:
    levels = np.arange(0.1, high, rng.uniform(0.32, 0.5))
    middle = sum(across) / 2
    parts = [trim.box([middle - 0.02, 0, along[0]], [middle + 0.02, high, along[1]])]
    goods = [make_surface(bank, surfaces.picture(rng, []), 0.25).material for _ in range(8)]
    for level in levels:
        parts.append(trim.box([across[0], level - 0.03, along[0]], [across[1], level, along[1]]))
        place = along[0] + 0.05
        while place < along[1] - 0.3:
            wide, tall = rng.uniform(0.08, 0.4), rng.uniform(0.12, 0.3)
            look = goods[rng.integers(len(goods))]
            inset = rng.uniform(0.02, 0.12)
            if rng.uniform() < 0.9:
                parts.append(
                    box([across[0] + inset, level, place], [across[1] - inset, level + tall, place + wide], look, 0.25)
                )
            place += wide + rng.uniform(0.01, 0.08)
    return [join_meshes(parts)]


def picture_parts(
    rng: np.random.Generator, bank: TextureBank, walls: list[Wall], assets: SceneAssets, trim: Surface
) -> list[Mesh]:
    """Build up to five framed pictures on the walls."""
    photographs = [environment.image for environment in assets.environments.values()]
    meshes = []
    for _ in range(int(rng.integers(0, 6))):
        wall = walls[rng.integers(4)]
        width, height = rng.uniform(0.25, 1.4), rng.uniform(0.25, 1.0)
        if wall.length < width + 0.6 or wall.height < 2.2:
            continue
        left, bottom = rng.uniform(0.3, wall.length - width - 0.3), rng.uniform(1.0, max(1.05, 2.1 - height))
        if any(left < hole.right + 0.1 and left + width > hole.left - 0.1 for hole in wall.openings):
            continue
        image = make_surface(bank, surfaces.picture(rng, photographs), 1.0, 0.04, 60.0).material
        part = quad(wall.at(left, bottom, 0.022), wall.along * width, np.array([0, height, 0]), image, 1.0)
        part = replace(part, uv=part.uv / np.array([width, height], np.float32))
        frame = trim.box([left - 0.03, bottom - 0.03, 0.001], [left + width + 0.03, bottom + height + 0.03, 0.02])
        meshes += [part, frame.moved(wall.frame())]
    return meshes


def rug_parts(rng: np.random.Generator, bank: TextureBank, plan: RoomPlan) -> list[Mesh]:
    """Build a rug; homes only."""
    if plan.is_public or rng.uniform() < 0.55:
        return []
    cloth = surfaces.cloth_surface(rng, bank)
    width, depth = rng.uniform(1.2, min(3.0, plan.width - 0.6)), rng.uniform(1.0, min(3.0, plan.depth - 0.6))
    x, z = rng.normal(0, 0.4, 2)
    return [cloth.box([x - width / 2, 0, z - depth / 2], [x + width / 2, 0.006, z + depth / 2])]
