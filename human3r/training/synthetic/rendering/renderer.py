"""Render one scene: static meshes prepared once, moving people per frame, lights with shadow maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from human3r.geometry.mesh import vertex_normals
from human3r.training.synthetic.rendering.frame_buffers import ambient_occlusion, resolve_depth, shade_image
from human3r.training.synthetic.rendering.mesh import Mesh, join_meshes
from human3r.training.synthetic.rendering.rasterizer import draw_parallel, draw_pinhole, empty_buffers
from human3r.training.synthetic.rendering.textures import TextureBank

LAMP_SHADOW_SIZE = 640
LAMP_SHADOW_FOCAL = 160.0
"""The lamp's downward shadow map spans 127 degrees: 640 pixels over 2 * 320 / 160 meters at one meter."""
SUN_SHADOW_SIZE = 1024


@dataclass(frozen=True)
class Lights:
    """Every light of a scene; colors are linear radiance or intensity."""

    environment: np.ndarray
    """``h w 3`` float32 equirectangular background, first row up."""
    harmonics: np.ndarray
    """``9 3`` float32 ambient irradiance over pi, in the order of ``shading._ambient``."""
    lamps: np.ndarray = field(default_factory=lambda: np.zeros((0, 8)))
    """``L 8``: position 3, intensity 3, radius, 1 if it casts shadows else 0."""
    panels: np.ndarray = field(default_factory=lambda: np.zeros((0, 10)))
    """``A 10``: center 3, normal 3, radiance 3, area."""
    sun_direction: np.ndarray = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    """``3`` unit, toward the sun."""
    sun_color: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """``3`` irradiance over pi; zero is no sun."""
    sun_softness: float = 1.0
    """Half width of the shadow's border in pixels of its map."""
    sun_bounds: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None
    """Lowest and highest corner of the sun's shadow map; None covers all static meshes."""
    occlusion_radius_m: float = 0.6
    occlusion_strength: float = 1.0


@dataclass(frozen=True)
class RenderedFrame:
    """One image with exact ground truth at pixel centers."""

    radiance: np.ndarray
    """``H W 3`` float32 linear."""
    depth: np.ndarray
    """``H W`` float32 camera z, meters; 0 is nothing."""
    person_index: np.ndarray
    """``H W`` uint8; 0 is no person, ``p + 1`` moving mesh ``p``."""


class Renderer:
    """A prepared scene. Static triangles come first, then those of every moving mesh."""

    def __init__(self, still: Mesh, moving: list[Mesh], textures: TextureBank, lights: Lights, factor: int = 2) -> None:
        """Prepare; ``factor`` is the number of sub-samples per pixel side at edges."""
        whole = join_meshes([still, *moving])
        self._factor = factor
        self._lights = lights
        self._num_still_vertices, self._num_still_faces = len(still.vertices), len(still.faces)
        self._vertices = np.ascontiguousarray(whole.vertices, np.float32)
        self._faces, self._normals, self._uv = whole.faces, whole.normals, whole.uv
        self._material = whole.material
        person = [np.zeros(self._num_still_faces, np.uint8)]
        person += [np.full(len(mesh.faces), index + 1, np.uint8) for index, mesh in enumerate(moving)]
        self._face_person = np.concatenate(person)
        self._group = (self._material + 1).astype(np.int32)
        materials = np.array([material.row() for material in whole.materials], np.float32)
        pixels, table, to_linear = textures.packed()
        self._surfaces = (materials, pixels, table, to_linear)
        self._density = _texture_density(self._vertices, self._faces, self._uv)
        self._moving_slices = _slices([len(mesh.vertices) for mesh in moving], self._num_still_vertices)
        self._moving_faces = _slices([len(mesh.faces) for mesh in moving], self._num_still_faces)
        low, high = still.bounds() if lights.sun_bounds is None else np.array(lights.sun_bounds)
        self._sun_frame = _sun_frame(lights.sun_direction, low, high)
        self._still_sun, self._still_lamps = self._draw_shadows(self._faces[: self._num_still_faces], None)

    def render(
        self, moving_vertices: list[np.ndarray], K: np.ndarray, T_scene_camera: np.ndarray, size: tuple[int, int]
    ) -> RenderedFrame:
        """Draw a frame of (height, width) ``size``; ``moving_vertices`` are ``V 3`` in the scene, per moving mesh."""
        for vertices, where, faces in zip(moving_vertices, self._moving_slices, self._moving_faces, strict=True):
            self._vertices[where] = vertices
            local = self._faces[faces] - where.start
            self._normals[faces] = vertex_normals(self._vertices[where], local)[local]
        sun_shadow, lamp_shadows = self._draw_shadows(
            self._faces[self._num_still_faces :], (self._still_sun, self._still_lamps)
        )
        R, t = T_scene_camera[:3, :3], T_scene_camera[:3, 3]
        vertices_camera = np.ascontiguousarray((self._vertices - t.astype(np.float32)) @ R.astype(np.float32))
        pinhole = (float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))
        nearness, faces_seen = empty_buffers(*size)
        draw_pinhole(vertices_camera, self._faces, *pinhole, nearness, faces_seen)
        factor = self._factor
        fine_nearness, fine_faces = empty_buffers(size[0] * factor, size[1] * factor)
        center_x, center_y = ((center + 0.5) * factor - 0.5 for center in pinhole[2:])
        draw_pinhole(
            vertices_camera, self._faces, pinhole[0] * factor, pinhole[1] * factor, center_x, center_y,
            fine_nearness, fine_faces,
        )  # fmt: skip
        depth, normal = resolve_depth(faces_seen, vertices_camera, self._faces, *pinhole)
        lights = self._lights
        occlusion = ambient_occlusion(depth, normal, *pinhole, lights.occlusion_radius_m, lights.occlusion_strength)
        radiance = shade_image(
            faces_seen,
            fine_faces,
            fine_nearness,
            factor,
            occlusion,
            self._group,
            pinhole,
            np.ascontiguousarray(R, np.float64),
            tuple(float(value) for value in t),
            (self._vertices, self._faces, self._normals, self._uv, self._material, self._density),
            self._surfaces,
            self._light_tables(sun_shadow, lamp_shadows),
        )
        person = np.where(faces_seen >= 0, self._face_person[np.maximum(faces_seen, 0)], 0).astype(np.uint8)
        return RenderedFrame(radiance, depth, person)

    def count_person_pixels(self, person: int, K: np.ndarray, T_scene_camera: np.ndarray, size: tuple[int, int]) -> int:
        """Count the pixels of one moving mesh alone, on a canvas with a margin of half the image on every side."""
        where, faces = self._moving_slices[person], self._moving_faces[person]
        R, t = T_scene_camera[:3, :3], T_scene_camera[:3, 3]
        vertices_camera = np.ascontiguousarray(((self._vertices[where] - t) @ R).astype(np.float32))
        nearness, faces_seen = empty_buffers(size[0], size[1])
        center = (float(K[0, 2] + size[1] / 2) / 2, float(K[1, 2] + size[0] / 2) / 2)
        local = self._faces[faces] - where.start
        draw_pinhole(vertices_camera, local, float(K[0, 0]) / 2, float(K[1, 1]) / 2, *center, nearness, faces_seen)
        return int((faces_seen >= 0).sum()) * 4

    def _draw_shadows(
        self, faces: np.ndarray, start: tuple[np.ndarray, np.ndarray] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        lights = self._lights
        has_sun = lights.sun_color.sum() > 0
        casting = lights.lamps[lights.lamps[:, 7] > 0] if len(lights.lamps) else lights.lamps
        if start is None:
            sun = empty_buffers(SUN_SHADOW_SIZE, SUN_SHADOW_SIZE)[0] if has_sun else np.zeros((1, 1), np.float32)
            lamps = np.stack(
                [empty_buffers(LAMP_SHADOW_SIZE, LAMP_SHADOW_SIZE)[0] for _ in casting]
                or [np.zeros((1, 1), np.float32)]
            )
        else:
            sun, lamps = start[0].copy(), start[1].copy()
        if len(faces) == 0:
            return sun, lamps
        if has_sun:
            frame = self._sun_frame
            vertices = (self._vertices @ frame[:3].T.astype(np.float32)).astype(np.float32)
            draw_parallel(vertices, faces, frame[3, 0], frame[3, 1], frame[3, 2], sun, np.empty(sun.shape, np.int32))
        for index, lamp in enumerate(casting):
            offset = self._vertices - lamp[:3].astype(np.float32)
            vertices = np.ascontiguousarray(np.stack([offset[:, 0], offset[:, 2], -offset[:, 1]], -1))
            center = LAMP_SHADOW_SIZE / 2
            focal = LAMP_SHADOW_FOCAL
            draw_pinhole(
                vertices, faces, focal, focal, center, center, lamps[index], np.empty(lamps[index].shape, np.int32)
            )
        return sun, lamps

    def _light_tables(self, sun_shadow: np.ndarray, lamp_shadows: np.ndarray) -> tuple[Any, ...]:
        lights = self._lights
        lamps = np.array(lights.lamps, np.float64).reshape(-1, 8)
        casts = lamps[:, 7] > 0
        lamps[:, 7] = np.where(casts, np.cumsum(casts) - 1, -1)
        sun = np.array([*lights.sun_direction, *lights.sun_color, lights.sun_softness])
        panels = np.array(lights.panels, np.float64).reshape(-1, 10)
        return (
            lights.environment,
            lights.harmonics.astype(np.float64),
            lamps,
            lamp_shadows,
            LAMP_SHADOW_FOCAL,
            panels,
            sun,
            sun_shadow,
            self._sun_frame,
        )


def _slices(lengths: list[int], start: int) -> list[slice]:
    ends = np.cumsum([start, *lengths])
    return [slice(int(first), int(last)) for first, last in pairwise(ends)]


def _texture_density(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return texture repeats per meter of every face, ``F`` float32."""
    side_a, side_b = vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    area = np.linalg.norm(np.cross(side_a, side_b), axis=1)
    uv_a, uv_b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    uv_area = np.abs(uv_a[:, 0] * uv_b[:, 1] - uv_a[:, 1] * uv_b[:, 0])
    return np.sqrt(uv_area / np.maximum(area, 1e-10)).astype(np.float32)


def _sun_frame(direction: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return ``4 3``: axes x, y, z of the sun's camera (z along its light), then (scale, center x, center y)."""
    forward = -direction / np.linalg.norm(direction)
    side = np.cross([0.0, 1.0, 0.0] if abs(forward[1]) < 0.95 else [1.0, 0.0, 0.0], forward)
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(forward, side), forward])
    corners = (
        np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]) @ axes.T
    )
    lowest, highest = corners.min(0), corners.max(0)
    scale = (SUN_SHADOW_SIZE - 4) / max(highest[0] - lowest[0], highest[1] - lowest[1])
    return np.concatenate([axes, [[scale, 2 - lowest[0] * scale, 2 - lowest[1] * scale]]])
