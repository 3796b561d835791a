"""``python -m human3r.surface DIR_OR_NPZ``: how much of the scene its surface shows, and what it weighs.

Coverage is the share of what the first frame shows outside of people (boxes around their joints) where the surface,
seen from that frame's camera, lies within 5 % of the depth that is known there: with ``--save-depth`` the median of the
result's depth maps, for a camera that stands; else the first keyframe's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from human3r.errors import InputError, run_main
from human3r.refinement.world.depth_correction import depth_factor_of
from human3r.rendering.rasterizer import rasterize
from human3r.results.reconstruction import Reconstruction
from human3r.surface.keyframes_file import KEYFRAMES_NAME, load_keyframes
from human3r.surface.meshing.sheets import Sheet, build_surface

_SAME_DEPTH = 0.05


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m human3r.surface", description=__doc__)
    parser.add_argument("path", type=Path, metavar="DIR_OR_NPZ", help="folder of a reconstruction, or its npz")
    parser.add_argument("--keyframes", type=Path, metavar="NPZ", help=f"default: {KEYFRAMES_NAME} beside it")
    options = parser.parse_args()
    file = options.path / "reconstruction.npz" if options.path.is_dir() else options.path
    print(json.dumps(measure(file, options.keyframes or file.with_name(KEYFRAMES_NAME)), indent=1))


def measure(path: Path, keyframes_path: Path) -> dict[str, object]:
    """Return the numbers of one result.

    Raises:
        InputError: The keyframes belong to another result.
        FormatError: A file is missing or damaged.
    """
    result = Reconstruction.load(path)
    keyframes = load_keyframes(keyframes_path, result)
    if not keyframes:
        raise InputError(f"{keyframes_path.name} has no keyframes of {path.name}.", "Reconstruct the clip again.")
    sheets = build_surface(result, keyframes)
    keyframe = keyframes[0]
    first = keyframe.depth * np.float32(depth_factor_of(result, 0, keyframe.depth, keyframe.rect_px))
    depth = result.depth if result.meta.get("is_static_camera") else None
    expected = first if depth is None else np.median(depth.astype(np.float32), axis=0)
    seen = depth_of(sheets, result, expected.shape, keyframes[0].rect_px)
    is_scene = (expected > 0) & ~_people(result, expected.shape)
    is_shown = (seen > 0) & is_scene
    return {
        "sheets": len(sheets),
        "triangles": sum(len(sheet.faces) for sheet in sheets),
        "texture_bytes": sum(len(sheet.texture) for sheet in sheets),
        "bytes": sum(_num_bytes(sheet) for sheet in sheets),
        "covered": _share(is_shown & (np.abs(seen - expected) < _SAME_DEPTH * expected), is_scene),
        "shown": _share(is_shown, is_scene),
    }


def depth_of(
    sheets: list[Sheet], result: Reconstruction, shape: tuple[int, ...], rect_px: tuple[float, float, float, float]
) -> np.ndarray:
    """Return the depth ``h w`` of a surface from the first frame's camera on a grid over a part of it; 0: nothing."""
    height, width = shape
    x0, y0, x1, y1 = rect_px
    K = result.K[0].astype(np.float64)
    K[:2, 2] += 0.5 - np.array([x0, y0])
    K[:2] *= np.array([[width / (x1 - x0)], [height / (y1 - y0)]])
    K[:2, 2] -= 0.5
    T = result.T_gravity_world.astype(np.float64) @ result.T_world_camera[0]
    depth = np.full(height * width, np.inf)
    for sheet in sheets:
        found = rasterize((sheet.vertices - T[:3, 3]) @ T[:3, :3], sheet.faces, K, (height, width))
        depth[found.pixel] = np.minimum(depth[found.pixel], found.depth)
    return np.where(np.isfinite(depth), depth, 0).reshape(height, width)


def _people(result: Reconstruction, shape: tuple[int, ...]) -> np.ndarray:
    """Return ``h w`` bool: the boxes around the joints of everyone in the first frame."""
    is_person = np.zeros(shape, dtype=bool)
    scale = np.array([shape[1] / result.image_size[1], shape[0] / result.image_size[0]])
    for joints in result.joints_image_px[result.person_frame == 0] * scale:
        left, top = np.maximum(joints.min(axis=0) - 4, 0).astype(int)
        right, bottom = np.maximum(joints.max(axis=0) + 5, 0).astype(int)
        is_person[top:bottom, left:right] = True
    return is_person


def _num_bytes(sheet: Sheet) -> int:
    index_bytes = 2 if len(sheet.vertices) <= np.iinfo(np.uint16).max else 4
    return len(sheet.texture) + sheet.vertices.nbytes + sheet.uv.nbytes + index_bytes * sheet.faces.size


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return round(float(part.sum() / max(whole.sum(), 1)), 4)


if __name__ == "__main__":
    run_main(main)
