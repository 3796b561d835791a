"""Furniture with real sizes from Sweet Home 3D libraries (``.sh3f``: zip files of OBJ models and a catalog).

Source: Debian package ``sweethome3d-furniture`` 1.8. The libraries of Reallusion and Scopia are reserved for
independent evaluation and not read. Parsed models are cached as npz.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from human3r.atomic import whole_or_absent
from human3r.palette import srgb_to_linear
from human3r.training.synthetic.rendering.mesh import NO_TEXTURE, Material, Mesh, box_uv
from human3r.training.synthetic.rendering.textures import TextureBank

LIBRARIES = ("BlendSwap-CC-0", "BlendSwap-CC-BY", "KatorLegaz")
DEFAULT_FOLDER = Path("/usr/share/sweethome3d/furniture")
"""Folder of Debian's package."""
MAX_MODEL_BYTES = 1_150_000
"""Larger OBJ files exceed the triangle budget of a frame (about 10,000 triangles per megabyte)."""
VALIDATION_SHARE = 8
"""Every 8th model of a library is reserved for the validation split."""
_VEHICLES = re.compile(r"sedan|beetle|fordFocus|motorbike|scooter|^bike$|forkLift")
_UNWANTED = re.compile(
    r"female|^male|deer|chicken|horse|bulldog|siamese|peterbilt|dafTruck|childHut|shippingContainer|door|window|"
    r"shower|curtain|spiralStaircase|ceilingFan|rug|bathmat|tatami|sidewalk|porch-column|white_lily|rigged|umbrella|fountain",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FurnitureItem:
    """One model of a catalog."""

    name: str
    library: str
    category: str
    model: str
    """Path of the OBJ inside the library."""
    size_m: tuple[float, float, float]
    """(width x, height y, depth z)."""
    elevation_m: float
    """Mounting height above the floor; 0 for standing items."""
    use: str
    """``floor``, ``wall``, ``small`` (stands on tables), ``outdoor`` or ``vehicle``."""
    is_validation: bool


class FurnitureStore:
    """Catalog and models of the allowed libraries; models are read on first use."""

    def __init__(self, folder: Path | None, cache: Path | None = None) -> None:
        """Open the libraries of ``folder`` (none when it is missing); keep parsed models in ``cache``."""
        self._folder, self._cache = folder, cache
        self._memory: dict[str, dict[str, np.ndarray]] = {}
        self.items: list[FurnitureItem] = []
        for path in [folder / f"{library}.sh3f" for library in LIBRARIES] if folder else []:
            if path.exists():
                self.items += _read_catalog(path, path.stem)

    def choose(self, use: str, is_validation: bool) -> list[FurnitureItem]:
        """List the items of one use and split."""
        return [item for item in self.items if item.use == use and item.is_validation == is_validation]

    def load(self, item: FurnitureItem, bank: TextureBank, grain: int = NO_TEXTURE) -> Mesh:
        """Return the model centered on its footprint, standing on y = 0, facing +z.

        Args:
            grain: Texture of untextured surfaces (one repeat per meter).
        """
        parsed = self._parsed(item)
        materials = []
        for row, texture in zip(parsed["materials"], parsed["textures"], strict=True):
            image = parsed.get(f"image_{int(texture)}") if texture >= 0 else None
            number = grain if image is None else bank.add(image)
            gloss = float(np.clip(row[4], 4, 200))
            color = np.ones(3) if image is not None else row[:3]
            materials.append(Material(tuple(float(c) for c in color), number, float(row[3]), gloss))
        return Mesh(
            parsed["vertices"], parsed["faces"], parsed["normals"], parsed["uv"], parsed["material"], tuple(materials)
        )

    def _parsed(self, item: FurnitureItem) -> dict[str, np.ndarray]:
        key = f"{item.library}_{item.name}"
        if key not in self._memory:
            self._memory[key] = self._read(item, self._cache / f"{key}.npz" if self._cache else None)
        return self._memory[key]

    def _read(self, item: FurnitureItem, path: Path | None) -> dict[str, np.ndarray]:
        if path and path.exists():
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        assert self._folder is not None, "items come from a folder"
        with zipfile.ZipFile(self._folder / f"{item.library}.sh3f") as library:
            parsed = _parse_model(library, item)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_or_absent(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **parsed)  # pyright: ignore[reportArgumentType]
        return parsed


def _read_catalog(path: Path, library: str) -> list[FurnitureItem]:
    entries: dict[int, dict[str, str]] = defaultdict(dict)
    with zipfile.ZipFile(path) as archive:
        for line in archive.read("PluginFurnitureCatalog.properties").decode("latin-1").splitlines():
            match = re.match(r"(\w+)#(\d+)=(.*)", line)
            if match:
                entries[int(match[2])][match[1]] = match[3].strip()
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    items = []
    for number, entry in sorted(entries.items()):
        model = entry["model"].lstrip("/")
        name = entry.get("id", entry["name"]).split("#")[-1]
        limit = 2 * MAX_MODEL_BYTES if _VEHICLES.search(name) else MAX_MODEL_BYTES
        if "modelRotation" in entry or _UNWANTED.search(name) or not 0 < sizes.get(model, 0) <= limit:
            continue
        width, height, depth = (float(entry[key]) / 100 for key in ("width", "height", "depth"))
        elevation = float(entry.get("elevation", 0)) / 100
        item = FurnitureItem(
            name,
            library,
            entry["category"],
            model,
            (width, height, depth),
            elevation,
            "",
            number % VALIDATION_SHARE == 0,
        )
        items.append(replace(item, use=_use(item)))
    return items


def _use(item: FurnitureItem) -> str:
    width, height, depth = item.size_m
    if _VEHICLES.search(item.name):
        return "vehicle"
    if re.search(r"upper|hood|wall|cuckoo|emergencySign|modernRadiator|towel|mirror|hanging", item.name, re.IGNORECASE):
        return "wall"
    if max(width, height, depth) < 0.5:
        return "small" if max(width, height, depth) > 0.07 else "tiny"
    if item.category == "Exterior":
        return "outdoor"
    return "floor"


def _parse_model(library: zipfile.ZipFile, item: FurnitureItem) -> dict[str, np.ndarray]:
    text = library.read(item.model).decode("latin-1").replace("\\\n", " ")
    lines = text.splitlines()
    points = _numbers(lines, "v ", 3)
    texture_points = _numbers(lines, "vt ", 2)
    normal_points = _numbers(lines, "vn ", 3)
    corners, face_material, names = _triangles(lines)
    corners = np.where(
        corners < 0, corners + 1 + np.array([len(points), len(texture_points), len(normal_points)]), corners
    )
    low, high = points.min(0), points.max(0)
    size = np.asarray(item.size_m)
    vertices = (points - (low + high) / 2) / np.maximum(high - low, 1e-9) * size
    vertices[:, 1] += size[1] / 2
    faces = corners[..., 0] - 1
    flat = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-20
    normals = np.broadcast_to(flat[:, None], (len(faces), 3, 3)).copy()
    if len(normal_points):
        given = normal_points[np.maximum(corners[..., 2] - 1, 0)] / np.maximum(
            size / np.maximum(high - low, 1e-9), 1e-6
        )
        given /= np.linalg.norm(given, axis=-1, keepdims=True) + 1e-20
        normals = np.where((corners[..., 2] > 0)[..., None], given, normals)
    table, textures, images = _read_materials(library, item, lines, names)
    uv = box_uv(vertices[faces], flat)
    if len(texture_points):
        given_uv = texture_points[np.maximum(corners[..., 1] - 1, 0)]
        has_uv = (corners[..., 1].min(1) > 0) & (textures[face_material] >= 0)
        uv = np.where(has_uv[:, None, None], given_uv, uv)
    return {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "normals": normals.astype(np.float32),
        "uv": uv.astype(np.float32),
        "material": face_material.astype(np.int32),
        "materials": table,
        "textures": textures,
        **{f"image_{index}": image for index, image in enumerate(images)},
    }


def _numbers(lines: list[str], prefix: str, count: int) -> np.ndarray:
    rows = [line.split()[1 : count + 1] for line in lines if line.startswith(prefix)]
    return np.array(rows, float).reshape(-1, count)


def _triangles(lines: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return corners ``F 3 3`` (vertex, texture, normal; 1-based, 0 is none), material rows ``F`` and their names."""
    names: list[str] = []
    current, corners, materials = 0, [], []
    for line in lines:
        if line.startswith("usemtl"):
            name = line[6:].strip()
            if name not in names:
                names.append(name)
            current = names.index(name)
        elif line.startswith("f "):
            polygon = [[int(part or 0) for part in [*corner.split("/"), "", ""][:3]] for corner in line.split()[1:]]
            for last in range(2, len(polygon)):
                corners.append((polygon[0], polygon[last - 1], polygon[last]))
                materials.append(current)
    return np.array(corners, np.int64).reshape(-1, 3, 3), np.array(materials), names or [""]


def _read_materials(
    library: zipfile.ZipFile, item: FurnitureItem, lines: list[str], names: list[str]
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return ``M 5`` (linear color 3, specular, gloss), texture numbers ``M`` (-1 none) and the texture images."""
    folder = posixpath.dirname(item.model)
    table = np.tile(np.array([0.5, 0.5, 0.5, 0.04, 20], np.float32), (len(names), 1))
    textures, images, seen = np.full(len(names), NO_TEXTURE), [], {}
    stored = {name.lower(): name for name in library.namelist()}
    for line in lines:
        if not line.startswith("mtllib"):
            continue
        path = stored.get(posixpath.normpath(posixpath.join(folder, line[6:].strip())).lower())
        row = None
        for entry in library.read(path).decode("latin-1").splitlines() if path else []:
            words = entry.split()
            if not words:
                continue
            if words[0] == "newmtl":
                name = entry.strip()[6:].strip()
                row = names.index(name) if name in names else None
            elif row is None:
                continue
            elif words[0] == "Kd":
                table[row, :3] = srgb_to_linear(np.clip(np.array(words[1:4], float), 0.03, 0.95))
            elif words[0] == "Ks":
                table[row, 3] = 0.02 + 0.08 * float(np.clip(np.mean([float(word) for word in words[1:4]]), 0, 1))
            elif words[0] == "Ns":
                table[row, 4] = float(words[1])
            elif words[0] == "map_Kd":
                file = stored.get(
                    posixpath.normpath(posixpath.join(folder, entry.strip()[6:].strip().replace("\\", "/"))).lower()
                )
                if file and file not in seen:
                    with Image.open(BytesIO(library.read(file))) as image:
                        image = image.convert("RGB")
                        image.thumbnail((256, 256))
                        seen[file] = len(images)
                        images.append(np.asarray(image))
                if file:
                    textures[row] = seen[file]
    return table, textures, images
