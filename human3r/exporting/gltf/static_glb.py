"""``scene_static.glb``: posed bodies, the scene and the camera path as one still, for viewers without animation."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from human3r.atomic import write_bytes
from human3r.exporting.scene_points import thinned_points
from human3r.palette import person_color
from human3r.results.posing import posed_vertices, rows_of_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import trimesh

    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet

NUM_MOMENTS = 4
"""Frames whose people are shown, evenly spread over the clip."""
_PATH_COLOR = (255, 140, 26, 255)


def write_static_glb(
    reconstruction: Reconstruction,
    path: Path,
    body: SmplxBody,
    surface: Sequence[Sheet] = (),
    *,
    with_points: bool = False,
) -> None:
    """Write the still scene atomically, in the y-up world whose floor is y = 0."""
    write_bytes(path, static_glb_bytes(reconstruction, body, surface, with_points=with_points))


def static_glb_bytes(
    reconstruction: Reconstruction, body: SmplxBody, surface: Sequence[Sheet] = (), *, with_points: bool = False
) -> bytes:
    """Return the still scene as the bytes of a ``.glb`` file; see ``static_scene``."""
    scene = static_scene(reconstruction, body, surface, with_points=with_points)
    buffer = io.BytesIO()
    scene.export(buffer, file_type="glb", tree_postprocessor=_unlit if surface else None)
    return buffer.getvalue()


def static_scene(
    reconstruction: Reconstruction, body: SmplxBody, surface: Sequence[Sheet] = (), *, with_points: bool = False
) -> trimesh.Scene:
    """Return the still scene; without a surface it shows the points."""
    import trimesh
    import trimesh.path
    import trimesh.visual
    import trimesh.visual.material
    from trimesh.path.entities import Line

    T = reconstruction.T_gravity_world.astype(np.float64)
    scene = trimesh.Scene()
    faces = body.faces.cpu().numpy()
    for name, track, vertices in people_of_moments(reconstruction, body):
        color = np.array([*person_color(track), 255], dtype=np.uint8)
        material = trimesh.visual.material.PBRMaterial(
            name=f"person_{track}", baseColorFactor=color, metallicFactor=0.0, roughnessFactor=0.75
        )
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
        # Reading the normals makes trimesh write them; without them viewers use flat shading.
        mesh.vertex_normals  # noqa: B018
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    for sheet in surface:
        scene.add_geometry(_textured_mesh(sheet), node_name=sheet.name, geom_name=sheet.name)
    points, colors = thinned_points(reconstruction)
    if len(points) and (with_points or not surface):
        cloud = trimesh.PointCloud(points, colors=colors)
        scene.add_geometry(cloud, node_name="scene_points", geom_name="scene_points")
    if reconstruction.num_frames > 1:
        centers = reconstruction.T_world_camera[:, :3, 3] @ T[:3, :3].T + T[:3, 3]
        line = Line(np.arange(len(centers)), color=_PATH_COLOR)
        route = trimesh.path.Path3D([line], vertices=centers, process=False)
        scene.add_geometry(route, node_name="camera_path", geom_name="camera_path")
    if not scene.geometry:
        # A clip of one frame without people or points gives a loadable file with its camera.
        center = (T @ reconstruction.T_world_camera[0])[:3, 3]
        scene.add_geometry(trimesh.creation.icosphere(1, 0.05).apply_translation(center), geom_name="camera")
    return scene


def people_of_moments(reconstruction: Reconstruction, body: SmplxBody) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield (name, identity, ``V 3`` vertices in the y-up world) of everyone in each of the ``NUM_MOMENTS`` frames."""
    T = reconstruction.T_gravity_world.astype(np.float64)
    for frame in _moments(reconstruction):
        rows = rows_of_frame(reconstruction, frame)
        for row, vertices in zip(rows, posed_vertices(reconstruction, body, rows), strict=True):
            track = int(reconstruction.person_track[row])
            name = f"person_{track}_frame_{int(reconstruction.frame_index[frame])}"
            yield name, track, vertices @ T[:3, :3].T + T[:3, 3]


def _textured_mesh(sheet: Sheet) -> trimesh.Trimesh:
    """Return a sheet of the surface as trimesh's mesh."""
    import trimesh
    import trimesh.visual
    import trimesh.visual.material
    from PIL import Image

    picture = Image.open(io.BytesIO(sheet.texture))
    material = trimesh.visual.material.PBRMaterial(
        name=sheet.name, baseColorTexture=picture, metallicFactor=0.0, roughnessFactor=1.0
    )
    # trimesh counts texture rows from below.
    uv = sheet.uv * (1, -1) + (0, 1)
    mesh = trimesh.Trimesh(sheet.vertices, sheet.faces, process=False)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def _unlit(tree: dict[str, Any]) -> None:
    """Mark the scene's materials, which hold the light of the clip, as unlit."""
    tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", ()), "KHR_materials_unlit"})
    for material in tree["materials"]:
        if material.get("name", "").startswith("scene_"):
            material["extensions"] = {"KHR_materials_unlit": {}}


def _moments(reconstruction: Reconstruction) -> np.ndarray:
    seen = np.unique(reconstruction.person_frame)
    if len(seen) == 0:
        return seen
    return seen[np.unique(np.linspace(0, len(seen) - 1, min(NUM_MOMENTS, len(seen))).round().astype(int))]
