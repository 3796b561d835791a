"""Textured triangle meshes in metres, and the arrays that the renderer takes: pure bookkeeping, no drawing.

Scene frame: gravity (y up, the floor at y = 0). Texture coordinates count repeats of the texture; v grows upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

NO_TEXTURE = -1


@dataclass(frozen=True)
class Material:
    """How a surface looks. Colours are linear RGB."""

    color: tuple[float, float, float] = (0.6, 0.6, 0.6)
    """Albedo, multiplied with the texture."""
    texture: int = NO_TEXTURE
    """Row of the :class:`TextureBank`."""
    specular: float = 0.04
    """Reflectance at normal incidence."""
    gloss: float = 20.0
    """Exponent of the highlight."""
    emission: float = 0.0
    """Radiance that the surface adds, times its colour."""

    def row(self) -> list[float]:
        """Return the row of the renderer's material table."""
        return [*self.color, float(self.texture), self.specular, self.gloss, self.emission, 0.0]


@dataclass(frozen=True)
class Mesh:
    """Triangles with per-corner normals and texture coordinates."""

    vertices: np.ndarray
    """``V 3`` float32 metres."""
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
        """Return the mesh under a rigid transform (a uniform scale is fine, too)."""
        R = T_scene_mesh[:3, :3]
        normals = self.normals @ (R / np.cbrt(np.linalg.det(R))).T
        vertices = self.vertices @ R.T + T_scene_mesh[:3, 3]
        return replace(self, vertices=vertices.astype(np.float32), normals=normals.astype(np.float32))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest corner of the bounding box, metres."""
        return self.vertices.min(0), self.vertices.max(0)


def join_meshes(meshes: list[Mesh]) -> Mesh:
    """Concatenate meshes; materials stay separate."""
    vertex_start = np.cumsum([0, *[len(mesh.vertices) for mesh in meshes]])
    material_start = np.cumsum([0, *[len(mesh.materials) for mesh in meshes]])
    return Mesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32),
        faces=np.concatenate([mesh.faces + start for mesh, start in zip(meshes, vertex_start, strict=False)]).astype(np.int32),
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


def quad(corner: np.ndarray, side_u: np.ndarray, side_v: np.ndarray, material: Material, repeat_m: float = 1.0) -> Mesh:
    """Build a rectangle from a corner and two sides; one texture repeat is ``repeat_m`` metres, counted from the corner."""
    corner, side_u, side_v = (np.asarray(vector, float) for vector in (corner, side_u, side_v))
    length_u, length_v = np.linalg.norm(side_u), np.linalg.norm(side_v)
    normal = np.cross(side_u, side_v) / max(length_u * length_v, 1e-9)
    u, v = length_u / repeat_m, length_v / repeat_m
    uv = np.array([[0, 0], [u, 0], [u, v], [0, v]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(
        vertices=np.stack([corner, corner + side_u, corner + side_u + side_v, corner + side_v]).astype(np.float32),
        faces=faces.astype(np.int32),
        normals=np.broadcast_to(normal, (2, 3, 3)).astype(np.float32),
        uv=uv[faces].astype(np.float32),
        material=np.zeros(2, np.int32),
        materials=(material,),
    )


def box(low: np.ndarray, high: np.ndarray, material: Material, repeat_m: float = 1.0) -> Mesh:
    """Build an axis-aligned box with metric texture on every side."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    x, y, z = np.diag(high - low)
    sides = [
        quad(low, z, y, material, repeat_m),
        quad(low + x + z, -z, y, material, repeat_m),
        quad(low + x, -x, y, material, repeat_m),
        quad(low + z, x, y, material, repeat_m),
        quad(low + y + z, x, -z, material, repeat_m),
        quad(low, x, z, material, repeat_m),
    ]
    return replace(join_meshes(sides), material=np.zeros(12, np.int32), materials=(material,))


def cylinder(base: np.ndarray, radius: tuple[float, float], height: float, material: Material, sides: int = 12) -> Mesh:
    """Build an upright, smooth cylinder or cone with lid; ``radius`` is (bottom, top), metres."""
    base = np.asarray(base, float)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    circle = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], -1)
    bottom, top = base + radius[0] * circle, base + radius[1] * circle + [0, height, 0]
    vertices = np.concatenate([bottom, top, [base + [0, height, 0]]])
    count = sides + 1
    here = np.arange(sides)
    wall_a = np.stack([here, here + count, here + 1], -1)
    wall_b = np.stack([here + 1, here + count, here + count + 1], -1)
    lid = np.stack([here + count, np.full(sides, 2 * count), here + count + 1], -1)
    faces = np.concatenate([wall_a, wall_b, lid])
    normals = np.concatenate([circle, circle, [[0, 1, 0]]])[faces]
    normals[2 * sides :] = (0, 1, 0)
    length = angle * max(radius)
    uv = np.concatenate([np.stack([length, 0 * length], -1), np.stack([length, 0 * length + height], -1), [[0, 0]]])[faces]
    return Mesh(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        normals.astype(np.float32),
        uv.astype(np.float32),
        np.zeros(len(faces), np.int32),
        (material,),
    )
