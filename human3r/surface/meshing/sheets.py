"""Textured surfaces of a finished result: one sheet per keyframe, without parts that a better sheet shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

from human3r.atomic import whole_or_absent
from human3r.geometry.fusion import connected_parts, dilate
from human3r.geometry.rigid import transform_points
from human3r.refinement.world.depth_correction import depth_factor_of
from human3r.surface.keyframes.collecting import Keyframe, encode_jpeg
from human3r.surface.keyframes.looks import Lens
from human3r.surface.meshing.agreement import agreed
from human3r.surface.meshing.flatness import flattened
from human3r.surface.meshing.grid_mesh import GridMesh, triangulate
from human3r.surface.meshing.matching import matched
from human3r.surface.meshing.outlines import sharpened
from human3r.surface.meshing.parts import Part
from human3r.surface.meshing.toning import toned
from human3r.surface.people_colors import PeopleColors

if TYPE_CHECKING:
    from human3r.results.reconstruction import Reconstruction

MAX_TRIANGLES = 240_000
"""Of all sheets together; larger surfaces are built on coarser grids."""
_MAX_TEXTURE_PIXELS = 9_000_000
"""Of all textures together, about 3 MB."""
_TEXTURE_QUALITY = 85
_RESOLUTIONS = ((2, 1, 1.0), (1, 1, 1.0), (1, 1, 2.0), (1, 2, 1.0), (1, 2, 2.0), (1, 4, 2.0))
"""(Refinement of the network's grid, step between the cells that are used, factor on tolerances), tried in turn."""
_MAX_SHARPENED = 3
"""With more keyframes none is meshed more finely than the network's grid."""
_MIN_ISLAND = 1.5e-3
"""Pieces that cover less of the image than this are left out."""
_MIN_WIDTH_PX = 5
"""What is narrower, such as fringes between people's outlines, is left out."""
_SAME_SURFACE = 0.1
"""Two parts show the same surface where their depths differ by less than this fraction."""
_NEARER = 0.6
"""The earlier one of two sheets shows what both see, unless the later one sees it from less than this share of its
distance: few borders between sheets are worth more than a little sharpness."""
_VOTE_PX = 9
"""Which sheet shows a pixel is decided by the majority of a square of this side."""
_OVERLAP_PX = 5
"""Sheets overlap by this much."""


@dataclass(frozen=True)
class Sheet:
    """One textured piece of the scene in the y-up world whose floor is y = 0; seen from its front only."""

    name: str
    """``scene_<shot>_<number>``"""
    vertices: np.ndarray
    """``V 3`` float32, meters."""
    uv: np.ndarray
    """``V 2`` float32 in [0, 1], from the texture's top left corner."""
    faces: np.ndarray
    """``F 3`` int32, counter-clockwise seen from the camera."""
    texture: bytes
    """JPEG."""


class LazySurface:
    """The surface of a result, built when it is first asked for.

    Args:
        reconstruction: The result.
        keyframes: Of the same run; none give no surface.
        people_colors: The clip's colors of its people, where they were kept.
        kept_in: File that the sheets are kept in, for who asks for the same surface later. It is not for strangers'
            files: nothing in it is checked.
    """

    def __init__(
        self,
        reconstruction: Reconstruction,
        keyframes: Sequence[Keyframe] = (),
        people_colors: PeopleColors | None = None,
        kept_in: Path | None = None,
    ) -> None:
        self._reconstruction, self.keyframes, self._kept_in = reconstruction, keyframes, kept_in
        self.people_colors: PeopleColors = people_colors or {}

    @property
    def is_empty(self) -> bool:
        """Whether no keyframes were kept."""
        return len(self.keyframes) == 0

    @cached_property
    def sheets(self) -> list[Sheet]:
        """The sheets, in the order of their keyframes."""
        if self._kept_in is not None and self._kept_in.is_file():
            return _load(self._kept_in)
        sheets = build_surface(self._reconstruction, self.keyframes)
        if self._kept_in is not None:
            _save(self._kept_in, sheets)
        return sheets


def _save(path: Path, sheets: Sequence[Sheet]) -> None:
    arrays = {f"{sheet.name}/{part}": value for sheet in sheets for part, value in vars(sheet).items()}
    arrays |= {name: np.frombuffer(value, np.uint8) for name, value in arrays.items() if isinstance(value, bytes)}
    with whole_or_absent(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def _load(path: Path) -> list[Sheet]:
    with np.load(path, allow_pickle=False) as arrays:
        names = [name.removesuffix("/name") for name in arrays if name.endswith("/name")]
        parts = [[arrays[f"{name}/{part}"] for part in ("vertices", "uv", "faces", "texture")] for name in names]
    return [
        Sheet(name, vertices, uv, faces, texture.tobytes())
        for name, (vertices, uv, faces, texture) in zip(names, parts, strict=True)
    ]


def build_surface(
    reconstruction: Reconstruction,
    keyframes: Sequence[Keyframe],
    *,
    max_triangles: int = MAX_TRIANGLES,
) -> list[Sheet]:
    """Build the scene's surface.

    Args:
        reconstruction: The result; its cameras place the keyframes.
        keyframes: Of the same run; those of frames that the result lacks are left out.
        max_triangles: Limit of all sheets together.
    """
    parts = _parts(reconstruction, keyframes)
    return sheets_of(parts, reconstruction.T_gravity_world, max_triangles=max_triangles)


def sheets_of(
    parts: Sequence[Part],
    T_gravity_world: np.ndarray,
    *,
    only: int | None = None,
    max_triangles: int = MAX_TRIANGLES,
) -> list[Sheet]:
    """Build the sheets of parts, each without what a better one shows; with ``only``, that of one part at most."""
    wanted = range(len(parts)) if only is None else (only,)
    shown = {index: _without_better(parts, index) for index in wanted}
    if only is None and len(parts) > 1:
        shown = _without_gaps(parts, shown)
    shown = {index: _without_islands(depth) for index, depth in shown.items()}
    kept = [index for index, depth in shown.items() if depth.any()]
    colored = toned(parts, {index: shown[index] for index in kept})
    meshes, shapes = _meshes([colored[index] for index in kept], [shown[index] for index in kept], max_triangles)
    pixels = sum(colored[index].picture[..., 0].size for index in kept)
    shrinking = min(1.0, (_MAX_TEXTURE_PIXELS / max(pixels, 1)) ** 0.5)
    return [
        _sheet(f"scene_{parts[index].shot}_{number}", colored[index], shape, mesh, shrinking, T_gravity_world)
        for number, (index, shape, mesh) in enumerate(zip(kept, shapes, meshes, strict=True))
        if len(mesh.faces)
    ]


def _parts(reconstruction: Reconstruction, keyframes: Sequence[Keyframe]) -> list[Part]:
    shots: Sequence[Mapping[str, object]] = reconstruction.meta.get("shots", ())  # type: ignore[assignment]
    cards = [number for number, shot in enumerate(shots) if shot.get("is_still_card")]
    rows = np.flatnonzero(~np.isin(reconstruction.shot, cards))
    row_of = {int(reconstruction.frame_index[row]): int(row) for row in rows}
    height, width = (int(side) for side in reconstruction.image_size)
    parts = []
    for keyframe in keyframes:
        if keyframe.frame_index not in row_of:
            continue
        row = row_of[keyframe.frame_index]
        lens = Lens(
            reconstruction.T_world_camera[row].astype(np.float64),
            reconstruction.K[row].astype(np.float64),
            keyframe.rect_px,
            (height, width),
        )
        part = Part.of(keyframe, lens, int(reconstruction.shot[row]))
        factor = depth_factor_of(reconstruction, row, part.depth, keyframe.rect_px)
        parts.append(part.scaled(factor))
    agree_already = [number for number, shot in enumerate(shots) if shot.get("views")]
    found: list[Part] = []
    for number in dict.fromkeys(part.shot for part in parts):
        of_shot = [part for part in parts if part.shot == number]
        found += matched(of_shot if number in agree_already else agreed(of_shot))
    return found


def _without_better(parts: Sequence[Part], index: int) -> np.ndarray:
    """Return the depths of a part without those that another part shows from closer."""
    part = parts[index]
    is_known = part.depth > 0
    if len(parts) == 1 or not is_known.any():
        return part.depth
    points, own = part.lens.points(part.depth)[is_known], part.depth[is_known]
    is_better = np.zeros(len(own), dtype=bool)
    for other_index, other in enumerate(parts):
        if other_index == index or other.shot != part.shot:
            continue
        z, there = other.seen(points)
        is_nearer = z < own * (1 / _NEARER if other_index < index else _NEARER)
        is_better |= is_nearer & (np.abs(there - z) < _SAME_SURFACE * z)
    is_left = np.zeros(is_known.shape)
    is_left[is_known] = np.where(is_better, -1, 1)
    # Whole areas change hands, not single pixels.
    return np.where(is_known & (uniform_filter(is_left, _VOTE_PX, mode="nearest") >= 0), part.depth, 0)


def _without_gaps(parts: Sequence[Part], shown: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Return the depths that are shown, with those given back that no part has kept, and an overlap."""
    kept = dict(shown)
    for index, depth in shown.items():
        part = parts[index]
        is_left_out = (part.depth > 0) & (depth == 0)
        points = part.lens.points(part.depth)[is_left_out]
        is_lost = np.ones(len(points), dtype=bool)
        for other_index, other_depth in kept.items():
            if other_index != index and parts[other_index].shot == part.shot:
                z, there = parts[other_index].seen(points, other_depth)
                is_lost &= np.abs(there - z) >= _SAME_SURFACE * z
        is_kept = depth > 0
        is_kept[is_left_out] = is_lost
        kept[index] = np.where(is_kept, part.depth, 0)
    return {index: np.where(dilate(depth > 0, _OVERLAP_PX), parts[index].depth, 0) for index, depth in kept.items()}


def _without_islands(depth: np.ndarray) -> np.ndarray:
    """Return a depth map without fringes and small islands, its borders smooth."""
    known = np.pad((depth > 0).astype(np.float32), _MIN_WIDTH_PX, "edge")
    pieces = connected_parts(gaussian_filter(known, _MIN_WIDTH_PX / 2, mode="nearest") > 0.5)
    pieces = pieces[_MIN_WIDTH_PX:-_MIN_WIDTH_PX, _MIN_WIDTH_PX:-_MIN_WIDTH_PX]
    is_large = np.bincount(pieces.reshape(-1)) >= _MIN_ISLAND * pieces.size
    is_large[0] = False
    return np.where(is_large[pieces], depth, 0)


def _meshes(
    parts: Sequence[Part], depths: Sequence[np.ndarray], max_triangles: int
) -> tuple[list[GridMesh], list[tuple[int, ...]]]:
    """Return meshes, and the shapes of the depth maps that they are built on: as fine as the limit allows."""
    flat = [flattened(depth) for depth in depths]
    sharp: dict[int, list[np.ndarray]] = {}
    meshes: list[GridMesh] = []
    shapes: list[tuple[int, ...]] = []
    for factor, stride, coarseness in _RESOLUTIONS:
        if factor > 1 and len(parts) > _MAX_SHARPENED:
            continue
        if factor not in sharp:
            sharp = {factor: [sharpened(depth, part.picture, factor) for part, depth in zip(parts, flat, strict=True)]}
        meshes, shapes, room = [], [], max_triangles
        for part, whole in zip(parts, sharp[factor], strict=True):
            if room < 0 and (factor, stride, coarseness) != _RESOLUTIONS[-1]:
                break
            fine = whole[stride // 2 :: stride, stride // 2 :: stride]
            cell_px = (part.lens.rect_px[2] - part.lens.rect_px[0]) / fine.shape[1]
            meshes.append(triangulate(fine, cell_px, coarseness))
            shapes.append(fine.shape)
            room -= len(meshes[-1].faces)
        if room >= 0:
            break
    return meshes, shapes


def _sheet(
    name: str, part: Part, shape: tuple[int, ...], mesh: GridMesh, shrinking: float, T_gravity_world: np.ndarray
) -> Sheet:
    lens = part.lens
    u, v = lens.pixels(shape)
    x = (u[mesh.column] - lens.K[0, 2]) / lens.K[0, 0] * mesh.depth
    y = (v[mesh.row] - lens.K[1, 2]) / lens.K[1, 1] * mesh.depth
    T = T_gravity_world.astype(np.float64) @ lens.T_world_camera
    vertices = transform_points(T, np.stack([x, y, mesh.depth], axis=1))
    # The texture is cut to what is shown; both are in shares of the source frame.
    image_height, image_width = lens.image_size
    place = np.stack([(u[mesh.texture_column] + 0.5) / image_width, (v[mesh.texture_row] + 0.5) / image_height], axis=1)
    height, width = part.picture.shape[:2]
    low = np.floor(place.min(axis=0) * (width, height)).astype(int)
    high = np.ceil(place.max(axis=0) * (width, height)).astype(int)
    uv = (place * (width, height) - low) / np.maximum(high - low, 1)
    texture = Image.fromarray(part.texture[low[1] : high[1], low[0] : high[0]])
    if shrinking < 1:
        size = max(1, round(texture.width * shrinking)), max(1, round(texture.height * shrinking))
        texture = texture.resize(size, Image.Resampling.BOX)
    return Sheet(
        name=name,
        vertices=vertices.astype(np.float32),
        uv=uv.clip(0, 1).astype(np.float32),
        faces=mesh.faces,
        texture=encode_jpeg(np.asarray(texture), _TEXTURE_QUALITY),
    )
