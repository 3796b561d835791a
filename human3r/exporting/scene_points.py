"""The fused scene points: all of them as ``points.ply``, in world; for viewers a part, in the y-up world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from human3r.results.reconstruction import Reconstruction

MAX_POINTS = 200_000
"""Limit for web files, beyond which they do not look denser; ``points.ply`` and the npz hold all points."""
_NUM_SIZES = 6
"""Groups of points by footprint, each with a node and a size."""
_PIXELS_PER_FRAME = 384
"""Along the longer side of a frame, as ``compact`` sees it; the released networks see more."""
_SIZES_M = (0.006, 0.06)


def thinned_points(reconstruction: Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Return evenly subsampled points ``M 3`` float32 in meters and their colors ``M 3`` uint8."""
    return _taken(reconstruction, _chosen(reconstruction))


@dataclass(frozen=True)
class PointGroup:
    """Points drawn with one size."""

    points: np.ndarray
    """``M 3`` float32, meters, in the y-up world."""
    colors: np.ndarray
    """``M 3`` uint8"""
    size_m: float
    """Drawn size, meters: the width of the surface that each point represents."""


def points_by_confidence(reconstruction: Reconstruction, num_bands: int) -> list[list[PointGroup]]:
    """Return the subsampled points in bands of equal size by ascending confidence, each grouped by footprint.

    Without points there are no bands.
    """
    chosen = _chosen(reconstruction)
    if len(chosen) == 0:
        return []
    by_confidence = chosen[np.argsort(reconstruction.points_confidence[chosen], kind="stable")]
    footprint = _footprint_m(reconstruction)
    edges = np.quantile(footprint[chosen], np.arange(1, _NUM_SIZES) / _NUM_SIZES)
    group_of = np.searchsorted(edges, footprint)
    sizes_m = [
        float(np.median(some)) if len(some := footprint[chosen][group_of[chosen] == group]) else 0.0
        for group in range(_NUM_SIZES)
    ]
    bands = []
    for band in np.array_split(by_confidence, num_bands):
        groups = [(np.sort(band[group_of[band] == group]), sizes_m[group]) for group in range(_NUM_SIZES)]
        bands.append([PointGroup(*_taken(reconstruction, rows), round(size, 4)) for rows, size in groups if len(rows)])
    return [band for band in bands if band]


def footprint_m(distance_m: np.ndarray, focal_px: np.ndarray | float, pixels_per_sample: float) -> np.ndarray:
    """Return the width of the part of a surface seen by one sample of a frame, within bounds.

    Args:
        distance_m: From the camera.
        focal_px: Of the source frame.
        pixels_per_sample: Pixels of the source frame along one sample.
    """
    return np.clip(distance_m * pixels_per_sample / focal_px, *_SIZES_M)


def _footprint_m(reconstruction: Reconstruction) -> np.ndarray:
    """Return ``M`` footprints of the scene points, meters."""
    if reconstruction.num_frames == 0:
        return np.full(len(reconstruction.points_world), _SIZES_M[0])
    frames = np.clip(reconstruction.points_frame, 0, reconstruction.num_frames - 1)
    pixels = float(max(reconstruction.image_size)) / _PIXELS_PER_FRAME
    return footprint_m(_distance_m(reconstruction), reconstruction.K[frames, 0, 0], pixels)


def _distance_m(reconstruction: Reconstruction) -> np.ndarray:
    """Return the distance of each point from the camera that saw it, ``M`` meters."""
    frames = np.clip(reconstruction.points_frame, 0, max(reconstruction.num_frames - 1, 0))
    centers = reconstruction.T_world_camera[frames, :3, 3]
    return np.linalg.norm(reconstruction.points_world - centers, axis=1)


def _chosen(reconstruction: Reconstruction) -> np.ndarray:
    count = len(reconstruction.points_world)
    if count <= MAX_POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MAX_POINTS, replace=False))


def _taken(reconstruction: Reconstruction, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    T = reconstruction.T_gravity_world.astype(np.float64)
    points = reconstruction.points_world[rows] @ T[:3, :3].T + T[:3, 3]
    return points.astype(np.float32), reconstruction.points_color[rows]


def write_ply(reconstruction: Reconstruction, path: Path) -> None:
    """Write all points as a binary PLY in world, whole or not at all; without points the file has zero vertices."""
    vertices = np.empty(len(reconstruction.points_world), dtype=[("place", "<f4", 3), ("color", "u1", 3)])
    vertices["place"], vertices["color"] = reconstruction.points_world, reconstruction.points_color
    properties = [f"float {axis}" for axis in "xyz"] + [f"uchar {channel}" for channel in ("red", "green", "blue")]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    lines += [*(f"property {each}" for each in properties), "end_header"]
    write_bytes(path, "\n".join(lines).encode() + b"\n" + vertices.tobytes())
