"""Pinhole cameras: projection both ways, sampling, intrinsics under resize and crop, and focal lengths.

OpenCV axes; pixel (0, 0) is the center of the top-left pixel; sizes are (height, width).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from human3r.skeleton import ArrayT

_WEISZFELD_ITERATIONS = 10
"""Source: DUSt3R (arXiv 2312.14132), released code."""


def intrinsics(focal_px: Tensor | float, image_size: tuple[int, int]) -> Tensor:
    """Return ``3 3`` intrinsics with one focal length and the principal point (W // 2, H // 2).

    The network's focal length is fitted with that principal point.
    """
    height, width = image_size
    focal = torch.as_tensor(focal_px, dtype=torch.float32)
    K = torch.zeros(3, 3, dtype=focal.dtype, device=focal.device)
    K[0, 0] = K[1, 1] = focal
    K[0, 2], K[1, 2], K[2, 2] = width // 2, height // 2, 1
    return K


def intrinsics_in_source(K: Tensor, size: tuple[int, int], source_rect_px: tuple[float, float, float, float]) -> Tensor:
    """Return ``... 3 3`` intrinsics of the source image, given those of a resized crop of it.

    Args:
        K: ``... 3 3`` at ``size``.
        size: (height, width) of the resized crop, pixels.
        source_rect_px: (x0, y0, x1, y1) of the crop in the source, pixel edges.
    """
    x0, y0, x1, y1 = source_rect_px
    height, width = size
    scale_x, scale_y = (x1 - x0) / width, (y1 - y0) / height
    moved = K.clone()
    moved[..., 0, :] *= scale_x
    moved[..., 1, :] *= scale_y
    # Pixel edges scale about 0; pixel centers lie half a pixel inside them in both images.
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


def project(points_camera: ArrayT, K: ArrayT) -> ArrayT:
    """Return ``... M 2`` (x, y) pixels of ``... M 3`` points in the camera frame; ``K`` is ``... 3 3``."""
    homogeneous = points_camera @ K.swapaxes(-1, -2)
    return homogeneous[..., :2] / homogeneous[..., 2:]  # pyright: ignore[reportReturnType]


def unproject(depth: Tensor, K: Tensor) -> Tensor:
    """Return the pointmap ``... H W 3`` in the camera frame, meters, of a depth map ``... H W``; ``K`` is ``3 3``."""
    x, y = _pixel_grid(depth)
    return torch.stack(((x - K[0, 2]) / K[0, 0] * depth, (y - K[1, 2]) / K[1, 1] * depth, depth), dim=-1)


def sample_at_pixels(maps: Tensor, points_px: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Sample ``C h w`` maps that cover an image bilinearly at ``M 2`` pixels of it; returns ``M C``."""
    height, width = image_size
    scale = points_px.new_tensor([2.0 / width, 2.0 / height])
    grid = ((points_px + 0.5) * scale - 1.0)[None, :, None]
    return functional.grid_sample(maps[None], grid, align_corners=False, padding_mode="border")[0, :, :, 0].T


def focal_from_pointmap(pointmap_camera: Tensor) -> Tensor:
    """Return the scalar focal length in pixels that best explains a pointmap ``H W 3`` (camera frame).

    Minimizes the sum of pixel distances; principal point (W // 2, H // 2), one focal length for both axes, at least 0.
    Source: DUSt3R (arXiv 2312.14132), sec. 3.3, robust focal length by Weiszfeld's algorithm.
    """
    height, width = pointmap_camera.shape[:2]
    x, y = _pixel_grid(pointmap_camera[..., 2])
    pixels = torch.stack((x - width // 2, y - height // 2), dim=-1).flatten(0, 1)
    slopes = (pointmap_camera[..., :2] / pointmap_camera[..., 2:]).flatten(0, 1)
    slopes = slopes.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    along, length = (slopes * pixels).sum(-1), (slopes * slopes).sum(-1)
    focal = along.mean() / length.mean()
    for _ in range(_WEISZFELD_ITERATIONS):
        weight = 1 / (pixels - focal * slopes).norm(dim=-1).clamp_min(1e-8)
        focal = (weight * along).mean() / (weight * length).mean()
    return focal.clamp_min(0)


def _pixel_grid(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return x and y, ``H W`` each, of the pixels of ``... H W`` maps."""
    height, width = like.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=like.dtype),
        torch.arange(width, device=like.device, dtype=like.dtype),
        indexing="ij",
    )
    return x, y
