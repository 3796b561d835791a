"""Textured triangle meshes in meters, in the layout that the renderer reads; no drawing.

Scene frame: y up, the floor at y = 0. Texture coordinates count repeats of the texture; v points up.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

NO_TEXTURE = -1


@dataclass(frozen=True)
class Material:
    """Reflectance of a surface. Colors are linear RGB."""

    color: tuple[float, ...] = (0.6, 0.6, 0.6)
    """RGB albedo, multiplied by the texture."""
    texture: int = NO_TEXTURE
    """Row of the :class:`TextureBank`."""
    specular: float = 0.04
    """Reflectance at normal incidence."""
    gloss: float = 20.0
    """Exponent of the specular lobe."""
    emission: float = 0.0
    """Emitted radiance as a factor on the color."""

    def row(self) -> list[float]:
        """Return the row of the renderer's material table."""
        return [*self.color, float(self.texture), self.specular, self.gloss, self.emission, 0.0]


@dataclass(frozen=True)
class Mesh:
    """Triangles with per-corner normals and texture coordinates."""

    vertices: np.ndarray
    """``V 3`` float32 meters."""
    faces: np.ndarray
    """``F 3`` int32."""
    normals: np.ndarray
    """``F 3 3`` float32, unit, per corner."""
    uv: np.ndarray
    """``F 3 2`` float32 texture repeats, per corner."""
    material: np.ndarray
    """``F`` int32 into ``materials``."""
    materials: tuple[Material, ...] = field(default=(Material(),))

    def moved(self, T_scene_mesh: np.ndarray) -> Mesh:
        """Return the mesh under a similarity transform."""
        R = T_scene_mesh[:3, :3]
        normals = self.normals @ (R / np.cbrt(np.linalg.det(R))).T
        vertices = self.vertices @ R.T + T_scene_mesh[:3, 3]
        return replace(self, vertices=vertices.astype(np.float32), normals=normals.astype(np.float32))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest corner of the bounding box, meters."""
        return self.vertices.min(0), self.vertices.max(0)


def make_mesh(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, uv: np.ndarray, material: Material) -> Mesh:
    """Build a mesh of one material from arrays of any numeric type, shaped as in :class:`Mesh`."""
    corners = (normals.astype(np.float32), uv.astype(np.float32))
    rows = np.zeros(len(faces), np.int32)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), *corners, rows, (material,))


def box_uv(triangles: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return metric texture coordinates ``F 3 2`` of ``F 3 3`` triangles, projected along their normals' main axis."""
    pairs = np.array([[2, 1], [0, 2], [0, 1]])[np.abs(normals).argmax(1)]
    return np.take_along_axis(triangles, pairs[:, None].repeat(3, 1), axis=2)


def join_meshes(meshes: list[Mesh]) -> Mesh:
    """Concatenate meshes; materials stay separate."""
    vertex_start = np.cumsum([0, *[len(mesh.vertices) for mesh in meshes]])
    material_start = np.cumsum([0, *[len(mesh.materials) for mesh in meshes]])
    return Mesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32),
        faces=np.concatenate([mesh.faces + start for mesh, start in zip(meshes, vertex_start, strict=False)]).astype(
            np.int32
        ),
        normals=np.concatenate([mesh.normals for mesh in meshes]).astype(np.float32),
        uv=np.concatenate([mesh.uv for mesh in meshes]).astype(np.float32),
        material=np.concatenate(
            [mesh.material + start for mesh, start in zip(meshes, material_start, strict=False)]
        ).astype(np.int32),
        materials=tuple(material for mesh in meshes for material in mesh.materials),
    )


def translation(x: float, y: float, z: float) -> np.ndarray:
    """Return a ``4 4`` translation."""
    T = np.eye(4)
    T[:3, 3] = (x, y, z)
    return T


def turn_y(angle: float) -> np.ndarray:
    """Return a ``4 4`` rotation about the upward axis, radians."""
    T = np.eye(4)
    cos, sin = np.cos(angle), np.sin(angle)
    T[0, 0], T[0, 2], T[2, 0], T[2, 2] = cos, sin, -sin, cos
    return T


def quad(corner: ArrayLike, side_u: ArrayLike, side_v: ArrayLike, material: Material, repeat_m: float = 1.0) -> Mesh:
    """Build a rectangle from a corner and two sides; its texture starts at the corner."""
    origin, along_u, along_v = (np.asarray(vector, float).reshape(1, 3) for vector in (corner, side_u, side_v))
    return _rectangles(origin, along_u, along_v, material, repeat_m)


_BOX_CORNERS = np.array([[0, 0, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]], float)
_BOX_U = np.array([[0, 0, 1], [0, 0, -1], [-1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], float)
_BOX_V = np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], float)
"""The six sides of the unit box: corner and two directions each, right-handed outwards."""


def box(low: ArrayLike, high: ArrayLike, material: Material, repeat_m: float = 1.0) -> Mesh:
    """Build an axis-aligned box with metric texture coordinates."""
    corner = np.asarray(low, float)
    size = np.asarray(high, float) - corner
    return _rectangles(corner + _BOX_CORNERS * size, _BOX_U * size, _BOX_V * size, material, repeat_m)


_QUAD_FACES = np.array([[0, 1, 2], [0, 2, 3]])


def _rectangles(
    corners: np.ndarray, sides_u: np.ndarray, sides_v: np.ndarray, material: Material, repeat_m: float
) -> Mesh:
    """Build ``N`` rectangles of one material from corners and sides, ``N 3`` each."""
    count = len(corners)
    length_u, length_v = np.sqrt((sides_u**2).sum(1)), np.sqrt((sides_v**2).sum(1))
    ux, uy, uz = sides_u.T
    vx, vy, vz = sides_v.T
    normal = np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], 1)
    normal /= np.maximum(length_u * length_v, 1e-9)[:, None]
    vertices = np.stack([corners, corners + sides_u, corners + sides_u + sides_v, corners + sides_v], 1).reshape(-1, 3)
    faces = (np.arange(count)[:, None, None] * 4 + _QUAD_FACES).reshape(-1, 3)
    uv = np.zeros((count, 4, 2))
    uv[:, 1:3, 0] = (length_u / repeat_m)[:, None]
    uv[:, 2:4, 1] = (length_v / repeat_m)[:, None]
    normals = np.repeat(normal, 6, 0).reshape(-1, 3, 3)
    return make_mesh(vertices, faces, normals, uv[:, _QUAD_FACES].reshape(-1, 3, 2), material)


def cylinder(base: ArrayLike, radius: tuple[float, float], height: float, material: Material, sides: int = 12) -> Mesh:
    """Build an upright, smooth cylinder or cone with a top cap; ``radius`` is (bottom, top), meters."""
    center = np.asarray(base, float)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    circle = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], -1)
    bottom, top = center + radius[0] * circle, center + radius[1] * circle + [0, height, 0]
    vertices = np.concatenate([bottom, top, [center + np.array([0, height, 0])]])
    count = sides + 1
    here = np.arange(sides)
    wall_a = np.stack([here, here + count, here + 1], -1)
    wall_b = np.stack([here + 1, here + count, here + count + 1], -1)
    cap = np.stack([here + count, np.full(sides, 2 * count), here + count + 1], -1)
    faces = np.concatenate([wall_a, wall_b, cap])
    normals = np.concatenate([circle, circle, [[0, 1, 0]]])[faces]
    normals[2 * sides :] = (0, 1, 0)
    length = angle * max(radius)
    uv = np.concatenate([np.stack([length, 0 * length + v], -1) for v in (0, height)] + [[[0, 0]]])
    return make_mesh(vertices, faces, normals, uv[faces], material)
