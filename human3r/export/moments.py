"""``moments.bin``: the surface of every single frame, people included, as the player shows it ("4D points").

Depth and colour per pixel of a coarse grid, gzipped; the player unprojects one frame at a time. Layout after gunzip:
``H3RM``, uint32 length of the JSON header, the header (padded to 4 bytes), all depths uint16, all colours 3 uint8.
"""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_bytes
from human3r.geometry.fusion import depth_edges

if TYPE_CHECKING:
    from human3r.reconstruction import Reconstruction
    from human3r.records import FramePrediction

MOMENTS_NAME = "moments.bin"
MAX_POINTS_PER_FRAME = 20_000
MAX_RAW_BYTES = 24_000_000
"""Before compression, which halves it about; longer clips get coarser grids."""
DEPTH_UNIT_M = 1e-3
_BYTES_PER_POINT = 5
_DROPPED_CONFIDENCE = 0.15
"""The least confident share of each frame's pixels is left out: mostly edges and sky."""
_EDGE_TOLERANCE = 0.08
"""Relative depth step between neighbouring pixels that separates two surfaces."""


class Moments:
    """Collects the frames of a run; ``write`` puts them into the world of its result."""

    def __init__(self) -> None:
        self._depth: dict[int, np.ndarray] = {}
        self._color: dict[int, np.ndarray] = {}
        self._rect_px = (0.0, 0.0, 0.0, 0.0)

    def __len__(self) -> int:
        return len(self._depth)

    def add(self, prediction: FramePrediction) -> None:
        """Keep one frame, thinned to ``MAX_POINTS_PER_FRAME``."""
        depth = prediction.pointmap_camera[..., 2].detach().cpu().numpy()
        confidence = prediction.confidence.detach().cpu().numpy()
        is_good = np.isfinite(depth) & (depth > 0) & (depth < np.iinfo(np.uint16).max * DEPTH_UNIT_M)
        if is_good.any():
            is_good &= confidence >= np.quantile(confidence[is_good], _DROPPED_CONFIDENCE)
            is_good &= ~depth_edges(np.where(np.isfinite(depth), depth, 0.0), _EDGE_TOLERANCE)
        stride = _stride(depth.size, MAX_POINTS_PER_FRAME)
        millimetres = np.where(is_good, depth, 0.0) / DEPTH_UNIT_M
        image = prediction.image.detach().cpu().numpy()
        self._depth[prediction.frame_index] = _thinned(np.round(millimetres), stride).astype(np.uint16)
        self._color[prediction.frame_index] = _thinned(image, stride).copy()
        self._rect_px = _covered(prediction.source_rect_px, depth.shape, stride)

    def write(self, path: Path, reconstruction: Reconstruction, max_raw_bytes: int = MAX_RAW_BYTES) -> bool:
        """Write the frames of a result whole or not at all; False when one of them was never added.

        Args:
            path: Where to.
            reconstruction: The result of the same run.
            max_raw_bytes: Size before compression; grids get coarser until they fit.
        """
        frames = [int(index) for index in reconstruction.frame_index]
        if not frames or any(index not in self._depth for index in frames):
            return False
        depth = np.stack([self._depth[index] for index in frames])
        color = np.stack([self._color[index] for index in frames])
        stride = _stride(depth.size * _BYTES_PER_POINT, max_raw_bytes)
        rect_px = _covered(self._rect_px, depth.shape[1:], stride)
        # Frames go last, so that one step serves both directions of the picture.
        depth = np.moveaxis(_thinned(np.moveaxis(depth, 0, -1), stride), -1, 0)
        color = np.moveaxis(_thinned(np.moveaxis(color, 0, -1), stride), -1, 0)
        head = json.dumps(_head(reconstruction, depth.shape[1:], rect_px), separators=(",", ":")).encode()
        head += b" " * (-(8 + len(head)) % 4)
        raw = b"H3RM" + struct.pack("<I", len(head)) + head + depth.astype("<u2").tobytes() + color.tobytes()
        write_bytes(path, gzip.compress(raw, 5, mtime=0))
        return True


def _head(
    reconstruction: Reconstruction, shape: tuple[int, ...], rect_px: tuple[float, float, float, float]
) -> dict[str, object]:
    T_gravity_camera = reconstruction.T_gravity_world.astype(np.float64) @ reconstruction.T_world_camera
    K = reconstruction.K.astype(np.float64)
    lenses = np.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], axis=1)
    return {
        "height": shape[0],
        "width": shape[1],
        "rect": [round(edge, 3) for edge in rect_px],
        "depth_unit_m": DEPTH_UNIT_M,
        "frames": [
            {"K": np.round(lens, 3).tolist(), "T": np.round(T[:3], 6).reshape(-1).tolist()}
            for lens, T in zip(lenses, T_gravity_camera, strict=True)
        ],
    }


def _stride(size: int, limit: int) -> int:
    """Return the step in both directions that brings ``size`` below ``limit``."""
    return max(1, int(np.ceil(np.sqrt(size / limit))))


def _thinned(grid: np.ndarray, stride: int) -> np.ndarray:
    """Take the middle pixel of every ``stride x stride`` cell; incomplete cells at the far edges are left out."""
    height, width = (side - side % stride for side in grid.shape[:2])
    return grid[stride // 2 : height : stride, stride // 2 : width : stride]


def _covered(
    rect_px: tuple[float, float, float, float], shape: tuple[int, ...], stride: int
) -> tuple[float, float, float, float]:
    """Return the part of a rectangle that the complete cells of a grid cover."""
    x0, y0, x1, y1 = (float(edge) for edge in rect_px)
    height, width = shape[:2]
    part_y, part_x = (height - height % stride) / height, (width - width % stride) / width
    return x0, y0, x0 + part_x * (x1 - x0), y0 + part_y * (y1 - y0)
