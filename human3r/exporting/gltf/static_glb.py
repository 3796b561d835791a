"""``scene_static.glb``: posed bodies, scene points and camera path as one still, for viewers without animation."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_bytes
from human3r.exporting.scene_points import thinned_points
from human3r.palette import person_color
from human3r.results.posing import posed_vertices, rows_of_frame

if TYPE_CHECKING:
    from pathlib import Path

    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction

NUM_MOMENTS = 4
"""Frames whose people are shown, evenly spread over the clip."""
_PATH_COLOR = (255, 140, 26, 255)


def write_static_glb(reconstruction: Reconstruction, path: Path, body: SmplxBody) -> None:
    """Write the still scene whole or not at all, in the y-up world whose floor is y = 0."""
    write_bytes(path, static_glb_bytes(reconstruction, body))


def static_glb_bytes(reconstruction: Reconstruction, body: SmplxBody) -> bytes:
    """Return the still scene as the bytes of a ``.glb`` file."""
    import trimesh
    import trimesh.path
    import trimesh.visual
    import trimesh.visual.material
    from trimesh.path.entities import Line

    T = reconstruction.T_gravity_world.astype(np.float64)
    scene = trimesh.Scene()
    faces = body.faces.cpu().numpy()
    for frame in _moments(reconstruction):
        rows = rows_of_frame(reconstruction, frame)
        vertices = posed_vertices(reconstruction, body, rows)
        for row, mesh_vertices in zip(rows, vertices, strict=True):
            track = int(reconstruction.person_track[row])
            color = np.array([*person_color(track), 255], dtype=np.uint8)
            material = trimesh.visual.material.PBRMaterial(
                name=f"person_{track}", baseColorFactor=color, metallicFactor=0.0, roughnessFactor=0.75
            )
            mesh = trimesh.Trimesh(mesh_vertices @ T[:3, :3].T + T[:3, 3], faces, process=False)
            mesh.visual = trimesh.visual.TextureVisuals(material=material)
            # Reading the normals makes trimesh write them; without them viewers shade every triangle flat.
            mesh.vertex_normals  # noqa: B018
            name = f"person_{track}_frame_{int(reconstruction.frame_index[frame])}"
            scene.add_geometry(mesh, node_name=name, geom_name=name)
    points, colors = thinned_points(reconstruction)
    if len(points):
        cloud = trimesh.PointCloud(points, colors=colors)
        scene.add_geometry(cloud, node_name="scene_points", geom_name="scene_points")
    if reconstruction.num_frames > 1:
        centers = reconstruction.T_world_camera[:, :3, 3] @ T[:3, :3].T + T[:3, 3]
        line = Line(np.arange(len(centers)), color=_PATH_COLOR)
        route = trimesh.path.Path3D([line], vertices=centers, process=False)
        scene.add_geometry(route, node_name="camera_path", geom_name="camera_path")
    if not scene.geometry:
        # A clip of one frame without people or points still gives a loadable file: its camera.
        center = (T @ reconstruction.T_world_camera[0])[:3, 3]
        scene.add_geometry(trimesh.creation.icosphere(1, 0.05).apply_translation(center), geom_name="camera")
    buffer = io.BytesIO()
    scene.export(buffer, file_type="glb")
    return buffer.getvalue()


def _moments(reconstruction: Reconstruction) -> np.ndarray:
    seen = np.unique(reconstruction.person_frame)
    if len(seen) == 0:
        return seen
    return seen[np.unique(np.linspace(0, len(seen) - 1, min(NUM_MOMENTS, len(seen))).round().astype(int))]
