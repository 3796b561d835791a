"""Collect a run's results in bounded memory.

People and cameras are small and kept as tables. Surfaces are not kept: while the camera stands still they are averaged
per pixel, and then fused into one voxel cloud with a cap. Depth maps, if wanted, go to a temporary file.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields

import numpy as np

from human3r.errors import DiskFullError
from human3r.geometry.fusion import PointCloud, depth_edges, dilate, fuse_to_limit
from human3r.records import BodyParameters, FramePrediction
from human3r.runtime.people_pixels import people_pixels


@dataclass(frozen=True)
class StoreOptions:
    """What is kept of a run."""

    max_points: int = 300_000
    """Cap of the fused scene."""
    voxel_m: float = 0.02
    """Side of the first voxels; they grow until the cloud fits under the cap."""
    dropped_confidence: float = 0.15
    """The least confident share of every frame's pixels is not fused; confidence has no unit across networks."""
    max_depth_m: float = 80.0
    """Surfaces behind are sky or nonsense."""
    edge_tolerance: float = 0.08
    """Relative depth step between neighbouring pixels that separates two surfaces."""
    person_threshold: float = 0.3
    """Pixels with a higher person probability are left out, and their neighbourhood."""
    with_depth: bool = False
    """Keep the depth and confidence of every frame."""


_STILL_ROTATION = np.deg2rad(0.15)
_STILL_SHIFT = 0.003
"""A camera that moved less than this fraction of the median depth still sees every surface in the same pixel."""
_MIN_DEPTH_M = 0.05
_FLUSH_POINTS = 400_000
_MASK_GROWTH = 0.02
"""Person masks grow by this fraction of the image: their borders are soft."""


class SceneAccumulator:
    """The scene without people: averages per pixel while the camera is still, voxels otherwise."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._voxel_m = options.voxel_m
        self._cloud = PointCloud.empty()
        self._pending: list[PointCloud] = []
        self._view: _StillView | None = None

    def add(self, prediction: FramePrediction, row: int) -> None:
        """Take one frame's surface; ``row`` is its place among the processed frames."""
        T_world_camera = prediction.camera.T_world_camera.numpy()
        pointmap = prediction.pointmap_camera.numpy()
        confidence = prediction.confidence.numpy()
        is_seen = self._select(prediction, pointmap, confidence)
        if not is_seen.any():
            return
        if self._view is None or not self._view.is_still(T_world_camera, pointmap.shape):
            self._flush_view()
            self._view = _StillView(T_world_camera, pointmap.shape, float(np.median(pointmap[..., 2][is_seen])))
        self._view.add(pointmap, confidence, prediction.image.numpy(), is_seen, row)

    def _select(self, prediction: FramePrediction, pointmap: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        options = self._options
        depth = pointmap[..., 2]
        is_seen = (confidence > 0) & (depth > _MIN_DEPTH_M) & (depth < options.max_depth_m)
        if not is_seen.any():
            return is_seen
        # A quarter of the rows decides as well as all of them.
        is_seen &= confidence >= np.quantile(confidence[::4], options.dropped_confidence)
        is_person = prediction.person_mask.numpy() > options.person_threshold
        if is_person.any():
            is_seen &= ~dilate(is_person, max(1, round(_MASK_GROWTH * max(depth.shape))))
        return is_seen & ~people_pixels(prediction) & np.isfinite(pointmap).all(axis=2)

    def _flush_view(self) -> None:
        if self._view is None:
            return
        self._pending.append(self._view.to_cloud(self._options.edge_tolerance))
        self._view = None
        if sum(len(cloud) for cloud in self._pending) >= _FLUSH_POINTS:
            self._fuse()

    def _fuse(self) -> None:
        everything = PointCloud.concatenate([self._cloud, *self._pending])
        self._pending = []
        self._cloud, self._voxel_m = fuse_to_limit(everything, self._voxel_m, self._options.max_points)

    def finish(self) -> PointCloud:
        """Return the fused scene; more frames may follow."""
        self._flush_view()
        self._fuse()
        return self._cloud


class _StillView:
    """Running per-pixel average of what a camera that does not move sees."""

    def __init__(self, T_world_camera: np.ndarray, shape: tuple[int, ...], median_depth: float) -> None:
        self._T_world_camera = T_world_camera
        self._shape = shape
        self._median_depth = median_depth
        self._weight = np.zeros(shape[:2], np.float32)
        self._count = np.zeros(shape[:2], np.float32)
        self._points = np.zeros(shape, np.float32)
        self._colors = np.zeros(shape, np.float32)
        self._frame = np.full(shape[:2], -1, np.int32)

    def is_still(self, T_world_camera: np.ndarray, shape: tuple[int, ...]) -> bool:
        if shape != self._shape:
            return False
        shift = np.linalg.norm(T_world_camera[:3, 3] - self._T_world_camera[:3, 3])
        turn = self._T_world_camera[:3, :3].T @ T_world_camera[:3, :3]
        # The antisymmetric part is accurate for small angles, where the trace's arc cosine is not.
        angle = 0.5 * np.linalg.norm([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        return bool(shift < _STILL_SHIFT * self._median_depth and angle < _STILL_ROTATION)

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

    def to_cloud(self, edge_tolerance: float) -> PointCloud:
        is_known = self._weight > 0
        weight = np.maximum(self._weight, 1e-12)[..., None]
        points = self._points / weight
        # Seams between known and unknown pixels are no depth edges.
        depth = np.where(is_known, points[..., 2], np.nan)
        with np.errstate(invalid="ignore"):
            is_kept = is_known & ~depth_edges(depth, edge_tolerance)
        R, t = self._T_world_camera[:3, :3], self._T_world_camera[:3, 3]
        return PointCloud(
            points=(points[is_kept] @ R.T + t).astype(np.float32),
            colors=(self._colors / weight)[is_kept],
            confidence=self._weight[is_kept],
            weight=self._count[is_kept],
            frame=self._frame[is_kept],
        )


@dataclass(frozen=True)
class DepthMaps:
    """Depth of the kept frames, memory-mapped from a temporary file."""

    depth: np.ndarray
    """``D h w`` float16, metres."""
    confidence: np.ndarray
    """``D h w`` float16."""
    frame_index: np.ndarray
    """``D`` int64, index in the source clip."""
    crop: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the source frame that a map covers, pixel edges."""


class DepthSpool:
    """Depth maps on disk, in a file that has no name and vanishes with the process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="human3r-depth-")  # noqa: SIM115 - closed in close()
        self._shape: tuple[int, int] | None = None
        self._crop = (0.0, 0.0, 0.0, 0.0)
        self._frame_index: list[int] = []

    def add(self, prediction: FramePrediction) -> None:
        """Append one frame.

        Raises:
            DiskFullError: No room for the temporary file.
        """
        depth = prediction.pointmap_camera[..., 2].numpy().clip(0, 65504).astype(np.float16)
        confidence = prediction.confidence.numpy().clip(0, 65504).astype(np.float16)
        self._shape, self._crop = (depth.shape[0], depth.shape[1]), prediction.source_rect_px
        try:
            self._file.write(depth.tobytes() + confidence.tobytes())
            self._file.flush()
        except OSError as error:
            raise DiskFullError(
                f"Could not keep depth maps ({error.strerror}).", "Free some space or drop --save-depth."
            ) from error
        self._frame_index.append(prediction.frame_index)

    def finish(self) -> DepthMaps | None:
        """Return all maps, or None without any frame."""
        if self._shape is None:
            return None
        shape = (len(self._frame_index), 2, *self._shape)
        maps = np.memmap(self._file, dtype=np.float16, mode="r", shape=shape)
        return DepthMaps(maps[:, 0], maps[:, 1], np.array(self._frame_index), self._crop)

    def close(self) -> None:
        """Drop the file; maps that were handed out stay readable."""
        self._file.close()


class ResultStore:
    """Tables of everything that a run has found so far."""

    def __init__(self, options: StoreOptions | None = None) -> None:
        self.options = options or StoreOptions()
        self.frame_index: list[int] = []
        self.time_s: list[float] = []
        self.K: list[np.ndarray] = []
        self.T_world_camera: list[np.ndarray] = []
        self.image_size: tuple[int, int] | None = None
        self._people: list[dict[str, np.ndarray]] = []
        self._scene = SceneAccumulator(self.options)
        self._depth = DepthSpool() if self.options.with_depth else None

    def __len__(self) -> int:
        return len(self.frame_index)

    def add(self, prediction: FramePrediction) -> None:
        """Take one frame."""
        row = len(self)
        camera = prediction.camera
        self.image_size = camera.image_size
        self.frame_index.append(prediction.frame_index)
        self.time_s.append(prediction.time_s)
        self.K.append(camera.K.numpy().astype(np.float32))
        self.T_world_camera.append(camera.T_world_camera.numpy().astype(np.float32))
        if len(prediction.people):
            self._people.append(_person_rows(prediction, row))
        self._scene.add(prediction, row)
        if self._depth is not None:
            self._depth.add(prediction)

    def people(self) -> dict[str, np.ndarray]:
        """Return the person table so far: one array per column, rows sorted by frame."""
        columns = self._people or [_no_rows()]
        return {name: np.concatenate([rows[name] for rows in columns]) for name in columns[0]}

    def scene(self) -> PointCloud:
        """Return the fused scene so far."""
        return self._scene.finish()

    def depth(self) -> DepthMaps | None:
        """Return the depth maps, or None where they were not asked for."""
        return None if self._depth is None else self._depth.finish()

    def close(self) -> None:
        """Release the temporary file."""
        if self._depth is not None:
            self._depth.close()


PARAMETER_NAMES = tuple(item.name for item in fields(BodyParameters))


def _person_rows(prediction: FramePrediction, row: int) -> dict[str, np.ndarray]:
    people = prediction.people
    rows = {name: getattr(prediction.parameters_world, name).numpy() for name in PARAMETER_NAMES}
    rows["joints_world"] = prediction.joints_world.numpy()
    rows["person_frame"] = np.full(len(people), row, np.int64)
    rows["person_track"] = people.track_id.numpy()
    rows["person_score"] = people.score.numpy()
    return rows


def _no_rows() -> dict[str, np.ndarray]:
    shapes: dict[str, tuple[int, ...]] = {
        "body_pose": (21, 3),
        "left_hand_pose": (15, 3),
        "right_hand_pose": (15, 3),
        "betas": (10,),
        "expression": (10,),
    }
    rows = {name: np.zeros((0, *shapes.get(name, (3,))), np.float32) for name in PARAMETER_NAMES}
    rows["joints_world"] = np.zeros((0, 55, 3), np.float32)
    rows["person_frame"] = np.zeros(0, np.int64)
    rows["person_track"] = np.zeros(0, np.int64)
    rows["person_score"] = np.zeros(0, np.float32)
    return rows
