"""Correct the depth of the stream to that of a finished result: scale and bend of each shot, from ``meta``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from human3r.results.reconstruction import Reconstruction

NUM_BENDS = 3


def bend_basis(pixels: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return ``... 3`` smooth functions of ``... 2`` pixels, without mean over the image of (height, width)."""
    height, width = image_size
    x, y = np.moveaxis((2 * (pixels + 0.5) / np.array([width, height]) - 1).clip(-1, 1), -1, 0)
    return np.stack([y, x, y**2 - 1 / 3], axis=-1)


def depth_factor(pixels: np.ndarray, image_size: tuple[int, int], log_scale: float, bend: np.ndarray) -> np.ndarray:
    """Return the factors ``...`` on the depth at ``... 2`` pixels."""
    return np.exp(log_scale + bend_basis(pixels, image_size) @ bend)


def pixels_of_grid(shape: tuple[int, ...], crop: Sequence[float]) -> np.ndarray:
    """Return ``h w 2`` centers, in pixels of the source, of a grid that covers ``crop`` (x0, y0, x1, y1, edges)."""
    x0, y0, x1, y1 = crop
    x = (np.arange(shape[1]) + 0.5) * (x1 - x0) / shape[1] + x0 - 0.5
    y = (np.arange(shape[0]) + 0.5) * (y1 - y0) / shape[0] + y0 - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1)


def depth_factor_of(
    result: Reconstruction, row: int, shape: tuple[int, ...], rect_px: Sequence[float]
) -> np.ndarray | float:
    """Return the factors ``h w``, or a single one, on a depth map of the stream.

    Args:
        result: The finished result; files of earlier versions have no correction.
        row: The processed frame of the map.
        shape: ``h w`` of the map.
        rect_px: (x0, y0, x1, y1) of the source frame that the map covers, pixel edges.
    """
    shots = result.meta.get("shots")
    number = int(result.shot[row])
    shot = shots[number] if isinstance(shots, Sequence) and number < len(shots) else {}
    scale, growth = shot.get("scale"), (shot.get("lens") or {}).get("depth_growth", ())
    if not isinstance(scale, Mapping):
        return 1.0
    value = float(scale["value"])
    of_shot = row - int(shot.get("first_frame", 0))
    if of_shot < len(growth):
        value *= float(growth[of_shot])
    bend = np.asarray(scale.get("bend", np.zeros(3)), dtype=np.float64)
    if not bend.any():
        return value
    height, width = (int(side) for side in result.image_size)
    return value * np.exp(bend_basis(pixels_of_grid(shape, rect_px), (height, width)) @ bend)
