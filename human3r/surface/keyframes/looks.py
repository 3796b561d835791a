"""One frame as a look at a keyframe's view: what it sees there, moved to the pixels of the keyframe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from human3r.geometry.rigid import inverse_transform_points, transform_points
from human3r.results.scene_fusion import is_still


@dataclass(frozen=True)
class Lens:
    """A camera and the part of its image that a grid ``h w`` covers."""

    T_world_camera: np.ndarray
    """``4 4``"""
    K: np.ndarray
    """``3 3``, pixels of the source."""
    rect_px: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the source frame that the grid covers, pixel edges."""
    image_size: tuple[int, int]
    """(height, width) of the source frame."""

    def pixels(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return column ``w`` and row ``h`` of a grid's cells in the source frame."""
        x0, y0, x1, y1 = self.rect_px
        height, width = shape
        return (
            x0 + (np.arange(width) + 0.5) * (x1 - x0) / width - 0.5,
            y0 + (np.arange(height) + 0.5) * (y1 - y0) / height - 0.5,
        )

    def on_picture(self, values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """Return a grid's values ``h w ...`` on the pixels of a picture of the whole frame; beyond, its border.

        Args:
            values: Of the grid's cells.
            size: ``H W`` of the picture.
        """
        x0, y0, x1, y1 = self.rect_px
        u = (np.arange(size[1]) + 0.5) / size[1] * self.image_size[1]
        v = (np.arange(size[0]) + 0.5) / size[0] * self.image_size[0]
        column = np.floor((u - x0) / (x1 - x0) * values.shape[1]).clip(0, values.shape[1] - 1).astype(int)
        row = np.floor((v - y0) / (y1 - y0) * values.shape[0]).clip(0, values.shape[0] - 1).astype(int)
        return values[row[:, None], column]

    def points(self, depth: np.ndarray) -> np.ndarray:
        """Return ``h w 3`` world points of a grid of depths."""
        u, v = self.pixels(depth.shape)
        x = (u - self.K[0, 2]) / self.K[0, 0] * depth
        y = ((v - self.K[1, 2]) / self.K[1, 1])[:, None] * depth
        return transform_points(self.T_world_camera, np.stack([x, y, depth], axis=-1))

    def project(self, points_world: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``...`` row and column in a grid, where cell centers are whole numbers, and depth."""
        points = inverse_transform_points(self.T_world_camera, points_world)
        z = points[..., 2]
        ahead = np.maximum(z, 1e-6)
        x0, y0, x1, y1 = self.rect_px
        u = points[..., 0] / ahead * self.K[0, 0] + self.K[0, 2]
        v = points[..., 1] / ahead * self.K[1, 1] + self.K[1, 2]
        height, width = shape
        return (v + 0.5 - y0) / (y1 - y0) * height - 0.5, (u + 0.5 - x0) / (x1 - x0) * width - 0.5, z


@dataclass(frozen=True)
class Look:
    """What one frame sees of a view."""

    depth: np.ndarray
    """``h w`` float32 meters, 0 where it is not trusted or someone stands."""
    is_hidden: np.ndarray
    """``h w`` bool: someone stands there, or the frame does not see it."""
    picture: np.ndarray
    """``H W 3`` uint8 of the whole frame."""
    lens: Lens

    def is_still(self, lens: Lens, median_depth: float) -> bool:
        """Return whether a camera sees the same in the same pixels."""
        return is_still(lens.T_world_camera, self.lens.T_world_camera, median_depth)

    def seen_from(self, lens: Lens, depth: np.ndarray) -> Look:
        """Return the look on the pixels of another camera, which is near.

        Args:
            lens: The other camera.
            depth: ``h w``: what it sees; 0, the unknown, is taken to be as far as what is beside it.
        """
        from scipy.ndimage import distance_transform_edt

        shape = depth.shape
        nearest = distance_transform_edt(depth == 0, return_distances=False, return_indices=True)
        filled = depth[tuple(np.asarray(nearest))]
        row, column, z = self.lens.project(lens.points(filled), shape)
        r, c = np.round(row).astype(int), np.round(column).astype(int)
        is_inside = (z > 0) & (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
        r, c = np.where(is_inside, r, 0), np.where(is_inside, c, 0)
        moved = np.where(is_inside, self.depth[r, c] * filled / np.maximum(z, 1e-6), 0).astype(np.float32)
        return Look(moved, ~is_inside | self.is_hidden[r, c], self._picture_at(row, column, lens), lens)

    def _picture_at(self, row: np.ndarray, column: np.ndarray, lens: Lens) -> np.ndarray:
        """Return the picture at places of the grid, for another camera's picture of the same size."""
        height, width = self.picture.shape[:2]
        # Places as offsets from where the other camera's own cells are: they vary slowly, and may be interpolated.
        offset = np.stack([column - np.arange(row.shape[1]), row - np.arange(row.shape[0])[:, None]])
        fine = functional.interpolate(
            torch.from_numpy(offset[None].astype(np.float32)), (height, width), mode="bilinear"
        )
        x0, y0, x1, y1 = lens.rect_px
        scale = torch.tensor(
            [2 * (x1 - x0) / lens.image_size[1] / row.shape[1], 2 * (y1 - y0) / lens.image_size[0] / row.shape[0]]
        )
        grid = functional.affine_grid(torch.eye(2, 3)[None], [1, 3, height, width], align_corners=False)
        grid = grid + fine.permute(0, 2, 3, 1) * scale
        pixels = torch.from_numpy(self.picture).permute(2, 0, 1)[None].float()
        moved = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return moved[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
