"""Colors of sheets moved to those of the sheets beside them: cameras expose frames unlike, and borders would show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from human3r.surface.meshing.parts import Part

_SAME_SURFACE = 0.1
"""Two parts show the same surface where their depths differ by less than this fraction."""
_SMOOTH_PX = 4.0
"""Standard deviation of the averaging of differences of color, pixels of the map."""
_REACH_PX = 24.0
"""From a border on, over which the difference fades out."""
_MAX_DIFFERENCE = 60.0
"""Of 255; more is not exposure."""


def toned(parts: Sequence[Part], shown: Mapping[int, np.ndarray]) -> dict[int, Part]:
    """Return the parts that are shown, each with the colors of earlier ones at its borders with them.

    Args:
        parts: All of them.
        shown: Depths ``h w`` that are shown of each, 0 elsewhere.
    """
    done: dict[int, Part] = {}
    colors: dict[int, np.ndarray] = {}
    for index, depth in sorted(shown.items()):
        part = parts[index]
        earlier = [(parts[other], shown[other], colors[other]) for other in colors if parts[other].shot == part.shot]
        own = part.small_picture.astype(np.float32)
        change = _change(part, own, depth, earlier) if earlier else np.zeros_like(own)
        colors[index] = own + change
        done[index] = replace(part, picture=_changed(part, change)) if change.any() else part
    return done


def _change(
    part: Part, own: np.ndarray, depth: np.ndarray, earlier: Sequence[tuple[Part, np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Return ``h w 3``: what is added to a part's colors, given earlier parts, their depths shown and their colors."""
    is_left = (part.depth > 0) & (depth == 0)
    points = part.lens.points(part.depth)[is_left]
    seen = np.full((len(points), 3), np.nan, dtype=np.float32)
    for other, its_depth, its_colors in earlier:
        z, there = other.seen(points, np.concatenate([its_depth[..., None], its_colors], axis=-1))
        is_new = np.isnan(seen[:, 0]) & (np.abs(there[:, 0] - z) < _SAME_SURFACE * z)
        seen[is_new] = there[is_new, 1:]
    difference = np.zeros_like(own)
    difference[is_left] = np.nan_to_num(seen - own[is_left]).clip(-_MAX_DIFFERENCE, _MAX_DIFFERENCE)
    is_known = np.zeros(depth.shape, dtype=np.float32)
    is_known[is_left] = ~np.isnan(seen[:, 0])
    if not is_known.any():
        return difference
    over_map = (_SMOOTH_PX, _SMOOTH_PX, 0)
    mean = gaussian_filter(difference, over_map) / np.maximum(gaussian_filter(is_known, _SMOOTH_PX), 1e-3)[..., None]
    nearest = np.asarray(distance_transform_edt(is_known == 0, return_distances=False, return_indices=True))
    distance = np.hypot(*(nearest - np.indices(depth.shape)))
    fading = np.exp(-((distance / _REACH_PX) ** 2)).astype(np.float32)
    return gaussian_filter(mean[tuple(nearest)] * fading[..., None], over_map)


def _changed(part: Part, change: np.ndarray) -> np.ndarray:
    """Return the picture of a part with a change of its map's colors."""
    height, width = part.picture.shape[:2]
    left, top, right, bottom = part.rect_in_picture
    whole = [max(0, round(left)), max(0, round(top)), min(width, round(right)), min(height, round(bottom))]
    size = whole[2] - whole[0], whole[3] - whole[1]
    area = part.picture[whole[1] : whole[3], whole[0] : whole[2]].astype(np.float32)
    for channel in range(3):
        fine = Image.fromarray(change[..., channel]).resize(size, Image.Resampling.BILINEAR)
        area[..., channel] += np.asarray(fine)
    picture = part.picture.copy()
    picture[whole[1] : whole[3], whole[0] : whole[2]] = area.round().clip(0, 255)
    return picture
