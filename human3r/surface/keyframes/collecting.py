"""Collect keyframes during a run: depth and picture of every new view, without people, in bounded memory.

A static camera gives one keyframe, the median of looks spread over the clip; a moving camera gives one for every new
view.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from human3r.results.scene_fusion import is_still
from human3r.results.trusted_pixels import person_pixels, trusted_pixels
from human3r.surface.keyframes.clean_plate import median_depth, median_picture
from human3r.surface.keyframes.looks import Lens, Look
from human3r.surface.people_colors import PeopleColorCollector, PeopleColors

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.records import Camera, FramePrediction

MAX_PICTURE_PX = 2048
"""Longer side of a keyframe's picture."""
MAX_KEYFRAMES = 24
"""Maximum number; when exceeded, every second is dropped and new ones must show more."""
MAX_LOOKS = 12
"""Maximum number of looks at one view; when exceeded, every second is dropped and the interval doubled."""
_FIRST_INTERVAL_S = 0.1
_NEAR_SLACK = 25.0
"""Frames of a camera that moved up to this many times further than a still one are looks at the same view."""
_NEW_SHARE = 0.1
"""A view is new when this share of what it shows is in no other keyframe."""
_MORE_NEW = 1.5
"""Factor on the share whenever keyframes were dropped."""
_PROBE_STEP_PX = 8
"""Step of the rows and columns of a frame that decide whether its view is new."""
_SAME_DEPTH = 0.3
"""A keyframe shows a point if it has a surface within this fraction of the point's depth."""
_MUCH_NEARER = 0.5
"""What is seen from less than this fraction of a keyframe's distance is new."""
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class Keyframe:
    """One view of the scene without people."""

    frame_index: int
    """Frame of the source clip whose camera sees this view."""
    depth: np.ndarray
    """``h w`` float16: camera z in the scale and lens that the stream had at this frame, meters; 0 where the scene was
    never visible."""
    rect_px: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the source frame that ``depth`` covers, pixel edges."""
    picture: bytes
    """JPEG of the whole upright frame, at most ``MAX_PICTURE_PX`` long."""


@dataclass
class _View:
    """A keyframe in the making."""

    frame_index: int
    shot: int
    lens: Lens
    depth: np.ndarray
    """Of the first look; of the keyframe when it is finished."""
    log_unit: float
    """Of the first look's depth; depths of later frames are brought to it."""
    median_depth: float
    looks: list[Look] = field(default_factory=list)
    interval_s: float = _FIRST_INTERVAL_S
    last_s: float = -np.inf

    def is_near(self, T_world_camera: np.ndarray) -> bool:
        """Return whether a camera is close enough for its frames to be looks at this view."""
        return is_still(self.lens.T_world_camera, T_world_camera, self.median_depth, slack=_NEAR_SLACK)

    def add(self, look: Look, time_s: float) -> None:
        if len(self.looks) == MAX_LOOKS:
            self.looks = self.looks[::2]
            self.interval_s *= 2
        self.looks.append(look)
        self.last_s = time_s

    def shows(self, points_world: np.ndarray, distance: np.ndarray, K: np.ndarray, *, fills: bool) -> np.ndarray:
        """Return ``n`` bool: the view shows points that another frame sees from ``distance``, about as well.

        With ``fills`` it is enough that they are in the picture, whatever stands there now. ``K`` is that of the other
        frame: a shot has one lens, whose estimate settles.
        """
        height, width = self.depth.shape
        row, column, z = replace(self.lens, K=K).project(points_world, (height, width))
        row, column = np.round(row), np.round(column)
        is_inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        here = self.depth[np.where(is_inside, row, 0).astype(int), np.where(is_inside, column, 0).astype(int)]
        is_there = is_inside if fills else is_inside & (np.abs(here - z) < _SAME_DEPTH * z)
        return is_there & (distance > _MUCH_NEARER * z)

    def finish(self, *, stands: bool) -> Keyframe:
        """Return the keyframe; with ``stands`` the camera has no other view in its shot."""
        first = self.looks[0]
        is_still = all(look.is_still(self.lens, self.median_depth) for look in self.looks)
        looks = (
            self.looks if is_still else [first, *(look.seen_from(self.lens, first.depth) for look in self.looks[1:])]
        )
        depth = median_depth(_leveled([look.depth for look in looks]))
        hidden = [self.lens.on_picture(look.is_hidden, look.picture.shape) for look in looks]
        picture = median_picture([look.picture for look in looks], hidden)
        if not is_still:
            # Corrections of a moving camera's views are for the depth of single frames, whose scale differs.
            is_common = (first.depth > 0) & (depth > 0)
            if not stands and is_common.any():
                depth *= np.median(first.depth[is_common] / depth[is_common])
            # The frame itself is sharp, which the middle of others that moved is not.
            picture = np.where(hidden[0][..., None], picture, first.picture)
        return Keyframe(self.frame_index, depth.astype(np.float16), self.lens.rect_px, encode_jpeg(picture))


def _leveled(depths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return depth maps of one view at their middle scale: single frames differ, early ones by up to a half."""
    first = depths[0]
    factors = []
    for depth in depths:
        is_common = (depth > 0) & (first > 0)
        factors.append(float(np.median(first[is_common] / depth[is_common])) if is_common.any() else 1.0)
    middle = float(np.median(factors))
    return [depth * np.float32(factor / middle) for depth, factor in zip(depths, factors, strict=True)]


class KeyframeCollector:
    """Takes the frames of a run and keeps its keyframes; ``finish`` returns them.

    Args:
        body: The body model of the run, for the colors of its people; without it they are not kept.
    """

    def __init__(self, body: SmplxBody | None = None) -> None:
        self._people = PeopleColorCollector(body) if body is not None else None
        self._finished: list[Keyframe] = []
        self._views: list[_View] = []
        """All of them; those before the last are finished and have no looks."""
        self._new_share = _NEW_SHARE
        self._awaits_source = False
        self._log_unit = 0.0
        """Of the latest look's depth."""
        self.num_begun = 0
        """Views so far."""
        self.num_looks = 0
        """Frames that were taken as looks at the newest view."""

    def add(self, prediction: FramePrediction) -> None:
        """Take the next frame."""
        if self._people is not None:
            self._people.add(prediction)
        self._awaits_source = False
        lens = lens_of(prediction)
        view = self._views[-1] if self._views else None
        is_same_shot = view is not None and view.shot == prediction.shot
        is_near = view is not None and is_same_shot and view.is_near(lens.T_world_camera)
        if view is not None and is_near and 0 <= prediction.time_s - view.last_s < view.interval_s:
            return
        is_person = person_pixels(prediction)
        depth = np.where(trusted_pixels(prediction) & ~is_person, prediction.pointmap_camera[..., 2].numpy(), 0)
        if not depth.any():
            return
        log_unit = _log_unit(prediction.camera)
        if view is None or not is_same_shot or self._is_new(prediction.shot, lens, depth, is_near):
            view = self._begin(prediction, lens, depth, log_unit)
        elif not is_near:
            return
        depth = depth * np.exp(view.log_unit - log_unit)
        view.add(Look(depth.astype(np.float32), is_person, prediction.image.numpy(), lens), prediction.time_s)
        self._log_unit = log_unit
        self.num_looks += 1
        self._awaits_source = True

    def add_source(self, image: np.ndarray) -> None:
        """Take the upright source frame ``H W 3`` uint8 of the frame that was added last."""
        if self._people is not None:
            self._people.add_source(image)
        if self._awaits_source:
            looks = self._views[-1].looks
            looks[-1] = replace(looks[-1], picture=shrunk(image))
            self._awaits_source = False

    def newest(self) -> tuple[Keyframe, Lens, int]:
        """Return the keyframe in the making, in the stream's latest scale, its camera and its shot.

        There is one after the first look.
        """
        view = self._views[-1]
        keyframe = self.finish()[-1]
        latest = keyframe.depth * np.float16(np.exp(self._log_unit - view.log_unit))
        return replace(keyframe, depth=latest), view.lens, view.shot

    def finish(self) -> list[Keyframe]:
        """Return the keyframes so far, in order; more frames may follow."""
        return self._keyframes()

    def people_colors(self) -> PeopleColors:
        """Return the clip's colors of those who were seen well enough."""
        return self._people.finish() if self._people is not None else {}

    def _begin(self, prediction: FramePrediction, lens: Lens, depth: np.ndarray, log_unit: float) -> _View:
        self._finished = self._keyframes(next_shot=prediction.shot)
        for view, keyframe in zip(self._views[-1:], self._finished[-1:], strict=True):
            view.depth = keyframe.depth
        for view in self._views:
            view.looks = []
        if len(self._views) == MAX_KEYFRAMES:
            self._finished, self._views = self._finished[::2], self._views[::2]
            self._new_share = min(_MORE_NEW * self._new_share, 0.9)
        self.num_begun, self.num_looks = self.num_begun + 1, 0
        middle = float(np.median(depth[depth > 0]))
        self._views.append(_View(prediction.frame_index, prediction.shot, lens, depth, log_unit, middle))
        return self._views[-1]

    def _keyframes(self, next_shot: int | None = None) -> list[Keyframe]:
        """Return all of them; ``next_shot`` is that of a view that begins."""
        shots = [*(view.shot for view in self._views), next_shot]
        newest = (view.finish(stands=shots.count(view.shot) == 1) for view in self._views[-1:])
        return [*self._finished, *newest]

    def _is_new(self, shot: int, lens: Lens, depth: np.ndarray, is_near: bool) -> bool:
        """Return whether enough of a frame's depth is not shown; one that is a look at the last view fills its gaps."""
        is_probe = np.zeros(depth.shape, dtype=bool)
        is_probe[_PROBE_STEP_PX // 2 :: _PROBE_STEP_PX, _PROBE_STEP_PX // 2 :: _PROBE_STEP_PX] = True
        is_probe &= depth > 0
        if not is_probe.any():
            return False
        points, distance = lens.points(depth)[is_probe], depth[is_probe]
        is_shown = np.zeros(len(points), dtype=bool)
        for view in (view for view in reversed(self._views) if view.shot == shot):
            is_shown |= view.shows(points, distance, lens.K, fills=is_near and view is self._views[-1])
            if np.mean(~is_shown) < self._new_share:
                return False
        return True


def _log_unit(camera: Camera) -> float:
    """Return the logarithm of what the stream's depth is a multiple of: the scale and focal length that it then had."""
    return 0.0 if camera.log_scale is None else float(camera.log_scale + camera.K[0, 0].log())


def lens_of(prediction: FramePrediction) -> Lens:
    """Return the camera of a frame."""
    camera = prediction.camera
    T_world_camera, K = (matrix.numpy().astype(np.float64) for matrix in (camera.T_world_camera, camera.K))
    return Lens(T_world_camera, K, prediction.source_rect_px, camera.image_size)


def encode_jpeg(picture: np.ndarray, quality: int = _JPEG_QUALITY) -> bytes:
    """Return ``H W 3`` uint8 as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def shrunk(image: np.ndarray) -> np.ndarray:
    """Return ``H W 3`` uint8, scaled down where it is longer than a keyframe's picture may be."""
    longest = max(image.shape[:2])
    if longest <= MAX_PICTURE_PX:
        return image
    height, width = (max(1, round(side * MAX_PICTURE_PX / longest)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX, reducing_gap=2))
