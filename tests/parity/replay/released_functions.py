"""Functions of the released code that ours has no use for, but whose outputs the golden files hold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from human3r.geometry.camera import intrinsics


def field_of_view_intrinsics(side_px: int, field_of_view: float = math.radians(60)) -> Tensor:
    """Return ``3 3`` intrinsics of a square image of ``side_px`` pixels with a field of view in radians."""
    return intrinsics(side_px / (2 * math.tan(field_of_view / 2)), (side_px, side_px))


def median_focal_from_pointmap(pointmap_camera: Tensor) -> Tensor:
    """Return the median, over the pixels of ``H W 3`` points and both axes, of pixel offset over slope."""
    height, width = pointmap_camera.shape[:2]
    y, x = torch.meshgrid(torch.arange(height) - height // 2, torch.arange(width) - width // 2, indexing="ij")
    slopes = pointmap_camera[..., :2] / pointmap_camera[..., 2:]
    return (torch.stack((x, y), dim=-1) / slopes).flatten().nanmedian()


def chain_segments(T_segment_camera: Tensor, has_reset: list[bool]) -> Tensor:
    """Return ``T 4 4`` cameras in the world of the first segment.

    After a frame that resets the network, the next segment's origin is that frame's camera.

    Args:
        T_segment_camera: ``T 4 4`` cameras, each relative to the first frame of its segment.
        has_reset: Per frame, whether the network was reset after it.
    """
    T_world_segment = torch.eye(4, dtype=T_segment_camera.dtype)
    chained = []
    for T_camera, is_last_of_segment in zip(T_segment_camera, has_reset, strict=True):
        chained.append(T_world_segment @ T_camera)
        if is_last_of_segment:
            T_world_segment = chained[-1]
    return torch.stack(chained)
