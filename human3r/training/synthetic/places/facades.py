"""House fronts: boxes with window textures, plinths, ledges and doors."""

from __future__ import annotations

import numpy as np

from human3r.palette import srgb_to_linear
from human3r.training.synthetic.places.surfaces import make_surface
from human3r.training.synthetic.rendering import textures
from human3r.training.synthetic.rendering.mesh import Material, Mesh, box
from human3r.training.synthetic.rendering.textures import TextureBank, tint


def facade_image(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw a facade texture of four stories; return it and the length of its side in meters."""
    size = 512
    kind = rng.integers(3)
    wall = (
        textures.bricks(rng, np.array([0.58, 0.34, 0.26]) * rng.uniform(0.6, 1.4), 64)
        if kind == 0
        else textures.plaster(rng, tint(rng, 0.35, 0.9, 0.2), 0.03)
    )
    wall = np.tile(wall, (size // len(wall), size // len(wall), 1)).copy()
    across = int(rng.integers(3, 6))
    pitch_x, pitch_y = size // across, size // 4
    frame = (tint(rng, 0.1, 0.95, 0.1) * 255).astype(np.uint8)
    wide, high = int(pitch_x * rng.uniform(0.35, 0.8)), int(pitch_y * rng.uniform(0.4, 0.65))
    for row in range(4):
        for column in range(across):
            top, left = row * pitch_y + (pitch_y - high) // 2, column * pitch_x + (pitch_x - wide) // 2
            wall[top - 3 : top + high + 5, left - 3 : left + wide + 3] = frame
            glass = np.linspace(rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.3), high)[:, None, None] * np.array(
                [0.8, 0.95, 1.1]
            )
            wall[top : top + high, left : left + wide] = (np.clip(glass, 0, 1) * 255).astype(np.uint8)
            if rng.uniform() < 0.4:
                blind = int(high * rng.uniform(0.1, 0.8))
                wall[top : top + blind, left : left + wide] = (tint(rng, 0.5, 0.9, 0.2) * 255).astype(np.uint8)
            wall[top : top + high, left + wide // 2 - 1 : left + wide // 2 + 1] = frame
    return wall, 4 * float(rng.uniform(2.8, 3.4))


def facade_row(
    rng: np.random.Generator,
    bank: TextureBank,
    side: int,
    distance: float,
    start: float,
    end: float,
    tallest: float = 22.0,
) -> list[Mesh]:
    """Build a row of houses at x = side * distance, from z = start to end, with doors, plinths and ledges."""
    meshes, z = [], start
    while z < end:
        width = rng.uniform(5, 16)
        height = rng.uniform(4, tallest)
        image, repeat = facade_image(rng)
        look = make_surface(bank, image, repeat, 0.04, 40.0)
        back = rng.uniform(0, 0.4)
        near, far = side * (distance + back), side * (distance + back + 8)
        meshes.append(box([min(near, far), 0, z], [max(near, far), height, z + width], look.material, repeat))
        trim = Material(tuple(srgb_to_linear(tint(rng, 0.2, 0.9, 0.1))))
        plinth, ledge = rng.uniform(0.3, 1.0), rng.uniform(0.1, 0.35)
        for bottom, top, reach in (
            (0, plinth, 0.05),
            (height - 0.3, height, ledge),
            (repeat / 4 - 0.1, repeat / 4 + 0.1, 0.08),
        ):
            edges = sorted((near - side * reach, near + side * 0.1))
            meshes.append(box([edges[0], bottom, z], [edges[1], top, z + width], trim))
        door = make_surface(bank, textures.wood(rng, tint(rng, 0.1, 0.6, 0.6)), 1.0, 0.04).material
        for place in np.arange(z + rng.uniform(0.5, 2), z + width - 1.5, rng.uniform(3, 7)):
            edges = sorted((near - side * 0.06, near + side * 0.1))
            meshes.append(box([edges[0], 0, place], [edges[1], 2.1, place + rng.uniform(0.9, 1.3)], door))
        z += width + (rng.uniform(1, 5) if rng.uniform() < 0.2 else 0)
    return meshes
