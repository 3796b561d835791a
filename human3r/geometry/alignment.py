"""Fitting a camera to predicted geometry: the focal length of a pointmap.

Source: DUSt3R (arXiv 2312.14132), sec. 3.3, robust focal length by Weiszfeld's algorithm.
"""

from __future__ import annotations

import torch
from torch import Tensor

WEISZFELD_ITERATIONS = 10


def _rays(pointmap_camera: Tensor) -> tuple[Tensor, Tensor]:
    """Return pixel offsets from the principal point (W // 2, H // 2) and slopes (X/Z, Y/Z), both ``H*W 2``."""
    height, width = pointmap_camera.shape[:2]
    y, x = torch.meshgrid(
        torch.arange(height, device=pointmap_camera.device) - height // 2,
        torch.arange(width, device=pointmap_camera.device) - width // 2,
        indexing="ij",
    )
    pixels = torch.stack((x, y), dim=-1).flatten(0, 1).to(pointmap_camera.dtype)
    slopes = (pointmap_camera[..., :2] / pointmap_camera[..., 2:]).flatten(0, 1)
    return pixels, slopes


def focal_from_pointmap(pointmap_camera: Tensor) -> Tensor:
    """Return the scalar focal length in pixels that best explains a pointmap ``H W 3`` (camera frame).

    Minimises the sum of pixel distances, principal point (W // 2, H // 2), equal for both axes, not below 0.
    """
    pixels, slopes = _rays(pointmap_camera)
    slopes = slopes.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    along, length = (slopes * pixels).sum(-1), (slopes * slopes).sum(-1)
    focal = along.mean() / length.mean()
    for _ in range(WEISZFELD_ITERATIONS):
        weight = 1 / (pixels - focal * slopes).norm(dim=-1).clamp_min(1e-8)
        focal = (weight * along).mean() / (weight * length).mean()
    return focal.clamp_min(0)


def median_focal_from_pointmap(pointmap_camera: Tensor) -> Tensor:
    """Return the median, over pixels and both axes, of pixel offset over slope: cruder than ``focal_from_pointmap``."""
    pixels, slopes = _rays(pointmap_camera)
    return (pixels / slopes).flatten().nanmedian()
