"""The scene of a run in bounded memory: means per pixel while the camera stands still, voxels with a cap otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import torch

from human3r.geometry.fusion import PointCloud, depth_edges, fuse_to_limit
from human3r.geometry.rigid import transform_points
from human3r.memory import return_free_memory
from human3r.records import FramePrediction
from human3r.results.trusted_pixels import EDGE_TOLERANCE, scene_pixels

MAX_POINTS = 300_000
"""Limit of the fused scene."""
_VOXEL_M = 0.02
"""Initial side of the voxels, which grow until the cloud is within the limit."""
_STILL_ROTATION = np.deg2rad(0.15)
_STILL_SHIFT = 0.003
"""Motion as a fraction of the median depth below which a camera sees every surface in the same pixel."""
_STILL_INTERVAL_S = 0.075
"""Frames of a still camera within this time are skipped: of 30 per second every third is used."""
_FLUSH_POINTS = 400_000
"""Points that wait to be merged."""
_VIEW_MAPS = ("weight", "count", "points", "colors", "frame")


class SceneAccumulator:
    """The scene without people: averages per pixel while the camera is still, voxels otherwise.

    In units of the network's depth, whose scale is estimated in the course of a shot: its frames fit together.
    """

    def __init__(self, max_points: int = MAX_POINTS) -> None:
        self._max_points = max_points
        self._voxel_m = _VOXEL_M
        self._kept = _Points()
        self._num_fused = 0
        """Points of the fused cloud; the others wait to be merged with it."""
        self._view: _StillView | None = None
        self._first_frames: list[int] = [0]
        self._shot = 0
        self._path_unit = np.nan

    def add(self, prediction: FramePrediction, row: int) -> None:
        """Add the surface of processed frame ``row``, unless it repeats the last one."""
        if prediction.shot != self._shot:
            self._flush_view()
            self._shot, self._path_unit = prediction.shot, np.nan
            self._first_frames.append(row)
        T_world_camera, pointmap = self._unscaled(prediction)
        view = self._view
        if view is not None and not view.is_still(T_world_camera, pointmap.shape):
            view = None
        if view is not None and 0 <= prediction.time_s - view.time_s < _STILL_INTERVAL_S:
            return
        is_seen = scene_pixels(prediction)
        if not is_seen.any():
            return
        if view is None:
            self._flush_view()
            view = _StillView(T_world_camera, pointmap.shape, float(np.median(pointmap[..., 2][is_seen])))
            self._view = view
        view.add(pointmap, prediction.confidence.numpy(), prediction.image.numpy(), is_seen, row)
        view.time_s = prediction.time_s

    def _unscaled(self, prediction: FramePrediction) -> tuple[np.ndarray, np.ndarray]:
        T_world_camera, pointmap = prediction.camera.T_world_camera.numpy(), prediction.pointmap_camera.numpy()
        log_scale = prediction.camera.log_scale
        if log_scale is None:
            return T_world_camera, pointmap
        unit = float(torch.exp(-log_scale))
        if np.isnan(self._path_unit):
            self._path_unit = unit
        T_world_camera = T_world_camera.copy()
        T_world_camera[:3, 3] *= self._path_unit
        return T_world_camera, pointmap * np.float32(unit)

    def _flush_view(self) -> None:
        if self._view is None:
            return
        self._kept.append(self._view.to_cloud())
        self._view = None
        if len(self._kept) - self._num_fused >= _FLUSH_POINTS:
            self._fuse()

    def _fuse(self) -> PointCloud:
        points = self._kept.part(slice(None))
        fused, self._voxel_m = fuse_to_limit(points, self._voxel_m, self._max_points, self._first_frames)
        self._kept.replace(fused)
        self._num_fused = len(fused)
        return_free_memory(collects=False)  # merging takes much for a moment
        return fused

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state, by name, as it is until the next frame; see ``load_arrays``."""
        kept = {"voxel_m": np.array(self._voxel_m)}
        kept |= {"first_frames": np.array(self._first_frames), "shot": np.array(self._shot)}
        kept["path_unit"] = np.array(self._path_unit)
        fused, pending = slice(self._num_fused), slice(self._num_fused, None)
        clouds = {"cloud": self._kept.part(fused), "pending": self._kept.part(pending)}
        for prefix, cloud in clouds.items():
            kept |= {f"{prefix}.{item.name}": getattr(cloud, item.name) for item in fields(cloud)}
        if self._view is not None:
            kept |= {f"view.{name}": values for name, values in self._view.arrays().items()}
        return kept

    def load_arrays(self, kept: Mapping[str, np.ndarray]) -> None:
        """Restore what ``arrays`` returned."""
        fused, pending = (
            PointCloud(**{item.name: kept[f"{part}.{item.name}"] for item in fields(PointCloud)})
            for part in ("cloud", "pending")
        )
        self._voxel_m = float(kept["voxel_m"])
        self._first_frames, self._shot = kept["first_frames"].tolist(), int(kept["shot"])
        self._path_unit = float(kept["path_unit"])
        self._kept.replace(fused)
        self._kept.append(pending)
        self._num_fused = len(fused)
        view = {name.removeprefix("view."): values for name, values in kept.items() if name.startswith("view.")}
        self._view = _StillView.from_arrays(view) if view else None

    def finish(self) -> PointCloud:
        """Return the fused scene; more frames may follow."""
        self._flush_view()
        return self._fuse()


class _Points:
    """A cloud in arrays that stay and grow: for hours, arrays that come and go would scatter over memory."""

    def __init__(self) -> None:
        self._arrays = PointCloud.empty()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def part(self, rows: slice) -> PointCloud:
        """Return a view of some points, until the next change."""
        return PointCloud(**{name: values[: self._length][rows] for name, values in vars(self._arrays).items()})

    def append(self, cloud: PointCloud) -> None:
        """Add points."""
        start, self._length = self._length, self._length + len(cloud)
        if self._length > len(self._arrays):
            before, size = self._arrays, max(self._length, 2 * len(self._arrays))
            self._arrays = PointCloud(
                **{name: np.empty((size, *values.shape[1:]), values.dtype) for name, values in vars(before).items()}
            )
            for name, values in vars(before).items():
                getattr(self._arrays, name)[:start] = values[:start]
        for name, values in vars(cloud).items():
            getattr(self._arrays, name)[start : self._length] = values

    def replace(self, cloud: PointCloud) -> None:
        """Hold other points instead."""
        self._length = 0
        self.append(cloud)


def is_still(
    T_world_before: np.ndarray, T_world_camera: np.ndarray, median_depth: float, *, slack: float = 1.0
) -> bool:
    """Return whether a camera that sees surfaces at ``median_depth`` (meters) still sees them in the same pixels.

    ``slack`` is a factor on the thresholds.
    """
    shift = np.linalg.norm(T_world_camera[:3, 3] - T_world_before[:3, 3])
    turn = T_world_before[:3, :3].T @ T_world_camera[:3, :3]
    # The antisymmetric part is accurate for small angles, where the trace's arc cosine is not.
    angle = 0.5 * np.linalg.norm([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    return bool(shift < slack * _STILL_SHIFT * median_depth and angle < slack * _STILL_ROTATION)


class _StillView:
    """Running per-pixel average of the frames of a static camera."""

    def __init__(self, T_world_camera: np.ndarray, shape: tuple[int, ...], median_depth: float) -> None:
        self._T_world_camera = T_world_camera
        self._shape = shape
        self._median_depth = median_depth
        self._weight = np.zeros(shape[:2], np.float32)
        self._count = np.zeros(shape[:2], np.float32)
        self._points = np.zeros(shape, np.float32)
        self._colors = np.zeros(shape, np.float32)
        self._frame = np.full(shape[:2], -1, np.int32)
        self.time_s = -np.inf
        """Of the last frame."""

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "T_world_camera": self._T_world_camera,
            "median_depth": np.array(self._median_depth),
            "time_s": np.array(self.time_s),
            **{name: getattr(self, f"_{name}") for name in _VIEW_MAPS},
        }

    @classmethod
    def from_arrays(cls, kept: Mapping[str, np.ndarray]) -> _StillView:
        view = cls(kept["T_world_camera"], kept["points"].shape, float(kept["median_depth"]))
        view.time_s = float(kept["time_s"])
        for name in _VIEW_MAPS:
            setattr(view, f"_{name}", kept[name].copy())
        return view

    def is_still(self, T_world_camera: np.ndarray, shape: tuple[int, ...]) -> bool:
        return shape == self._shape and is_still(self._T_world_camera, T_world_camera, self._median_depth)

    def add(
        self, pointmap: np.ndarray, confidence: np.ndarray, image: np.ndarray, is_seen: np.ndarray, row: int
    ) -> None:
        weight = np.where(is_seen, confidence, 0).astype(np.float32)
        self._weight += weight
        self._count += is_seen
        # Unseen pixels may hold infinities, and zero times infinity is not zero.
        self._points += np.where(is_seen[..., None], pointmap, 0) * weight[..., None]
        self._colors += image * weight[..., None]
        self._frame[is_seen & (self._frame < 0)] = row

    def to_cloud(self) -> PointCloud:
        is_known = self._weight > 0
        weight = np.maximum(self._weight, 1e-12)[..., None]
        points = self._points / weight
        # Borders between known and unknown pixels are not depth edges.
        depth = np.where(is_known, points[..., 2], np.nan)
        with np.errstate(invalid="ignore"):
            is_kept = is_known & ~depth_edges(depth, EDGE_TOLERANCE)
        return PointCloud(
            points=transform_points(self._T_world_camera, points[is_kept]).astype(np.float32),
            colors=(self._colors / weight)[is_kept],
            confidence=self._weight[is_kept],
            weight=self._count[is_kept],
            frame=self._frame[is_kept],
        )
