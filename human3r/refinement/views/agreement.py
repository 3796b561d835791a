"""Make the views of a moving camera agree: correct path and depth of a shot, and move people and points with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.geometry.rigid import inverse_transform_points, transform_points
from human3r.refinement.views.bundle import MAX_NOISE_PX, Bundle, adjusted, detailed, noise_of
from human3r.refinement.views.tracking import Tracker
from human3r.refinement.world.depth_correction import ViewDepth
from human3r.refinement.world.shots import Shot, moved_people
from human3r.results.scene_views import SceneView

_STEPS = (4, 2, 2)
"""Steps of the fit in each round; before it patches are followed again."""
_MIN_POINTS = 75
"""Points followed per view; with fewer, the stream's path and depth are better. Chosen on 21 rendered clips."""


def with_agreeing_views(shot: Shot, views: Sequence[SceneView], first_row: int) -> Shot:
    """Return the shot with the path and depth on which its views agree; unchanged where they share too little.

    Args:
        shot: With one lens.
        views: Of the clip.
        first_row: Processed frame of the clip that is the shot's first.
    """
    count = len(shot.cameras.time_s)
    own = [view for view in views if first_row <= view.row < first_row + count]
    own = [view for view in own if view.gray.shape == own[0].gray.shape and view.rect_px == own[0].rect_px]
    if len(own) < 2:
        return shot
    frame = np.array([view.row for view in own]) - first_row
    growth = np.broadcast_to(shot.depth_growth, count)[frame]
    middle_m = float(
        np.median(np.concatenate([view.depth[view.depth > 0] * by for view, by in zip(own, growth, strict=True)]))
    )
    K = network_intrinsics(shot.cameras.K[frame[0]].astype(np.float64), own[0])
    start = Bundle.of(shot.cameras.T_world_camera[frame].astype(np.float64))
    fitted = fit(Tracker(own, growth, middle_m, K), start, K, middle_m)
    if fitted is None:
        return shot
    return apply(shot, fitted.T_world_camera, ViewDepth(frame, fitted.total(), middle_m))


def fit(tracker: Tracker, start: Bundle, K: np.ndarray, middle_m: float) -> Bundle | None:
    """Return the bundle on which the views agree, or None if they share too few points; ``start`` is the stream's."""
    now = start
    for turn, steps in enumerate(_STEPS):
        tracks = tracker.tracks(now, fine_only=turn > 0)
        if sum(len(track.rays) for track in tracks) < _MIN_POINTS * len(now.log_depth):
            return None
        noise_px = noise_of(now, tracks, K) if turn else MAX_NOISE_PX
        now = adjusted(start, now, tracks, K, middle_m, steps, noise_px)
        now = detailed(now, tracks, K, noise_px)
    return now


def network_intrinsics(K: np.ndarray, view: SceneView) -> np.ndarray:
    """Return ``3 3`` intrinsics in pixels of a view's picture, given those of the source."""
    x0, y0, x1, y1 = view.rect_px
    height, width = view.gray.shape
    scale = np.array([width / (x1 - x0), height / (y1 - y0)])
    found = np.eye(3)
    found[0, 0], found[1, 1] = K[[0, 1], [0, 1]] * scale
    found[:2, 2] = (K[:2, 2] + 0.5 - [x0, y0]) * scale - 0.5
    return found


def apply(shot: Shot, T_world_view: np.ndarray, depth: ViewDepth) -> Shot:
    """Return the shot with other cameras and depths at some frames, and what lies between in between."""
    cameras, points, frames = shot.cameras, shot.points, shot.point_frame
    before = cameras.T_world_camera.astype(np.float64)
    after = _between(before, T_world_view, depth.frame)
    in_camera = inverse_transform_points(before[frames], points[:, None])[:, 0]
    pixels = cameras.project(points[:, None], frames)[:, 0]
    for frame in np.unique(frames):
        rows = frames == frame
        in_camera[rows] *= depth.factor(frame, pixels[rows], in_camera[rows, 2], cameras.image_size)[:, None]
    moved = replace(cameras, T_world_camera=after.astype(np.float32))
    change = after @ np.linalg.inv(before)
    return replace(
        shot,
        cameras=moved,
        people=moved_people(shot.people, change[shot.people.person_frame]),
        points=transform_points(after[frames], in_camera[:, None])[:, 0],
        view_depth=depth,
    )


def _between(before: np.ndarray, T_world_view: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return ``T 4 4`` cameras that move with those of the views before and after them."""
    change = T_world_view @ np.linalg.inv(before[frame])
    time = np.arange(len(before))
    right = np.searchsorted(frame, time).clip(0, len(frame) - 1)
    left = np.where(frame[right] > time, right - 1, right).clip(0)
    share = np.where(right > left, (time - frame[left]) / np.maximum(frame[right] - frame[left], 1), 0.0)
    from_left, from_right = change[left] @ before, change[right] @ before
    turn = (Rotation.from_matrix(from_left[:, :3, :3]).inv() * Rotation.from_matrix(from_right[:, :3, :3])).as_rotvec()
    found = from_left.copy()
    found[:, :3, :3] = (
        Rotation.from_matrix(from_left[:, :3, :3]) * Rotation.from_rotvec(share[:, None] * turn)
    ).as_matrix()
    found[:, :3, 3] += share[:, None] * (from_right - from_left)[:, :3, 3]
    return found
