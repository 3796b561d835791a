"""Trees, bushes and hedges from trunks and leaf quads, with ellipsoid normals for smooth foliage shading."""

from __future__ import annotations

import numpy as np

from human3r.training.synthetic.places.surfaces import make_surface, wood_tone
from human3r.training.synthetic.rendering.mesh import Material, Mesh, cylinder, join_meshes, make_mesh
from human3r.training.synthetic.rendering.textures import TextureBank, bricks, carpet


def leaf_material(rng: np.random.Generator, bank: TextureBank) -> Material:
    """Draw a green or, in 15 %, an autumn color."""
    green = np.array([rng.uniform(0.12, 0.4), rng.uniform(0.3, 0.5), rng.uniform(0.06, 0.2)])
    if rng.uniform() < 0.15:
        green = np.array([rng.uniform(0.5, 0.8), rng.uniform(0.3, 0.5), rng.uniform(0.05, 0.15)])
    return make_surface(bank, carpet(rng, green, 0.25), 0.5, 0.03).material


def leaves(
    rng: np.random.Generator, center: np.ndarray, radii: np.ndarray, count: int, size: float, material: Material
) -> Mesh:
    """Fill an ellipsoid, denser toward its surface, with ``count`` leaf quads of about ``size`` meters."""
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = rng.uniform(0.35, 1.0, (count, 1)) ** 0.5
    middle = center + direction * depth * radii
    side = rng.standard_normal((count, 3))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(side, rng.standard_normal((count, 3)))
    other /= np.linalg.norm(other, axis=1, keepdims=True) + 1e-9
    length = size * rng.uniform(0.5, 1.2, (count, 1))
    corners = np.stack(
        [middle - side * length, middle + other * length * 0.5, middle + side * length, middle - other * length * 0.5],
        1,
    )
    base = np.arange(count)[:, None] * 4
    faces = np.concatenate([base + np.array([0, 1, 2]), base + np.array([0, 2, 3])])
    # Ellipsoid normals give the crown its volume: leaves do not shade each other.
    normal = direction + 0.35 * rng.standard_normal((count, 3)) + [0, 0.15, 0]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normals = np.tile(normal[:, None], (2, 3, 1))
    uv = np.tile(rng.uniform(0, 4, (count, 1, 2)), (2, 3, 1)) + np.array([[0, 0], [0.3, 0], [0.3, 0.3]])
    return make_mesh(corners.reshape(-1, 3), faces, normals, uv, material)


def tree(rng: np.random.Generator, x: float, z: float, leaf: Material, bark: Material) -> tuple[Mesh, float]:
    """Build a tree at (x, z); return it and the radius of its trunk."""
    height = rng.uniform(3.5, 11)
    trunk_height = height * rng.uniform(0.25, 0.45)
    radius = height * rng.uniform(0.015, 0.03)
    parts = [cylinder([x, -0.05, z], (radius * 1.3, radius * 0.7), trunk_height + 0.25 * height, bark, 9)]
    is_conifer = rng.uniform() < 0.25
    crown = (height - trunk_height) / 2
    blobs = 5 if is_conifer else int(rng.integers(3, 7))
    for index in range(blobs):
        if is_conifer:
            share = index / blobs
            middle = [x, trunk_height * 0.6 + share * (height - trunk_height * 0.6), z]
            size = np.array([1, 0.9, 1]) * crown * (0.85 - 0.75 * share)
        else:
            offset = rng.normal(0, 0.35, 3) * crown
            middle = np.array([x, trunk_height + crown * 0.9, z]) + offset * [1, 0.6, 1]
            size = crown * rng.uniform(0.5, 0.85, 3)
        count = int(np.clip(260 * size.mean() ** 2, 120, 900))
        parts.append(leaves(rng, np.asarray(middle), size, count, rng.uniform(0.14, 0.26), leaf))
    return join_meshes(parts), radius


def bark_material(rng: np.random.Generator, bank: TextureBank) -> Material:
    """Draw a bark material."""
    return make_surface(bank, bricks(rng, wood_tone(rng) * 0.7, 32), 1.0, 0.02).material


def hedge(
    rng: np.random.Generator, start: tuple[float, float], end: tuple[float, float], height: float, leaf: Material
) -> Mesh:
    """Build a row of bushes from ``start`` to ``end``, both (x, z)."""
    way = np.subtract(end, start)
    length = float(np.linalg.norm(way))
    parts = []
    for share in np.linspace(0, 1, max(2, round(length / (height * 0.6)))):
        x, z = start + share * way
        size = height * rng.uniform(0.45, 0.6, 3)
        parts.append(leaves(rng, np.array([x, height * 0.45, z]), size, int(140 + 120 * height), 0.11, leaf))
    return join_meshes(parts)
