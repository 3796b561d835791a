"""``obj``: the still scene as Wavefront OBJ with materials and textures, in the y-up world whose floor is y = 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_bytes, write_text
from human3r.exporting.gltf.static_glb import people_of_moments
from human3r.palette import person_color

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet


def write_obj(reconstruction: Reconstruction, folder: Path, body: SmplxBody, surface: Sequence[Sheet] = ()) -> None:
    """Write ``scene.obj``, ``scene.mtl`` and a JPEG per sheet into a folder; the people are those of the still GLB."""
    objects, materials = _Objects(), {}
    faces = body.faces.cpu().numpy()
    for name, track, vertices in people_of_moments(reconstruction, body):
        red, green, blue = (channel / 255 for channel in person_color(track))
        materials[f"person_{track}"] = f"Kd {red:.4f} {green:.4f} {blue:.4f}"
        objects.add(name, f"person_{track}", vertices, faces)
    for sheet in surface:
        texture = f"{sheet.name}.jpg"
        write_bytes(folder / texture, sheet.texture)
        materials[sheet.name] = f"Kd 1 1 1\nmap_Kd {texture}"
        objects.add(sheet.name, sheet.name, sheet.vertices, sheet.faces, sheet.uv)
    write_text(
        folder / "scene.mtl", "# Human3R\n" + "".join(f"newmtl {name}\n{text}\n\n" for name, text in materials.items())
    )
    write_text(folder / "scene.obj", "mtllib scene.mtl\n" + objects.text)


class _Objects:
    """The text of objects; vertices and texture coordinates are numbered over all objects, from 1."""

    def __init__(self) -> None:
        self.text = ""
        self._num_vertices, self._num_uv = 1, 1

    def add(
        self, name: str, material: str, vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray | None = None
    ) -> None:
        corners = faces + self._num_vertices
        lines = [f"o {name}", f"usemtl {material}", *(f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertices.tolist())]
        if uv is None:
            lines += [f"f {a} {b} {c}" for a, b, c in corners.tolist()]
        else:
            # Texture rows count from below.
            lines += [f"vt {u:.5f} {1 - v:.5f}" for u, v in uv.tolist()]
            shift = self._num_uv - self._num_vertices
            lines += [f"f {a}/{a + shift} {b}/{b + shift} {c}/{c + shift}" for a, b, c in corners.tolist()]
            self._num_uv += len(uv)
        self._num_vertices += len(vertices)
        self.text += "\n".join(lines) + "\n"
