"""``scene_static.glb``: posed bodies, the scene and the camera path as one still, for viewers without animation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_bytes
from human3r.exporting.gltf.scene import (
    PATH_COLOR,
    add_faces,
    add_lines,
    add_points,
    add_sheet,
    person_material,
    unlit_material,
)
from human3r.exporting.gltf.writer import ARRAY_BUFFER, LINES, TRIANGLES, GltfWriter
from human3r.geometry.mesh import vertex_normals
from human3r.palette import person_color
from human3r.results.posing import posed_vertices, rows_of_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet

NUM_MOMENTS = 4
"""Frames whose people are shown, evenly spread over the clip."""


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
    """Return the still scene as the bytes of a ``.glb`` file; without a surface it shows the points."""
    gltf = GltfWriter("Human3R")
    faces = body.faces.cpu().numpy()
    people, materials = list(people_of_moments(reconstruction, body)), {}
    indices = add_faces(gltf, faces, len(body.template)) if people else None
    for name, track, vertices in people:
        if track not in materials:
            materials[track] = person_material(gltf, track, person_color(track))
        attributes = {
            "POSITION": gltf.add_array(vertices.astype(np.float32), ARRAY_BUFFER, bounds=True),
            "NORMAL": gltf.add_array(vertex_normals(vertices, faces).astype(np.float32), ARRAY_BUFFER),
        }
        primitive = {"attributes": attributes, "indices": indices, "material": materials[track], "mode": TRIANGLES}
        gltf.add_node(name=name, mesh=gltf.add("meshes", name=name, primitives=[primitive]))
    for sheet in surface:
        add_sheet(gltf, sheet)
    if len(reconstruction.points_world) and (with_points or not surface):
        add_points(gltf, reconstruction)
    if reconstruction.num_frames:
        T = reconstruction.T_gravity_world.astype(np.float64) @ reconstruction.T_world_camera
        material = unlit_material(gltf, "camera_path", PATH_COLOR)
        # Pairs of ends, since not every viewer shows strips; the last position twice, for clips of one frame.
        ends = np.repeat(T[[*range(len(T)), -1], :3, 3], 2, axis=0)[1:-1]
        add_lines(gltf, None, "camera_path", ends, LINES, material)
    return gltf.to_glb("Human3R reconstruction", "")


def people_of_moments(reconstruction: Reconstruction, body: SmplxBody) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield (name, identity, ``V 3`` vertices in the y-up world) of everyone in each of the ``NUM_MOMENTS`` frames."""
    T = reconstruction.T_gravity_world.astype(np.float64)
    for frame in _moments(reconstruction):
        rows = rows_of_frame(reconstruction, frame)
        for row, vertices in zip(rows, posed_vertices(reconstruction, body, rows), strict=True):
            track = int(reconstruction.person_track[row])
            name = f"person_{track}_frame_{int(reconstruction.frame_index[frame])}"
            yield name, track, vertices @ T[:3, :3].T + T[:3, 3]


def _moments(reconstruction: Reconstruction) -> np.ndarray:
    seen = np.unique(reconstruction.person_frame)
    if len(seen) == 0:
        return seen
    return seen[np.unique(np.linspace(0, len(seen) - 1, min(NUM_MOMENTS, len(seen))).round().astype(int))]
