"""Parts of animated and still glTF: sheets and points with the light of the clip (unlit materials), lines, people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from human3r.exporting.gltf.writer import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, POINTS, TRIANGLES, GltfWriter
from human3r.exporting.scene_points import thinned_points
from human3r.palette import srgb_to_linear

if TYPE_CHECKING:
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet

PATH_COLOR = (1.0, 0.55, 0.1)
"""Of the camera's path, sRGB."""


def sheet_glb(sheet: Sheet) -> bytes:
    """Return one piece of the scene's surface as the bytes of a ``.glb`` file."""
    gltf = GltfWriter("Human3R")
    add_sheet(gltf, sheet)
    return gltf.to_glb(sheet.name, "")


def unlit_material(
    gltf: GltfWriter, name: str, color_srgb: tuple[float, float, float], texture: int | None = None
) -> int:
    """Add a material that shows a color, or a texture, as it is; return its index."""
    gltf.extensions_used.add("KHR_materials_unlit")
    base = [*srgb_to_linear(np.array(color_srgb)).tolist(), 1.0]
    appearance: dict[str, object] = {"baseColorFactor": base, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    if texture is not None:
        appearance["baseColorTexture"] = {"index": texture}
    return gltf.add("materials", name=name, pbrMetallicRoughness=appearance, extensions={"KHR_materials_unlit": {}})


def person_material(gltf: GltfWriter, track_id: int, color_rgb: tuple[int, int, int]) -> int:
    """Add the material of a person with an sRGB color of 8 bits and return its index."""
    appearance = {
        "baseColorFactor": [*srgb_to_linear(np.array(color_rgb) / 255).tolist(), 1.0],
        "metallicFactor": 0.0,
        "roughnessFactor": 0.75,
    }
    return gltf.add("materials", name=f"person_{track_id}", pbrMetallicRoughness=appearance)


def add_faces(gltf: GltfWriter, faces: np.ndarray, num_vertices: int) -> int:
    """Append the indices of triangles in as few bytes as their vertices allow."""
    index_dtype = np.uint16 if num_vertices <= np.iinfo(np.uint16).max else np.uint32
    return gltf.add_array(faces.astype(index_dtype).reshape(-1), ELEMENT_ARRAY_BUFFER)


def add_lines(gltf: GltfWriter, parent: int | None, name: str, positions: np.ndarray, mode: int, material: int) -> None:
    """Add lines through ``n 3`` positions as a node."""
    vertices = gltf.add_array(positions.astype(np.float32), ARRAY_BUFFER, bounds=True)
    primitive = {"attributes": {"POSITION": vertices}, "material": material, "mode": mode}
    gltf.add_node(parent, name=name, mesh=gltf.add("meshes", name=name, primitives=[primitive]))


def add_sheet(gltf: GltfWriter, sheet: Sheet) -> None:
    """Add one piece of the scene's surface, around its centroid."""
    centroid = sheet.vertices.mean(axis=0, dtype=np.float64)
    primitive = {
        "attributes": {
            "POSITION": gltf.add_array((sheet.vertices - centroid).astype(np.float32), ARRAY_BUFFER, bounds=True),
            "TEXCOORD_0": gltf.add_array(sheet.uv, ARRAY_BUFFER),
        },
        "indices": add_faces(gltf, sheet.faces, len(sheet.vertices)),
        "material": unlit_material(gltf, sheet.name, (1.0, 1.0, 1.0), gltf.add_texture(sheet.texture)),
        "mode": TRIANGLES,
    }
    mesh = gltf.add("meshes", name=sheet.name, primitives=[primitive])
    gltf.add_node(name=sheet.name, mesh=mesh, translation=centroid.tolist())


def linear_rgba(colors_srgb: np.ndarray) -> np.ndarray:
    """Return ``n 4`` uint16 linear colors (8 bits would band in the dark) of ``n 3`` uint8."""
    one = np.iinfo(np.uint16).max
    rgba = np.full((len(colors_srgb), 4), one, dtype=np.uint16)
    rgba[:, :3] = np.round(srgb_to_linear(colors_srgb / 255) * one)
    return rgba


def add_points(gltf: GltfWriter, reconstruction: Reconstruction) -> None:
    """Add the fused points around their centroid, with their colors."""
    points, colors = thinned_points(reconstruction)
    centroid = points.mean(axis=0, dtype=np.float64)
    positions = (points - centroid).astype(np.float32)
    primitive = {
        "attributes": {
            "POSITION": gltf.add_array(positions, ARRAY_BUFFER, bounds=True),
            "COLOR_0": gltf.add_array(linear_rgba(colors), ARRAY_BUFFER, normalized=True),
        },
        "material": unlit_material(gltf, "scene_points", (1.0, 1.0, 1.0)),
        "mode": POINTS,
    }
    mesh = gltf.add("meshes", name="scene_points", primitives=[primitive])
    gltf.add_node(name="scene_points", mesh=mesh, translation=centroid.tolist())
