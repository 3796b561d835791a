"""Collect a run's results in bounded memory.

Rows of cameras, people and depth maps go to files: unnamed temporary ones, or files of the folder of a resumable run.
Surfaces are fused into a bounded scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from human3r.geometry.fusion import PointCloud
from human3r.geometry.grids import on_grid
from human3r.records import FramePrediction
from human3r.results.person_table import PERSON_ROW, PersonTable, person_rows
from human3r.results.scene_fusion import SceneAccumulator
from human3r.results.scene_views import SceneView, ViewCollector
from human3r.results.spool import RowSpool


@dataclass(frozen=True)
class DepthMaps:
    """Depth of every frame, memory-mapped from the files of the run: saving them streams from disk to disk."""

    depth: np.ndarray
    """``T h w`` float16, meters."""
    confidence: np.ndarray
    """``T h w`` float16."""
    crop: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the source frame that a map covers, pixel edges."""


@dataclass(frozen=True)
class StoreCheckpoint:
    """A store after some frame; the rows before it are in the files of its folder."""

    num_frames: int
    num_people: int
    """Rows of the person table."""
    image_size: tuple[int, int] | None
    crop: tuple[float, float, float, float]
    """See ``DepthMaps``."""
    depth_shape: tuple[int, ...] | None
    """``h w`` of the depth maps; None where none are kept."""
    scene: dict[str, np.ndarray]
    """See ``SceneAccumulator.arrays``."""


class ResultStore:
    """The results of a run so far.

    Args:
        folder: Keep the rows in files of this folder, so that the run can be resumed; None uses temporary files.
        with_depth: Keep depth and confidence of every frame.
        with_views: Keep the views of a moving camera; see ``ViewCollector``.
    """

    def __init__(self, folder: Path | None = None, *, with_depth: bool = False, with_views: bool = False) -> None:
        self._with_depth = with_depth
        self._views = ViewCollector() if with_views else None
        self.image_size: tuple[int, int] | None = None
        self._folder = folder
        self._frames = RowSpool(_FRAME_ROW, self._file("frames"))
        self._people = RowSpool(PERSON_ROW, self._file("people"))
        self._names = RowSpool(_NAME_BYTE, self._file("names"))
        self._maps: dict[str, RowSpool] = {}
        self._crop = (0.0, 0.0, 0.0, 0.0)
        self._scene = SceneAccumulator()
        self._shot_image: tuple[int, np.ndarray] | None = None

    def _file(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{name}.rows"

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def num_people(self) -> int:
        """People of all frames, one for each frame that shows them."""
        return len(self._people)

    @property
    def frame_index(self) -> np.ndarray:
        """``T`` int64, index in the source clip."""
        return self._frames.column("frame_index")

    @property
    def time_s(self) -> np.ndarray:
        """``T`` float64."""
        return self._frames.column("time_s")

    @property
    def K(self) -> np.ndarray:
        """``T 3 3`` float32."""
        return self._frames.column("K")

    @property
    def T_world_camera(self) -> np.ndarray:
        """``T 4 4`` float32."""
        return self._frames.column("T_world_camera")

    @property
    def shot(self) -> np.ndarray:
        """``T`` int64, number of the shot."""
        return self._frames.column("shot")

    @property
    def focal_sigma(self) -> np.ndarray:
        """``T`` float32, standard deviation of the logarithm of the focal length; NaN where unknown."""
        return self._frames.column("focal_sigma")

    @property
    def log_scale(self) -> np.ndarray:
        """``T`` float32, logarithm of the factor on the network's depth; NaN without one."""
        return self._frames.column("log_scale")

    @property
    def change(self) -> np.ndarray:
        """``T`` float32, mean difference of gray levels from the first frame of the shot."""
        return self._frames.column("change")

    @property
    def frame_name(self) -> np.ndarray | None:
        """``T`` str, file names of the frames; None for a video."""
        if len(self._names) == 0:
            return None
        ends = np.cumsum(self._frames.column("name_bytes"))
        encoded = self._names.rows()["byte"].tobytes()
        return np.array([encoded[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)])

    def add(self, prediction: FramePrediction, *, with_scene: bool = True) -> None:
        """Add one frame; ``with_scene`` False skips the fused scene.

        Raises:
            DiskFullError: The disk is full.
        """
        row = len(self)
        camera = prediction.camera
        self.image_size = camera.image_size
        frame = np.zeros(1, _FRAME_ROW)
        frame["frame_index"], frame["time_s"] = prediction.frame_index, prediction.time_s
        frame["K"], frame["T_world_camera"] = camera.K.numpy(), camera.T_world_camera.numpy()
        name = np.frombuffer(prediction.frame_name.encode(errors="replace"), _NAME_BYTE)
        frame["shot"], frame["name_bytes"] = prediction.shot, len(name)
        frame["change"] = self._change_in_shot(prediction)
        self._names.append(name)
        frame["focal_sigma"] = np.nan if camera.focal_sigma is None else float(camera.focal_sigma)
        frame["log_scale"] = np.nan if camera.log_scale is None else float(camera.log_scale)
        self._frames.append(frame)
        if len(prediction.people):
            self._people.append(person_rows(prediction, row))
        if with_scene:
            self._scene.add(prediction, row)
        if self._views is not None:
            self._views.add(prediction, row)
        if self._with_depth:
            self._add_depth(prediction)

    def _change_in_shot(self, prediction: FramePrediction) -> float:
        image = prediction.image.numpy()[::4, ::4].astype(np.int16)
        if self._shot_image is None or self._shot_image[0] != prediction.shot:
            self._shot_image = prediction.shot, image
        first = self._shot_image[1]
        return float(np.abs(image - first).mean()) if first.shape == image.shape else 255.0

    def _add_depth(self, prediction: FramePrediction) -> None:
        if not self._maps:
            self._crop = prediction.source_rect_px
            self._open_maps(tuple(prediction.confidence.shape))
        for name, values in (("depth", prediction.pointmap_camera[..., 2]), ("confidence", prediction.confidence)):
            row = np.zeros(1, self._maps[name].dtype)
            grid = on_grid(values.numpy(), prediction.source_rect_px, self._crop, row["map"].shape[1:])
            row["map"] = grid.clip(0, _MAX_HALF)
            self._maps[name].append(row)

    def _open_maps(self, shape: tuple[int, ...]) -> None:
        # One file each, so that the rows are one array on disk and never gathered in memory.
        for name in ("depth", "confidence"):
            if name not in self._maps:
                self._maps[name] = RowSpool(np.dtype([("map", "<f2", shape)]), self._file(name))

    def people(self) -> PersonTable:
        """Return the people of all frames so far."""
        return PersonTable.from_rows(self._people.rows())

    def scene(self) -> PointCloud:
        """Return the fused scene so far, each shot in units of the network's depth: see ``SceneAccumulator``."""
        return self._scene.finish()

    def views(self) -> list[SceneView]:
        """Return the views so far; none without ``with_views``."""
        return [] if self._views is None else self._views.finish()

    def depth(self) -> DepthMaps | None:
        """Return the depth maps, mapped from their file, or None without any."""
        if not self._maps or len(self._maps["depth"]) == 0:
            return None
        return DepthMaps(self._maps["depth"].rows()["map"], self._maps["confidence"].rows()["map"], self._crop)

    def checkpoint(self) -> StoreCheckpoint:
        """Flush the rows to the disk and return the state for ``resume``."""
        for spool in self._spools():
            spool.sync()
        depth_shape = self._maps["depth"].dtype["map"].shape if self._maps else None
        arrays = self._scene.arrays()
        if self._views is not None:
            arrays |= {f"views.{name}": values for name, values in self._views.arrays().items()}
        return StoreCheckpoint(len(self._frames), len(self._people), self.image_size, self._crop, depth_shape, arrays)

    def resume(self, checkpoint: StoreCheckpoint) -> None:
        """Return to a checkpoint of this folder: rows after it are dropped.

        Raises:
            FormatError: Rows are missing.
        """
        self._frames.cut(checkpoint.num_frames)
        self._people.cut(checkpoint.num_people)
        self._names.cut(int(self._frames.rows()["name_bytes"].sum()))
        if checkpoint.depth_shape is not None:
            self._open_maps(checkpoint.depth_shape)
            for spool in self._maps.values():
                spool.cut(checkpoint.num_frames)
        self.image_size, self._crop = checkpoint.image_size, checkpoint.crop
        self._scene.load_arrays(checkpoint.scene)
        if self._views is not None:
            prefix = "views."
            kept = {name[len(prefix) :]: values for name, values in checkpoint.scene.items() if name.startswith(prefix)}
            self._views.load_arrays(kept)

    def close(self) -> None:
        """Close the files; returned maps stay readable."""
        for spool in self._spools():
            spool.close()

    def _spools(self) -> tuple[RowSpool, ...]:
        return self._frames, self._people, self._names, *self._maps.values()


_MAX_HALF = 65504
"""Largest float16."""
_NAME_BYTE = np.dtype([("byte", "u1")])
"""Concatenated names of all frames, UTF-8."""
_FRAME_ROW = np.dtype(
    [
        ("frame_index", "<i8"),
        ("time_s", "<f8"),
        ("shot", "<i8"),
        ("name_bytes", "<i8"),
        ("change", "<f4"),
        ("focal_sigma", "<f4"),
        ("log_scale", "<f4"),
        ("K", "<f4", (3, 3)),
        ("T_world_camera", "<f4", (4, 4)),
    ]
)
