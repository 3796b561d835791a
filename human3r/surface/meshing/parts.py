"""Keyframes placed in the world, from which sheets are built."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from human3r.surface.keyframes.collecting import Keyframe
from human3r.surface.keyframes.looks import Lens


@dataclass(frozen=True)
class Part:
    """A keyframe in the world."""

    lens: Lens
    shot: int
    depth: np.ndarray
    """``h w`` float32 meters, 0 where nothing is shown."""
    picture: np.ndarray
    """``H W 3`` uint8"""

    @classmethod
    def of(cls, keyframe: Keyframe, lens: Lens, shot: int) -> Part:
        """Place a keyframe, its depths as they are."""
        picture = np.asarray(Image.open(io.BytesIO(keyframe.picture)).convert("RGB"))
        return cls(lens, shot, keyframe.depth.astype(np.float32), picture)

    def scaled(self, factor: np.ndarray | float) -> Part:
        """Return the part with its depths times a factor, one for all or ``h w``."""
        return replace(self, depth=self.depth * np.asarray(factor, dtype=np.float32))

    def seen(self, points: np.ndarray, depth: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return for ``n`` world points their depth, infinite outside of the view, and that of the surface there.

        Args:
            points: ``n 3``
            depth: ``h w`` in place of the part's own, or several maps ``h w k``.
        """
        depth = self.depth if depth is None else depth
        row, column, z = self.lens.project(points, depth.shape[:2])
        row, column = np.round(row), np.round(column)
        is_inside = (z > 0) & (row >= 0) & (row < depth.shape[0]) & (column >= 0) & (column < depth.shape[1])
        there = depth[np.where(is_inside, row, 0).astype(int), np.where(is_inside, column, 0).astype(int)]
        return np.where(is_inside, z, np.inf), there

    @property
    def rect_in_picture(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the picture that the grid of depths covers, pixel edges."""
        down, across = (pixels / side for pixels, side in zip(self.picture.shape, self.lens.image_size, strict=False))
        x0, y0, x1, y1 = self.lens.rect_px
        return across * x0, down * y0, across * x1, down * y1

    @property
    def small_picture(self) -> np.ndarray:
        """``h w 3`` uint8: the picture on the grid of depths."""
        height, width = self.depth.shape
        picture = Image.fromarray(self.picture)
        return np.asarray(picture.resize((width, height), Image.Resampling.BOX, self.rect_in_picture))

    @property
    def texture(self) -> np.ndarray:
        """``H W 3``: the picture, and where nothing is shown the color of what is shown beside it.

        Renderers mix texels; holes would have a fringe of whatever is in them.
        """
        nearest = distance_transform_edt(self.depth == 0, return_distances=False, return_indices=True)
        filled = self.lens.on_picture(self.small_picture[tuple(np.asarray(nearest))], self.picture.shape)
        return np.where(self.lens.on_picture(self.depth > 0, self.picture.shape)[..., None], self.picture, filled)
