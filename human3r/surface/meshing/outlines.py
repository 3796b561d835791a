"""Depth maps at twice the network's resolution, with their steps where the picture has its outlines."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import median_filter

from human3r.geometry.fusion import connected_parts, dilate
from human3r.surface.meshing.flatness import steps

_STEPS = ((1, 0.04), (3, 0.07), (6, 0.1))
"""(Distance in pixels, relative depth step across it that no slope explains) from which on pixels lie on an outline,
where networks interpolate: sharply, or as a ramp."""
_SIDE_PX = 4
"""Slopes beside an outline are measured over this distance."""
_MAX_SLOPE = 0.05
"""Relative, per pixel: the steepest plane that goes on to an outline."""
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

    Pixels near outlines take the plane of the neighbor beyond the blur whose color is most like theirs.

    Args:
        depth: ``h w`` float32 meters, 0 where nothing is known.
        picture: ``H W 3`` uint8 of the same view.
        factor: 1 or more.
    """
    height, width = depth.shape
    is_known = depth > 0
    is_blurred = _blurred(depth)
    pieces = connected_parts(is_known & ~is_blurred)
    is_solid = (np.bincount(pieces.reshape(-1)) >= _MIN_PIECE * pieces.size)[pieces] & (pieces > 0)
    size = (factor * width, factor * height)
    disparity = np.where(is_solid, 1 / np.where(is_known, depth, 1), 0).astype(np.float32)
    weight = _resized(is_solid.astype(np.float32), size)
    fine = np.where(weight > 0.999, _resized(disparity, size), 0)
    is_nearest = _repeated(dilate(is_blurred, _MARGIN_PX) & is_known, factor)
    is_nearest |= (fine == 0) & _repeated(is_known, factor)
    rows, columns = np.nonzero(is_nearest)
    guide = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), dtype=np.float32)
    coarse = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX), dtype=np.float32)
    places = [(number + 0.5) / factor - 0.5 for number in (rows, columns)]
    fine[rows, columns] = _most_alike(disparity, coarse, guide[rows, columns], *places)
    # Where nothing beyond the blur is near, the blurred depth is all there is.
    is_lost = (fine == 0) & _repeated(is_known, factor)
    fine[is_lost] = 1 / _repeated(depth, factor)[is_lost]
    # Single pixels that chose another side than those around them fringe the outlines.
    fine = np.where(is_nearest & (fine > 0), median_filter(fine, 2 * factor + 1), fine)
    return np.where(fine > 0, 1 / np.maximum(fine, 1e-6), 0).astype(np.float32)


def _blurred(depth: np.ndarray) -> np.ndarray:
    """Return ``h w`` bool: known pixels on a step of depth."""
    is_blurred = np.zeros(depth.shape, dtype=bool)
    for values, marks in ((depth, is_blurred), (depth.T, is_blurred.T)):
        for distance, step in _STEPS:
            is_step = steps(values, distance, step, _SIDE_PX)
            # Of a ramp, what is between its ends; both sides of a sharp step.
            for offset in (0, 1) if distance == 1 else range(1, distance):
                marks[offset : offset + len(is_step)] |= is_step
    return is_blurred


def _most_alike(
    disparity: np.ndarray, coarse: np.ndarray, colors: np.ndarray, row: np.ndarray, column: np.ndarray
) -> np.ndarray:
    """Return for ``n`` places the disparity, going on as a plane, of the pixel nearby most like them; 0: there is none.

    Args:
        disparity: ``h w``, 0 for pixels that do not count.
        coarse: ``h w 3`` colors of the map's pixels.
        colors: ``n 3`` of the places.
        row: ``n``, in pixels of the map.
        column: ``n``
    """
    height, width = disparity.shape
    slopes = _slopes(disparity), _slopes(disparity.T).T
    best_cost, best = np.full(len(row), np.inf, dtype=np.float32), np.zeros((2, len(row)), dtype=int)
    center_row, center_column = np.round(row).astype(int), np.round(column).astype(int)
    for down in range(-_REACH_PX, _REACH_PX + 1):
        for right in range(-_REACH_PX, _REACH_PX + 1):
            if down**2 + right**2 > _REACH_PX**2:
                continue
            r, c = (center_row + down).clip(0, height - 1), (center_column + right).clip(0, width - 1)
            off = (down**2 + right**2) / _REACH_SIGMA_PX**2
            cost = ((colors - coarse[r, c]) ** 2).sum(axis=1) / (3 * _COLOR_SIGMA**2) + off
            is_better = (disparity[r, c] > 0) & (cost < best_cost)
            best_cost = np.where(is_better, cost, best_cost)
            best = np.where(is_better, (r, c), best)
    r, c = best
    plane = slopes[0][r, c] * (row - r) + slopes[1][r, c] * (column - c)
    return np.where(np.isfinite(best_cost), disparity[r, c] + plane, 0)


def _slopes(disparity: np.ndarray) -> np.ndarray:
    """Return ``h w``: disparity per row, the flatter one of both sides; 0 where none is known."""
    change = np.full(disparity.shape, np.nan, dtype=np.float32)
    is_pair = (disparity[_SIDE_PX:] > 0) & (disparity[:-_SIDE_PX] > 0)
    change[_SIDE_PX:] = np.where(is_pair, (disparity[_SIDE_PX:] - disparity[:-_SIDE_PX]) / _SIDE_PX, np.nan)
    after = np.full_like(change, np.nan)
    after[:-_SIDE_PX] = change[_SIDE_PX:]
    flatter = np.where((np.abs(after) < np.abs(change)) | np.isnan(change), after, change)
    return np.nan_to_num(flatter).clip(-_MAX_SLOPE * disparity, _MAX_SLOPE * disparity)


def _repeated(mask: np.ndarray, factor: int) -> np.ndarray:
    return mask.repeat(factor, axis=0).repeat(factor, axis=1)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
