"""Views of a moving camera in bounded memory: small pictures and depths, to align the finished clip with itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from human3r.records import FramePrediction
from human3r.results.scene_fusion import is_still
from human3r.results.trusted_pixels import scene_pixels

LATTICE_PX = 4
"""Depth is kept at the centers of squares of this side."""
MAX_VIEWS = 40
"""When exceeded, every second view is dropped and the next ones lie farther apart. About 4 MB."""
_SLACK = 4.0
"""A camera that moved less than this many times as far as a still one repeats its last view."""


@dataclass(frozen=True)
class SceneView:
    """One frame."""

    row: int
    """Processed frame."""
    gray: np.ndarray
    """``h w`` uint8, network's view of the frame."""
    depth: np.ndarray
    """``h/4 w/4`` float32 meters in the middle of each square; 0 on people and where it is not trusted."""
    rect_px: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the source frame that the picture covers, pixel edges."""


class ViewCollector:
    """Takes every frame and keeps those from which the camera has moved on, and the last."""

    def __init__(self) -> None:
        self._views: list[SceneView] = []
        self._slack = _SLACK
        self._last: tuple[int, np.ndarray, float] | None = None
        self._num_in_shot = 0
        self._skipped: tuple[FramePrediction, int] | None = None

    def add(self, prediction: FramePrediction, row: int) -> None:
        """Take processed frame ``row``."""
        if self._skipped is not None and self._skipped[0].shot != prediction.shot:
            self.finish()
        self._skipped = prediction, row
        if self._has_moved(prediction, self._slack):
            self._keep()

    def _has_moved(self, prediction: FramePrediction, slack: float) -> bool:
        if self._last is None or self._last[0] != prediction.shot:
            return True
        _, T_before, distance = self._last
        return not is_still(T_before, prediction.camera.T_world_camera.numpy(), distance, slack=slack)

    def _keep(self) -> None:
        """Keep the frame that came last."""
        assert self._skipped is not None
        (prediction, row), self._skipped = self._skipped, None
        depth = np.where(scene_pixels(prediction), prediction.pointmap_camera[..., 2].numpy(), 0)
        depth = depth[LATTICE_PX // 2 :: LATTICE_PX, LATTICE_PX // 2 :: LATTICE_PX].astype(np.float32)
        if not depth.any():
            return
        is_same_shot = self._last is not None and self._last[0] == prediction.shot
        self._num_in_shot = self._num_in_shot + 1 if is_same_shot else 1
        gray = prediction.image.numpy() @ np.array([0.299, 0.587, 0.114], np.float32)
        self._last = prediction.shot, prediction.camera.T_world_camera.numpy(), float(np.median(depth[depth > 0]))
        self._views.append(SceneView(row, gray.round().astype(np.uint8), depth, prediction.source_rect_px))
        if len(self._views) > MAX_VIEWS:
            self._views = self._views[::2]
            self._slack *= 2

    def finish(self) -> list[SceneView]:
        """Return the views; a moving camera gives another if it moved at all since its last one."""
        if self._skipped is not None and self._num_in_shot > 1 and self._has_moved(self._skipped[0], 1.0):
            self._keep()
        return list(self._views)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state, by name, without the last frame, which more will follow; see ``load_arrays``."""
        kept = {"slack": np.array(self._slack), "num_in_shot": np.array(self._num_in_shot)}
        kept |= {"row": np.array([view.row for view in self._views], np.int64)}
        for number, view in enumerate(self._views):
            kept |= {
                f"{number}.gray": view.gray,
                f"{number}.depth": view.depth,
                f"{number}.rect": np.array(view.rect_px),
            }
        if self._last is not None:
            kept |= {"shot": np.array(self._last[0]), "T": self._last[1], "distance": np.array(self._last[2])}
        return kept

    def load_arrays(self, kept: Mapping[str, np.ndarray]) -> None:
        """Restore what ``arrays`` returned."""
        self._slack, self._num_in_shot = float(kept["slack"]), int(kept["num_in_shot"])
        self._views = [
            SceneView(int(row), kept[f"{n}.gray"], kept[f"{n}.depth"], tuple(kept[f"{n}.rect"].tolist()))
            for n, row in enumerate(kept["row"])
        ]
        self._last = (int(kept["shot"]), kept["T"], float(kept["distance"])) if "shot" in kept else None
