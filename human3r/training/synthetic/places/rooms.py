"""Metric rooms: homes, offices, corridors, halls and shop aisles, with openings, lamps and furniture."""

from __future__ import annotations

import numpy as np

from human3r.training.synthetic.places import surfaces
from human3r.training.synthetic.places.interiors import (
    RoomPlan,
    ceiling_parts,
    picture_parts,
    rooms_behind,
    rug_parts,
    structure_parts,
    wall_parts,
)
from human3r.training.synthetic.places.layout import Furnisher
from human3r.training.synthetic.places.scene import Obstacle, Scene, SceneAssets, obstacle_of
from human3r.training.synthetic.places.surfaces import Surface
from human3r.training.synthetic.places.walls import Opening, Wall
from human3r.training.synthetic.rendering.environment import Environment, room_harmonics
from human3r.training.synthetic.rendering.mesh import Material, Mesh, box, join_meshes
from human3r.training.synthetic.rendering.renderer import Lights
from human3r.training.synthetic.rendering.textures import TextureBank

FURNITURE_TRIANGLES = 90_000
ROOM_KINDS = ("home", "office", "corridor", "hall", "shop")
ROOM_SHARES = (0.5, 0.17, 0.11, 0.12, 0.10)


def plan_room(rng: np.random.Generator) -> RoomPlan:
    """Draw kind and size."""
    kind = str(rng.choice(ROOM_KINDS, p=ROOM_SHARES))
    ranges = {
        "home": ((3.2, 7.5), (3.5, 8), (2.35, 3.0)),
        "office": ((4.5, 12), (5, 14), (2.5, 3.2)),
        "corridor": ((1.7, 3.2), (7, 22), (2.4, 3.2)),
        "hall": ((9, 24), (10, 28), (3.5, 7)),
        "shop": ((6, 16), (8, 20), (2.8, 4.5)),
    }[kind]
    return RoomPlan(kind, *(float(rng.uniform(*limits)) for limits in ranges))


def build_room(rng: np.random.Generator, assets: SceneAssets, environment: Environment, is_validation: bool) -> Scene:
    """Build a furnished room; deterministic for a given random state."""
    plan = plan_room(rng)
    bank = TextureBank()
    floor = surfaces.floor_surface(rng, bank)
    trim = surfaces.trim_surface(rng, bank)
    walls = _walls(rng, plan)
    meshes = [
        floor.quad([-plan.width / 2, 0, plan.depth / 2], [plan.width, 0, 0], [0, 0, -plan.depth]),
        *ceiling_parts(rng, bank, plan),
        *wall_parts(rng, bank, plan, walls, trim),
        *rooms_behind(rng, bank, walls, floor),
        *picture_parts(rng, bank, walls, assets, trim),
    ]
    obstacles: list[Obstacle] = []
    structure = structure_parts(rng, bank, plan, trim)
    meshes += structure
    obstacles += [obstacle_of(mesh) for mesh in structure]
    grain = surfaces.grain_texture(rng, bank)
    furnisher = Furnisher(rng, assets.furniture, bank, grain, is_validation, FURNITURE_TRIANGLES)
    furnisher.obstacles += obstacles + _keep_free(walls)
    num_kept_free = len(furnisher.obstacles)
    _furnish(rng, plan, furnisher, walls)
    meshes += furnisher.meshes
    obstacles += furnisher.obstacles[num_kept_free:]
    lamps, lamp_meshes = _lamps(rng, plan)
    meshes += lamp_meshes + rug_parts(rng, bank, plan)
    half_w, half_d = plan.width / 2, plan.depth / 2
    return Scene(
        kind=plan.kind,
        mesh=join_meshes(meshes),
        bank=bank,
        lights=_light(rng, plan, walls, environment, floor, lamps),
        floor=(-half_w, -half_d, half_w, half_d),
        ceiling_m=plan.height,
        camera_area=(-half_w, -half_d, half_w, half_d),
        obstacles=obstacles,
    )


def _walls(rng: np.random.Generator, plan: RoomPlan) -> list[Wall]:
    x, z = plan.width / 2, plan.depth / 2
    corners = [np.array(corner) for corner in ((-x, -z), (x, -z), (x, z), (-x, z))]
    walls = []
    window_share = {"home": 0.75, "office": 0.7, "corridor": 0.3, "hall": 0.5, "shop": 0.3}[plan.kind]
    for index in range(4):
        start, end = corners[index], corners[(index + 1) % 4]
        length = float(np.linalg.norm(end - start))
        walls.append(Wall(start, end, plan.height, _openings(rng, length, plan.height, window_share)))
    return walls


def _openings(rng: np.random.Generator, length: float, height: float, window_share: float) -> tuple[Opening, ...]:
    """Draw doors, passages and windows that do not overlap; a wall has windows or doors, not both."""
    holes, cursor = [], rng.uniform(0.3, 1.5)
    is_window_wall = rng.uniform() < window_share * 0.6
    bottom = float(rng.choice([rng.uniform(0.7, 1.1), 0.1], p=[0.8, 0.2]))
    top = min(height - 0.15, rng.uniform(2.0, 2.4))
    width = rng.uniform(0.7, 2.2)
    while cursor < length - 1.2:
        if is_window_wall and cursor + width < length - 0.3:
            holes.append(Opening("window", cursor, cursor + width, bottom, top))
            cursor += width + rng.uniform(0.3, 1.5)
        elif not is_window_wall and rng.uniform() < 0.5:
            kind = "passage" if rng.uniform() < 0.2 else "door"
            wide = rng.uniform(0.75, 0.95) if kind == "door" else rng.uniform(0.9, 1.8)
            if cursor + wide > length - 0.2:
                break
            holes.append(Opening(kind, cursor, cursor + wide, 0.0, min(height - 0.1, rng.uniform(2.0, 2.15))))
            cursor += wide + rng.uniform(1.0, 5.0)
        else:
            cursor += rng.uniform(0.8, 3.0)
    return tuple(holes)


def _furnish(rng: np.random.Generator, plan: RoomPlan, furnisher: Furnisher, walls: list[Wall]) -> None:
    area = plan.width * plan.depth
    density = {
        "home": rng.uniform(0.15, 0.5),
        "office": rng.uniform(0.05, 0.2),
        "corridor": 0.08,
        "hall": 0.03,
        "shop": 0.02,
    }[plan.kind]
    furnisher.along_walls(walls, int(np.clip(area * density, 1, 16)))
    groups = {
        "home": rng.integers(0, 3),
        "office": rng.integers(1, 6),
        "corridor": 0,
        "hall": rng.integers(0, 6),
        "shop": 0,
    }[plan.kind]
    for _ in range(int(groups)):
        x = rng.uniform(-0.35, 0.35) * plan.width
        z = rng.uniform(-0.4, 0.4) * plan.depth
        furnisher.group(x, z)


def _keep_free(walls: list[Wall]) -> list[Obstacle]:
    """Return the floor in front of doors, which furniture must not occupy."""
    spots = []
    for wall in walls:
        for hole in wall.openings:
            if hole.bottom <= 0:
                ends = np.stack([wall.at(hole.left, 0.0, -0.1), wall.at(hole.right, 2.0, 0.7)])
                spots.append(Obstacle(tuple(ends.min(0)), tuple(ends.max(0))))
    return spots


def _lamps(rng: np.random.Generator, plan: RoomPlan) -> tuple[np.ndarray, list[Mesh]]:
    """Place ceiling lamps: rows of ``Lights.lamps`` with an irradiance of about 1 on the floor, and emissive meshes."""
    warm = np.array([1.0, rng.uniform(0.78, 1.0), rng.uniform(0.55, 1.0)])
    pitch = rng.uniform(2.2, 4.5)
    across, along = max(1, round(plan.width / pitch)), max(1, round(plan.depth / pitch))
    if not plan.is_public:
        across, along = min(across, 2), min(along, 2)
    rows, meshes = [], []
    drop = 0.03 if plan.is_public or rng.uniform() < 0.5 else rng.uniform(0.2, 0.7)
    glow = Material(tuple(warm * 3.0), emission=1.0)
    places = [((i + 0.5) / across - 0.5, (j + 0.5) / along - 0.5) for i in range(across) for j in range(along)]
    strength = rng.uniform(0.5, 1.3) * (plan.height**2) / (1 + 0.5 * min(len(places), 6) ** 0.5)
    order = rng.permutation(len(places))
    for rank, place in enumerate(order[:16]):
        x, z = places[place][0] * plan.width, places[place][1] * plan.depth
        half_x, half_z = (0.3, 0.3) if plan.is_public else (0.12, 0.12)
        y = plan.height - drop
        meshes.append(
            box([x - half_x, y, z - half_z], [x + half_x, y + 0.02 + (0 if plan.is_public else 0.08), z + half_z], glow)
        )
        if drop > 0.1:
            meshes.append(
                box([x - 0.005, y + 0.1, z - 0.005], [x + 0.005, plan.height, z + 0.005], Material((0.1, 0.1, 0.1)))
            )
        rows.append([x, y - 0.06, z, *(warm * strength), 0.4, 1.0 if rank < 2 else 0.0])
    return np.array(rows), meshes


def _light(
    rng: np.random.Generator,
    plan: RoomPlan,
    walls: list[Wall],
    environment: Environment,
    floor: Surface,
    lamps: np.ndarray,
) -> Lights:
    windows = [(wall, hole) for wall in walls for hole in wall.openings if hole.kind == "window"]
    is_day = bool(windows) and rng.uniform() < 0.75
    outside = environment.harmonics[0] * rng.uniform(2.0, 6.0)
    panels = []
    for wall, hole in windows:
        center = wall.at((hole.left + hole.right) / 2, (hole.bottom + hole.top) / 2, 0.05)
        area = (hole.right - hole.left) * (hole.top - hole.bottom)
        panels.append([*center, *wall.inward, *(outside if is_day else outside * 0.05), area])
    if is_day and rng.uniform() < 0.45:
        lamps = lamps.copy()
        lamps[:, 3:6] *= rng.uniform(0, 0.3)
    level = 0.22 + (0.25 if is_day else 0.12)
    has_sun = is_day and rng.uniform() < 0.7
    return Lights(
        environment=environment.image * np.float32(rng.uniform(1.5, 3.0) if is_day else 0.06),
        harmonics=room_harmonics(rng, floor.mean_color, level * rng.uniform(0.6, 1.3)),
        lamps=lamps,
        panels=np.array(panels).reshape(-1, 10),
        sun_direction=environment.sun_direction,
        sun_color=environment.sun_color * rng.uniform(1.5, 3.0) if has_sun else np.zeros(3),
        sun_softness=1.0,
        occlusion_radius_m=float(rng.uniform(0.4, 0.9)),
        occlusion_strength=float(rng.uniform(0.8, 1.4)),
    )
