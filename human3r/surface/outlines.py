"""Depth maps at twice the network's resolution, with their steps where the picture has its outlines."""

from __future__ import annotations

import numpy as np
from PIL import Image

from human3r.geometry.fusion import connected_parts, dilate
from human3r.surface.flatness import sloping

_STEPS = ((1, 0.04), (3, 0.06), (6, 0.08))
"""(Distance in pixels, relative depth step across it) from which on pixels lie on an outline, where networks
interpolate: sharply, or as a ramp."""
_MARGIN_PX = 2
"""Pixels this close to an outline are decided by their color."""
_REACH_PX = 6
"""Depths up to this far from them are tried."""
_MIN_PIECE = 5e-4
"""Pieces between outlines that cover less of the image are part of what is beside them."""
_COLOR_SIGMA = 14.0
"""Difference of colors (0 to 255) that counts as much as ``_REACH_SIGMA_PX``."""
_REACH_SIGMA_PX = 1.6


def sharpened(depth: np.ndarray, picture: np.ndarray, factor: int) -> np.ndarray:
    """Return a depth map at a multiple of its resolution, ``factor h x factor w``, 0 where nothing is known.

    Pixels near outlines take the depth of the neighbor beyond the blur whose color is most like theirs.

    Args:
        depth: ``h w`` float32 meters, 0 where nothing is known.
        picture: ``H W 3`` uint8 of the same view.
        factor: 1 or more.
    """
    height, width = depth.shape
    is_known = depth > 0
    is_blurred = _steps(depth)
    pieces = connected_parts(is_known & ~is_blurred)
    is_solid = (np.bincount(pieces.reshape(-1)) >= _MIN_PIECE * pieces.size)[pieces] & (pieces > 0)
    size = (factor * width, factor * height)
    disparity = np.where(is_solid, 1 / np.where(is_known, depth, 1), 0).astype(np.float32)
    weight = _resized(is_solid.astype(np.float32), size)
    fine = np.where(weight > 0.999, 1 / np.maximum(_resized(disparity, size), 1e-6), 0)
    nearest = np.repeat(np.repeat(dilate(is_blurred, _MARGIN_PX) & is_known, factor, axis=0), factor, axis=1)
    rows, columns = np.nonzero(nearest | ((fine == 0) & _repeated(is_known, factor)))
    guide = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), dtype=np.float32)
    coarse = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX), dtype=np.float32)
    fine[rows, columns] = _most_alike(depth, is_solid, coarse, guide[rows, columns], rows / factor, columns / factor)
    return fine.astype(np.float32)


def _steps(depth: np.ndarray) -> np.ndarray:
    """Return ``h w`` bool: known pixels between which and a known neighbor the depth steps."""
    is_step = np.zeros(depth.shape, dtype=bool)
    slope = sloping(depth)
    for values, slopes, marks in ((depth, slope, is_step), (depth.T, slope.T, is_step.T)):
        for distance, step in _STEPS:
            ahead, behind = values[distance:], values[:-distance]
            near, far = np.minimum(ahead, behind), np.maximum(ahead, behind)
            allowed = step + distance * np.maximum(slopes[distance:], slopes[:-distance])
            is_edge = (near > 0) & (far - near > near * allowed)
            # Of a ramp, what is between its ends; both sides of a sharp step.
            for offset in (0, 1) if distance == 1 else range(1, distance):
                marks[offset : offset + len(is_edge)] |= is_edge
    return is_step


def _most_alike(
    depth: np.ndarray, is_solid: np.ndarray, coarse: np.ndarray, colors: np.ndarray, row: np.ndarray, column: np.ndarray
) -> np.ndarray:
    """Return for ``n`` places the depth of the solid pixel nearby that is most like them; 0 where there is none.

    Args:
        depth: ``h w``
        is_solid: ``h w`` bool
        coarse: ``h w 3`` colors of the map's pixels.
        colors: ``n 3`` of the places.
        row: ``n``, in pixels of the map.
        column: ``n``
    """
    height, width = depth.shape
    best_cost, best = np.full(len(row), np.inf, dtype=np.float32), np.zeros(len(row), dtype=np.float32)
    center_row, center_column = row.astype(int), column.astype(int)
    for down in range(-_REACH_PX, _REACH_PX + 1):
        for right in range(-_REACH_PX, _REACH_PX + 1):
            if down**2 + right**2 > _REACH_PX**2:
                continue
            r, c = (center_row + down).clip(0, height - 1), (center_column + right).clip(0, width - 1)
            off = (down**2 + right**2) / _REACH_SIGMA_PX**2
            cost = ((colors - coarse[r, c]) ** 2).sum(axis=1) / (3 * _COLOR_SIGMA**2) + off
            is_better = is_solid[r, c] & (cost < best_cost)
            best_cost = np.where(is_better, cost, best_cost)
            best = np.where(is_better, depth[r, c], best)
    return best


def _repeated(mask: np.ndarray, factor: int) -> np.ndarray:
    return mask.repeat(factor, axis=0).repeat(factor, axis=1)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
