"""Pictures of the scene from any camera: textured meshes as they are, people shaded in their colors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from human3r.geometry.rigid import transform_points
from human3r.rendering.overlay import lit, vertex_shade
from human3r.rendering.rasterizer import rasterize

BACKGROUND = (24, 28, 35)


@dataclass(frozen=True)
class TexturedMesh:
    """A mesh that shows its texture without light."""

    vertices: np.ndarray
    """``V 3`` meters."""
    faces: np.ndarray
    """``F 3`` seen from the front."""
    uv: np.ndarray
    """``V 2`` in [0, 1], from the texture's top left corner."""
    texture: np.ndarray
    """``H W 3`` uint8"""


@dataclass(frozen=True)
class ShadedMesh:
    """A mesh in the light of the viewer's camera."""

    vertices: np.ndarray
    """``V 3`` meters."""
    faces: np.ndarray
    """``F 3``"""
    color: np.ndarray
    """``3`` or ``V 3`` in [0, 1]."""


def draw_scene(
    meshes: Sequence[TexturedMesh | ShadedMesh],
    T_camera_world: np.ndarray,
    K: np.ndarray,
    image_size: tuple[int, int],
) -> np.ndarray:
    """Return the picture ``H W 3`` uint8 of meshes that are given in the world.

    Args:
        T_camera_world: ``4 4`` of the camera.
        K: ``3 3`` in pixels of the picture.
        image_size: (height, width).
    """
    height, width = image_size
    picture = np.full((height * width, 3), BACKGROUND, dtype=np.uint8)
    if not meshes:
        return picture.reshape(height, width, 3)
    placed = [transform_points(T_camera_world, mesh.vertices.astype(np.float64)) for mesh in meshes]
    starts = np.cumsum([0, *(len(vertices) for vertices in placed)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)])
    seen = rasterize(np.concatenate(placed), faces, K, image_size)
    first_faces = np.cumsum([0, *(len(mesh.faces) for mesh in meshes)])
    owner = np.searchsorted(first_faces, seen.face, side="right") - 1
    for number, mesh in enumerate(meshes):
        rows = np.flatnonzero(owner == number)
        corners = mesh.faces[seen.face[rows] - first_faces[number]]
        weights = seen.barycentric[rows]
        if isinstance(mesh, TexturedMesh):
            picture[seen.pixel[rows]] = _sampled(mesh.texture, _mixed(mesh.uv, corners, weights))
        else:
            light = _mixed(vertex_shade(placed[number], mesh.faces)[:, None], corners, weights)
            color = mesh.color if mesh.color.ndim == 1 else _mixed(mesh.color, corners, weights)
            picture[seen.pixel[rows]] = np.round(255 * lit(color, light).clip(0, 1))
    return picture.reshape(height, width, 3)


def _mixed(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return ``n c``: values ``V c`` of the corners ``n 3``, mixed with weights ``n 3``."""
    return sum(values[corners[:, corner]] * weights[:, corner, None] for corner in range(3))  # type: ignore[return-value]


def _sampled(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return ``n 3`` colors at places ``n 2``, mixed from the four texels around each."""
    height, width = texture.shape[:2]
    place = (uv * (width, height) - 0.5).clip(0, (width - 1, height - 1)).astype(np.float32)
    low = np.minimum(place.astype(np.int32), (max(width - 2, 0), max(height - 2, 0)))
    part = place - low
    texels = texture.reshape(-1, 3)
    first = low[:, 1] * width + low[:, 0]
    down, right = width * (height > 1), int(width > 1)
    top = texels[first] * (1 - part[:, :1]) + texels[first + right] * part[:, :1]
    bottom = texels[first + down] * (1 - part[:, :1]) + texels[first + down + right] * part[:, :1]
    return np.round(top * (1 - part[:, 1:]) + bottom * part[:, 1:]).astype(np.uint8)
