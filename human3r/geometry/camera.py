"""Pinhole cameras: projection both ways, and intrinsics under resize and crop.

OpenCV axes; pixel (0, 0) is the centre of the top-left pixel; sizes are (height, width).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def intrinsics(focal_px: Tensor | float, image_size: tuple[int, int]) -> Tensor:
    """Return ``3 3`` intrinsics with one focal length and the principal point (W // 2, H // 2).

    That principal point is the one that the network's focal length is fitted with.
    """
    height, width = image_size
    focal = torch.as_tensor(focal_px, dtype=torch.float32)
    K = torch.zeros(3, 3, dtype=focal.dtype, device=focal.device)
    K[0, 0] = K[1, 1] = focal
    K[0, 2], K[1, 2], K[2, 2] = width // 2, height // 2, 1
    return K


def field_of_view_intrinsics(side_px: int, field_of_view: float = math.radians(60)) -> Tensor:
    """Return ``3 3`` intrinsics of a square image of ``side_px`` pixels with a field of view in radians."""
    return intrinsics(side_px / (2 * math.tan(field_of_view / 2)), (side_px, side_px))


def intrinsics_in_source(K: Tensor, size: tuple[int, int], source_rect_px: tuple[float, float, float, float]) -> Tensor:
    """Return ``... 3 3`` intrinsics of the source image, given those of a resized crop of it.

    Args:
        K: ``... 3 3`` at ``size``.
        size: (height, width) of the resized crop, pixels.
        source_rect_px: (x0, y0, x1, y1) that the crop covers in the source, pixel edges.
    """
    x0, y0, x1, y1 = source_rect_px
    height, width = size
    scale_x, scale_y = (x1 - x0) / width, (y1 - y0) / height
    moved = K.clone()
    moved[..., 0, :] *= scale_x
    moved[..., 1, :] *= scale_y
    # Edges scale about 0; pixel centres sit half a pixel inside them on either side of the map.
    moved[..., 0, 2] += 0.5 * scale_x - 0.5 + x0
    moved[..., 1, 2] += 0.5 * scale_y - 0.5 + y0
    return moved


def pixels_in_source(
    points_px: Tensor, size: tuple[int, int], source_rect_px: tuple[float, float, float, float]
) -> Tensor:
    """Map ``... 2`` (x, y) pixels of a resized crop to pixels of the source; arguments as ``intrinsics_in_source``."""
    x0, y0, x1, y1 = source_rect_px
    height, width = size
    x = (points_px[..., 0] + 0.5) * ((x1 - x0) / width) + x0 - 0.5
    y = (points_px[..., 1] + 0.5) * ((y1 - y0) / height) + y0 - 0.5
    return torch.stack((x, y), dim=-1)


def project(points_camera: Tensor, K: Tensor) -> Tensor:
    """Return ``... N 2`` (x, y) pixels of points ``... N 3`` in the camera frame; ``K`` is ``... 3 3``."""
    homogeneous = (points_camera / points_camera[..., 2:]) @ K.transpose(-1, -2)
    return homogeneous[..., :2]


def unproject(depth: Tensor, K: Tensor) -> Tensor:
    """Return the pointmap ``... H W 3`` in the camera frame, metres, of a depth map ``... H W``; ``K`` is ``3 3``."""
    height, width = depth.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=depth.device, dtype=depth.dtype),
        torch.arange(width, device=depth.device, dtype=depth.dtype),
        indexing="ij",
    )
    return torch.stack(((x - K[0, 2]) / K[0, 0] * depth, (y - K[1, 2]) / K[1, 1] * depth, depth), dim=-1)
