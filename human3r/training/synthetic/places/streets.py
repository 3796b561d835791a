"""Outdoor places: streets, squares, parks, car parks and yards in front of a photographed horizon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from human3r.training.synthetic.places.facades import facade_row
from human3r.training.synthetic.places.layout import Furnisher
from human3r.training.synthetic.places.plants import bark_material, hedge, leaf_material, tree
from human3r.training.synthetic.places.scene import Obstacle, Scene, SceneAssets, obstacle_of
from human3r.training.synthetic.places.surfaces import Surface, grain_texture, ground_surface, trim_surface
from human3r.training.synthetic.rendering.environment import Environment
from human3r.training.synthetic.rendering.mesh import Material, Mesh, box, cylinder, join_meshes
from human3r.training.synthetic.rendering.renderer import Lights
from human3r.training.synthetic.rendering.textures import TextureBank

OUTDOOR_KINDS = ("street", "square", "park", "parking", "yard")
OUTDOOR_SHARES = (0.34, 0.2, 0.22, 0.12, 0.12)
FAR_M = 90.0
"""Half size of the ground; beyond it only the environment image is visible."""
PROPS_TRIANGLES = 60_000


def build_street(
    rng: np.random.Generator,
    assets: SceneAssets,
    environment: Environment,
    is_validation: bool,
    kind: str | None = None,
) -> Scene:
    """Build an outdoor place of the given or a random kind; deterministic for a given random state."""
    drawn = str(rng.choice(OUTDOOR_KINDS, p=OUTDOOR_SHARES))
    kind = kind or drawn
    bank = TextureBank()
    props = Furnisher(rng, assets.furniture, bank, grain_texture(rng, bank), is_validation, PROPS_TRIANGLES)
    builder = {"street": _street, "square": _square, "park": _park, "parking": _parking, "yard": _yard}[kind]
    meshes, obstacles, half = builder(rng, bank, props)
    meshes += props.meshes
    obstacles += props.obstacles
    has_sun = environment.sun_color.sum() > 0 and rng.uniform() < 0.85
    lights = Lights(
        environment=environment.image,
        harmonics=environment.harmonics,
        sun_direction=environment.sun_direction,
        sun_color=environment.sun_color * rng.uniform(0.6, 1.2) if has_sun else np.zeros(3),
        sun_bounds=((-16, 0, -16), (16, 6, 16)),
        occlusion_radius_m=float(rng.uniform(0.6, 1.2)),
        occlusion_strength=float(rng.uniform(0.8, 1.3)),
    )
    floor = (-half[0], -half[1], half[0], half[1])
    return Scene(kind, join_meshes(meshes), bank, lights, floor, 6.0, floor, obstacles)


Built = tuple[list[Mesh], list[Obstacle], tuple[float, float]]
"""Meshes, obstacles, and half the size (x, z) of the floor where people may be."""


def _ground(surface: Surface, x0: float, z0: float, x1: float, z1: float, y: float = 0.0) -> Mesh:
    return surface.quad([x0, y, z1], [x1 - x0, 0, 0], [0, 0, z0 - z1])


def _street(rng: np.random.Generator, bank: TextureBank, props: Furnisher) -> Built:
    road_half, walk = rng.uniform(2.5, 6), rng.uniform(1.8, 4.5)
    road = ground_surface(rng, bank, rng.choice(["asphalt", "paving"], p=[0.8, 0.2]))
    pavement = ground_surface(rng, bank, rng.choice(["paving", "concrete", "asphalt"], p=[0.6, 0.25, 0.15]))
    # People stand at y = 0 on road and pavement, so the curb is flush with both.
    meshes = [
        _ground(road, -road_half, -FAR_M, road_half, FAR_M),
        _ground(ground_surface(rng, bank, "grass"), -FAR_M, -FAR_M, FAR_M, FAR_M, -0.03),
    ]
    curb = Material((0.45, 0.45, 0.43))
    for side in (-1, 1):
        inner, outer = sorted((side * road_half, side * (road_half + walk)))
        meshes += [
            _ground(pavement, inner, -FAR_M, outer, FAR_M),
            box([side * road_half - 0.08, -0.1, -FAR_M], [side * road_half + 0.08, 0.004, FAR_M], curb),
        ]
        if rng.uniform() < 0.85:
            meshes += facade_row(rng, bank, side, road_half + walk, -45, 45)
        elif rng.uniform() < 0.5:
            meshes.append(
                hedge(
                    rng,
                    np.array([side * (road_half + walk), -25.0]),
                    np.array([side * (road_half + walk), 25.0]),
                    1.4,
                    leaf_material(rng, bank),
                )
            )
    if rng.uniform() < 0.7:
        white = Material((0.75, 0.75, 0.72))
        for z in np.arange(-40, 40, 6.0):
            meshes.append(box([-0.07, -0.01, z], [0.07, 0.003, z + 3], white))
    obstacles: list[Obstacle] = []
    trees, trunks = _trees(
        rng,
        bank,
        [(side * (road_half + 0.8), z) for side in (-1, 1) for z in np.arange(-24, 25, rng.uniform(6, 12))],
        0.4,
    )
    posts = _lamp_posts(
        rng, [(side * (road_half + 0.4), z + 1.7) for side in (-1, 1) for z in np.arange(-30, 31, 15.0)]
    )
    obstacles += trunks + [obstacle_of(mesh) for mesh in posts]
    for _ in range(int(rng.integers(0, 5))):
        _vehicle(rng, props, rng.choice([-1, 1]) * (road_half - 1.1), rng.uniform(-18, 18), rng.choice([0, np.pi]))
    _scatter(rng, props, int(rng.integers(1, 5)), road_half + walk - 0.6, 12.0, is_edge=True)
    return meshes + trees + posts, obstacles, (road_half + walk - 0.3, 13.0)


def _square(rng: np.random.Generator, bank: TextureBank, props: Furnisher) -> Built:
    half = rng.uniform(8, 22)
    ground = ground_surface(
        rng, bank, rng.choice(["paving", "concrete", "asphalt", "gravel"], p=[0.6, 0.15, 0.15, 0.1])
    )
    meshes = [_ground(ground, -FAR_M, -FAR_M, FAR_M, FAR_M)]
    sides = rng.permutation(4)[: int(rng.integers(1, 4))]
    for side in sides:
        row = join_meshes(facade_row(rng, bank, 1, half, -half - 6, half + 6))
        turned = np.eye(4)
        cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][side]
        turned[0, 0], turned[0, 2], turned[2, 0], turned[2, 2] = cos, sin, -sin, cos
        meshes.append(row.moved(turned))
    places = [tuple(rng.uniform(-half, half, 2)) for _ in range(int(rng.integers(0, 8)))]
    trees, trunks = _trees(rng, bank, places, 0.8)
    posts = _lamp_posts(rng, [tuple(rng.uniform(-half, half, 2)) for _ in range(int(rng.integers(0, 4)))])
    extent = min(half - 0.5, 12.0)
    _scatter(rng, props, int(rng.integers(2, 8)), half * 0.7, half * 0.7, is_edge=False)
    return meshes + trees + posts, trunks + [obstacle_of(mesh) for mesh in posts], (extent, extent)


def _park(rng: np.random.Generator, bank: TextureBank, props: Furnisher) -> Built:
    meshes = [_ground(ground_surface(rng, bank, "grass"), -FAR_M, -FAR_M, FAR_M, FAR_M)]
    path = ground_surface(rng, bank, rng.choice(["gravel", "asphalt", "paving"]))
    wide = rng.uniform(0.8, 2.2)
    meshes.append(_ground(path, -wide, -FAR_M, wide, FAR_M, 0.002))
    places = [(x, z) for x, z in rng.uniform(-25, 25, (int(rng.integers(6, 22)), 2)) if abs(x) > wide + 0.8]
    trees, trunks = _trees(rng, bank, places, 0.9)
    if rng.uniform() < 0.5:
        meshes.append(
            hedge(
                rng,
                np.array([-12.0, rng.uniform(8, 14)]),
                np.array([12.0, rng.uniform(8, 14)]),
                rng.uniform(0.8, 2),
                leaf_material(rng, bank),
            )
        )
    if rng.uniform() < 0.5:
        meshes += facade_row(rng, bank, 1, rng.uniform(20, 40), -30, 30)
    _scatter(rng, props, int(rng.integers(1, 6)), wide + 2.5, 9.0, is_edge=False)
    return meshes + trees, trunks, (10.0, 12.0)


def _parking(rng: np.random.Generator, bank: TextureBank, props: Furnisher) -> Built:
    meshes = [
        _ground(
            ground_surface(rng, bank, rng.choice(["asphalt", "concrete", "gravel"], p=[0.7, 0.2, 0.1])),
            -FAR_M,
            -FAR_M,
            FAR_M,
            FAR_M,
        )
    ]
    white = Material((0.75, 0.75, 0.72))
    rows = rng.uniform(5.5, 8)
    for side in (-1, 1):
        for x in np.arange(-15, 15.1, 2.6):
            inner, outer = sorted((side * rows, side * (rows + 5)))
            meshes.append(box([x - 0.06, -0.01, inner], [x + 0.06, 0.003, outer], white))
            if rng.uniform() < 0.3:
                _vehicle(rng, props, x + 1.3, side * (rows + 2.5), rng.choice([0, np.pi]))
    meshes += facade_row(rng, bank, 1, rng.uniform(18, 30), -30, 30)
    places = [(x, side * (rows + 6.5)) for side in (-1, 1) for x in np.arange(-20, 21, rng.uniform(5, 9))]
    trees, trunks = _trees(rng, bank, places, 0.6)
    posts = _lamp_posts(rng, [(x, rows + 5.3) for x in (-12.0, 0.0, 12.0)])
    return meshes + trees + posts, trunks + [obstacle_of(mesh) for mesh in posts], (11.0, rows + 5)


def _yard(rng: np.random.Generator, bank: TextureBank, props: Furnisher) -> Built:
    half_x, half_z = rng.uniform(4, 9), rng.uniform(4, 9)
    meshes = [
        _ground(
            ground_surface(rng, bank, rng.choice(["grass", "paving", "gravel"], p=[0.6, 0.3, 0.1])),
            -FAR_M,
            -FAR_M,
            FAR_M,
            FAR_M,
        )
    ]
    meshes += facade_row(rng, bank, 1, half_x, -half_z - 2, half_z + 2, tallest=7.0)
    board = trim_surface(rng, bank)
    if rng.uniform() < 0.6:
        high, gap = rng.uniform(0.9, 1.9), rng.choice([0.005, 0.06])
        slats = [
            board.box([x, 0.03, -half_z], [x + 0.1, high, -half_z + 0.02])
            for x in np.arange(-half_x, half_x, 0.1 + gap)
        ]
        rails = [board.box([-half_x, y, -half_z - 0.04], [half_x, y + 0.07, -half_z]) for y in (0.25, high - 0.25)]
        meshes.append(join_meshes(slats + rails))
    meshes.append(
        hedge(
            rng,
            np.array([-half_x, -half_z]),
            np.array([-half_x, half_z]),
            rng.uniform(1.0, 2.2),
            leaf_material(rng, bank),
        )
    )
    trees, trunks = _trees(
        rng, bank, [tuple(rng.uniform(1, 1.6, 2) * rng.choice([-1, 1], 2) * (half_x, half_z)) for _ in range(5)], 0.7
    )
    _scatter(rng, props, int(rng.integers(2, 7)), half_x - 0.8, half_z - 0.8, is_edge=False)
    return meshes + trees, trunks, (half_x - 0.4, half_z - 0.4)


def _trees(
    rng: np.random.Generator, bank: TextureBank, places: Sequence[tuple[float, float]], share: float
) -> tuple[list[Mesh], list[Obstacle]]:
    leaf, bark = leaf_material(rng, bank), bark_material(rng, bank)
    meshes, trunks = [], []
    for x, z in places[:14]:
        if rng.uniform() > share:
            continue
        mesh, radius = tree(rng, x, z, leaf, bark)
        meshes.append(mesh)
        trunks.append(Obstacle((x - radius, 0, z - radius), (x + radius, 4, z + radius)))
    return meshes, trunks


def _lamp_posts(rng: np.random.Generator, places: Sequence[tuple[float, float]]) -> list[Mesh]:
    metal = Material(tuple([float(rng.uniform(0.02, 0.4))] * 3), specular=0.08)
    height = rng.uniform(3, 6)
    meshes = []
    for x, z in places:
        post = cylinder([x, 0, z], (0.09, 0.05), height, metal, 10)
        meshes.append(join_meshes([post, box([x - 0.2, height, z - 0.2], [x + 0.2, height + 0.25, z + 0.2], metal)]))
    return meshes


def _vehicle(rng: np.random.Generator, props: Furnisher, x: float, z: float, angle: float) -> None:
    vehicles = props.candidates("vehicle")
    if vehicles:
        props.place(vehicles[rng.integers(len(vehicles))], x, z, angle + rng.normal(0, 0.03))


def _scatter(
    rng: np.random.Generator, props: Furnisher, count: int, half_x: float, half_z: float, is_edge: bool
) -> None:
    """Put outdoor furniture at random places; ``is_edge`` keeps them at x = +-half_x."""
    things = props.candidates("outdoor") or props.candidates("floor")
    for _ in range(count if things else 0):
        x = rng.choice([-1, 1]) * half_x if is_edge else rng.uniform(-half_x, half_x)
        angle = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.1)
        props.place(things[rng.integers(len(things))], x, rng.uniform(-half_z, half_z), angle)
