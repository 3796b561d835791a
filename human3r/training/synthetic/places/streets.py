"""Outdoor places: streets, squares, parks, car parks and yards in front of a photographed horizon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from human3r.training.synthetic.places.facades import facade_row
from human3r.training.synthetic.places.layout import Furnisher
from human3r.training.synthetic.places.plants import bark_material, hedge, leaf_material, tree
from human3r.training.synthetic.places.scene import Obstacle, Scene, SceneAssets, obstacle_of
from human3r.training.synthetic.places.surfaces import Surface, grain_texture, ground_surface, trim_surface
from human3r.training.synthetic.rendering.environment import Environment
from human3r.training.synthetic.rendering.mesh import Material, Mesh, box, cylinder, join_meshes, turn_y
from human3r.training.synthetic.rendering.renderer import Lights
from human3r.training.synthetic.rendering.textures import TextureBank

OUTDOOR_KINDS = ("street", "square", "park", "parking", "yard")
OUTDOOR_SHARES = (0.34, 0.2, 0.22, 0.12, 0.12)
FAR_M = 90.0
"""Half size of the ground; beyond it only the environment image is visible."""
PROPS_TRIANGLES = 60_000
_ROAD_PAINT = Material((0.75, 0.75, 0.72))


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
    site = _Site(rng, bank, props)
    build = {"street": _street, "square": _square, "park": _park, "parking": _parking, "yard": _yard}[kind]
    half = build(site)
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
    mesh = join_meshes(site.meshes + site.uprights + props.meshes)
    return Scene(kind, mesh, bank, lights, floor, 6.0, floor, site.obstacles + props.obstacles)


class _Site:
    """An outdoor place under construction."""

    def __init__(self, rng: np.random.Generator, bank: TextureBank, props: Furnisher) -> None:
        self.rng, self.bank, self.props = rng, bank, props
        self.meshes: list[Mesh] = []
        self.uprights: list[Mesh] = []
        """Trees and lamp posts."""
        self.obstacles: list[Obstacle] = []

    def ground(self, kinds: Sequence[str], shares: Sequence[float] | None = None) -> Surface:
        """Draw a ground of one of several kinds."""
        kind = kinds[0] if len(kinds) == 1 else self.rng.choice(kinds, p=shares)
        return ground_surface(self.rng, self.bank, kind)

    def cover(self, surface: Surface, x0: float = -FAR_M, x1: float = FAR_M, y: float = 0.0) -> None:
        """Lay a surface from x0 to x1 along the whole ground."""
        self.meshes.append(surface.quad([x0, y, FAR_M], [x1 - x0, 0, 0], [0, 0, -2 * FAR_M]))

    def facades(self, side: int, distance: float, end: float, tallest: float = 22.0) -> list[Mesh]:
        """Build a row of houses, from -end to end along the z axis."""
        return facade_row(self.rng, self.bank, side, distance, -end, end, tallest)

    def hedge(self, start: tuple[float, float], end: tuple[float, float], height: float) -> None:
        """Plant a hedge between two points (x, z)."""
        self.meshes.append(hedge(self.rng, start, end, height, leaf_material(self.rng, self.bank)))

    def trees(self, places: Sequence[tuple[float, float]], share: float) -> None:
        """Plant trees at a share of the places (x, z)."""
        leaf, bark = leaf_material(self.rng, self.bank), bark_material(self.rng, self.bank)
        for x, z in places[:14]:
            if self.rng.uniform() > share:
                continue
            mesh, radius = tree(self.rng, x, z, leaf, bark)
            self.uprights.append(mesh)
            self.obstacles.append(Obstacle((x - radius, 0, z - radius), (x + radius, 4, z + radius)))

    def lamp_posts(self, places: Iterable[tuple[float, float]]) -> None:
        """Put up lamp posts of one height at places (x, z)."""
        metal = Material(tuple([float(self.rng.uniform(0.02, 0.4))] * 3), specular=0.08)
        height = self.rng.uniform(3, 6)
        for x, z in places:
            pole = cylinder([x, 0, z], (0.09, 0.05), height, metal, 10)
            lamp = box([x - 0.2, height, z - 0.2], [x + 0.2, height + 0.25, z + 0.2], metal)
            self.uprights.append(join_meshes([pole, lamp]))
            self.obstacles.append(obstacle_of(self.uprights[-1]))

    def vehicle(self, x: float, z: float, angle: float) -> None:
        """Park a vehicle."""
        vehicles = self.props.candidates("vehicle")
        if vehicles:
            chosen = vehicles[self.rng.integers(len(vehicles))]
            self.props.place(chosen, x, z, angle + self.rng.normal(0, 0.03))

    def scatter(self, count: int, half_x: float, half_z: float, is_edge: bool = False) -> None:
        """Put outdoor furniture at random places; ``is_edge`` keeps it at x = +-half_x."""
        rng, things = self.rng, self.props.candidates("outdoor") or self.props.candidates("floor")
        for _ in range(count if things else 0):
            x = rng.choice([-1, 1]) * half_x if is_edge else rng.uniform(-half_x, half_x)
            angle = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.1)
            self.props.place(things[rng.integers(len(things))], x, rng.uniform(-half_z, half_z), angle)


def _street(site: _Site) -> tuple[float, float]:
    """Build a street; as all builders, returns half the size (x, z) of the floor where people may be."""
    rng = site.rng
    road_half, walk = rng.uniform(2.5, 6), rng.uniform(1.8, 4.5)
    road = site.ground(["asphalt", "paving"], [0.8, 0.2])
    pavement = site.ground(["paving", "concrete", "asphalt"], [0.6, 0.25, 0.15])
    # People stand at y = 0 on road and pavement, so the curb is flush with both.
    site.cover(road, -road_half, road_half)
    site.cover(site.ground(["grass"]), y=-0.03)
    curb = Material((0.45, 0.45, 0.43))
    for side in (-1, 1):
        edge = side * (road_half + walk)
        site.cover(pavement, *sorted((side * road_half, edge)))
        low, high = [side * road_half - 0.08, -0.1, -FAR_M], [side * road_half + 0.08, 0.004, FAR_M]
        site.meshes.append(box(low, high, curb))
        if rng.uniform() < 0.85:
            site.meshes += site.facades(side, road_half + walk, 45)
        elif rng.uniform() < 0.5:
            site.hedge((edge, -25.0), (edge, 25.0), 1.4)
    if rng.uniform() < 0.7:
        for z in np.arange(-40, 40, 6.0):
            site.meshes.append(box([-0.07, -0.01, z], [0.07, 0.003, z + 3], _ROAD_PAINT))
    site.trees([(side * (road_half + 0.8), z) for side in (-1, 1) for z in np.arange(-24, 25, rng.uniform(6, 12))], 0.4)
    site.lamp_posts((side * (road_half + 0.4), z + 1.7) for side in (-1, 1) for z in np.arange(-30, 31, 15.0))
    for _ in range(int(rng.integers(0, 5))):
        site.vehicle(rng.choice([-1, 1]) * (road_half - 1.1), rng.uniform(-18, 18), rng.choice([0, np.pi]))
    site.scatter(int(rng.integers(1, 5)), road_half + walk - 0.6, 12.0, is_edge=True)
    return road_half + walk - 0.3, 13.0


def _square(site: _Site) -> tuple[float, float]:
    rng = site.rng
    half = rng.uniform(8, 22)
    site.cover(site.ground(["paving", "concrete", "asphalt", "gravel"], [0.6, 0.15, 0.15, 0.1]))
    for side in rng.permutation(4)[: int(rng.integers(1, 4))]:
        row = join_meshes(site.facades(1, half, half + 6))
        site.meshes.append(row.moved(turn_y(side * np.pi / 2)))
    site.trees([tuple(rng.uniform(-half, half, 2)) for _ in range(int(rng.integers(0, 8)))], 0.8)
    site.lamp_posts([tuple(rng.uniform(-half, half, 2)) for _ in range(int(rng.integers(0, 4)))])
    extent = min(half - 0.5, 12.0)
    site.scatter(int(rng.integers(2, 8)), half * 0.7, half * 0.7)
    return extent, extent


def _park(site: _Site) -> tuple[float, float]:
    rng = site.rng
    site.cover(site.ground(["grass"]))
    path = site.ground(["gravel", "asphalt", "paving"])
    wide = rng.uniform(0.8, 2.2)
    site.cover(path, -wide, wide, y=0.002)
    places = rng.uniform(-25, 25, (int(rng.integers(6, 22)), 2))
    site.trees([(x, z) for x, z in places if abs(x) > wide + 0.8], 0.9)
    if rng.uniform() < 0.5:
        site.hedge((-12.0, rng.uniform(8, 14)), (12.0, rng.uniform(8, 14)), rng.uniform(0.8, 2))
    if rng.uniform() < 0.5:
        site.meshes += site.facades(1, rng.uniform(20, 40), 30)
    site.scatter(int(rng.integers(1, 6)), wide + 2.5, 9.0)
    return 10.0, 12.0


def _parking(site: _Site) -> tuple[float, float]:
    rng = site.rng
    site.cover(site.ground(["asphalt", "concrete", "gravel"], [0.7, 0.2, 0.1]))
    rows = rng.uniform(5.5, 8)
    for side in (-1, 1):
        for x in np.arange(-15, 15.1, 2.6):
            inner, outer = sorted((side * rows, side * (rows + 5)))
            site.meshes.append(box([x - 0.06, -0.01, inner], [x + 0.06, 0.003, outer], _ROAD_PAINT))
            if rng.uniform() < 0.3:
                site.vehicle(x + 1.3, side * (rows + 2.5), rng.choice([0, np.pi]))
    site.meshes += site.facades(1, rng.uniform(18, 30), 30)
    site.trees([(x, side * (rows + 6.5)) for side in (-1, 1) for x in np.arange(-20, 21, rng.uniform(5, 9))], 0.6)
    site.lamp_posts((x, rows + 5.3) for x in (-12.0, 0.0, 12.0))
    return 11.0, rows + 5


def _yard(site: _Site) -> tuple[float, float]:
    rng = site.rng
    half_x, half_z = rng.uniform(4, 9), rng.uniform(4, 9)
    site.cover(site.ground(["grass", "paving", "gravel"], [0.6, 0.3, 0.1]))
    site.meshes += site.facades(1, half_x, half_z + 2, tallest=7.0)
    board = trim_surface(rng, site.bank)
    if rng.uniform() < 0.6:
        high, gap = rng.uniform(0.9, 1.9), rng.choice([0.005, 0.06])
        slats = [
            board.box([x, 0.03, -half_z], [x + 0.1, high, -half_z + 0.02])
            for x in np.arange(-half_x, half_x, 0.1 + gap)
        ]
        rails = [board.box([-half_x, y, -half_z - 0.04], [half_x, y + 0.07, -half_z]) for y in (0.25, high - 0.25)]
        site.meshes.append(join_meshes(slats + rails))
    site.hedge((-half_x, -half_z), (-half_x, half_z), rng.uniform(1.0, 2.2))
    corners = [tuple(rng.uniform(1, 1.6, 2) * rng.choice([-1, 1], 2) * (half_x, half_z)) for _ in range(5)]
    site.trees(corners, 0.7)
    site.scatter(int(rng.integers(2, 7)), half_x - 0.8, half_z - 0.8)
    return half_x - 0.4, half_z - 0.4
