"""Motion blur: the radiance of every pixel is spread along the image motion of its surface during the exposure.

Image motion follows from the exact depth, the camera motion and, on people, the motion of the nearest joint.
Depth, masks and poses are those of the middle of the exposure.
"""

from __future__ import annotations

import numba
import numpy as np
from scipy.spatial.transform import Rotation

from human3r.geometry.camera import project
from human3r.geometry.rigid import inverse_transform_points, transform_points
from human3r.training.synthetic.cameras import CameraPath
from human3r.training.synthetic.rendering.renderer import RenderedFrame

EXPOSURES_S = (1 / 500, 1 / 20)
"""Shortest and longest exposure: from bright sunlight to a dim room."""
_SKY_M = 1000.0
MIN_MOTION_PX = 0.7
"""Frames with less motion everywhere are not blurred."""


def draw_exposure(rng: np.random.Generator) -> float:
    """Return an exposure in seconds, drawn evenly over its logarithm."""
    return float(np.exp(rng.uniform(*np.log(EXPOSURES_S))))


def blurred_radiance(
    frames: list[RenderedFrame], camera: CameraPath, joints_scene: np.ndarray, time_s: np.ndarray, exposure_s: float
) -> np.ndarray:
    """Return the radiance of frames exposed for ``exposure_s`` around their times.

    Args:
        frames: The ``T`` frames without blur.
        camera: Poses of the same frames; linear motion in between.
        joints_scene: ``T P J 3`` meters, the people of ``person_index``.
        time_s: ``T``, at least two frames for blur.

    Returns:
        ``T H W 3`` float32 linear radiance.
    """
    radiance = np.stack([frame.radiance for frame in frames])
    for index, frame in enumerate(frames if len(frames) > 1 else []):
        after = min(index + 1, len(frames) - 1)
        share = exposure_s / (time_s[after] - time_s[after - 1])
        joints = joints_scene[index]
        drift = share * (joints_scene[after] - joints_scene[after - 1])
        T_now, T_later = camera.T_scene_camera[index], _later(camera.T_scene_camera, index, after, share)
        flow = surface_flow(frame, camera.K, T_now, T_later, joints, drift)
        if np.linalg.norm(flow, axis=-1).max() > MIN_MOTION_PX:
            radiance[index] = spread_along(frame.radiance, flow)
    return radiance


def surface_flow(
    frame: RenderedFrame,
    K: np.ndarray,
    T_scene_camera: np.ndarray,
    T_scene_later: np.ndarray,
    joints_scene: np.ndarray,
    drift_scene: np.ndarray,
) -> np.ndarray:
    """Return ``H W 2`` image motion (x, y) of each pixel's surface point until the later pose, pixels.

    Args:
        K: ``3 3``.
        T_scene_camera: ``4 4`` now.
        T_scene_later: ``4 4``.
        joints_scene: ``P J 3`` now.
        drift_scene: ``P J 3`` meters that the joints move until later.
    """
    height, width = frame.depth.shape
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float64)
    z = np.where(frame.depth > 0, frame.depth, _SKY_M)[..., None]
    rays = (pixels - K[:2, 2]) / K[[0, 1], [0, 1]]
    points = transform_points(T_scene_camera, np.concatenate([rays * z, z], -1))
    for person, (joints, drift) in enumerate(zip(joints_scene, drift_scene, strict=True)):
        here = frame.person_index == person + 1
        nearest = ((points[here][:, None] - joints) ** 2).sum(-1).argmin(1) if here.any() else []
        points[here] += drift[nearest]
    local = inverse_transform_points(T_scene_later, points)
    local[..., 2] = np.maximum(local[..., 2], 0.05)
    return project(local, K) - pixels


@numba.njit(cache=True)
def spread_along(radiance: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Spread each pixel of ``H W 3`` radiance evenly along its ``H W 2`` flow, centered on the pixel."""
    height, width = radiance.shape[:2]
    total = np.zeros((height, width, 3))
    weight = np.full((height, width), 1e-6)
    for row in range(height):
        for column in range(width):
            dx, dy = flow[row, column, 0], flow[row, column, 1]
            taps = min(int(np.sqrt(dx * dx + dy * dy)) + 1, 64)
            for tap in range(taps):
                along = (tap + 0.5) / taps - 0.5
                c, r = int(np.floor(column + along * dx + 0.5)), int(np.floor(row + along * dy + 0.5))
                if 0 <= r < height and 0 <= c < width:
                    weight[r, c] += 1.0 / taps
                    for channel in range(3):
                        total[r, c, channel] += radiance[row, column, channel] / taps
    blurred = radiance.copy()
    for row in range(height):
        for column in range(width):
            # Pixels that no radiance was spread to keep their own.
            if weight[row, column] > 1e-3:
                for channel in range(3):
                    blurred[row, column, channel] = total[row, column, channel] / weight[row, column]
    return blurred


def _later(T_scene_camera: np.ndarray, index: int, after: int, share: float) -> np.ndarray:
    """Return the pose ``share`` of the step between two frames later, ``4 4``."""
    T_before, T_after = T_scene_camera[after - 1], T_scene_camera[after]
    turn = Rotation.from_matrix(T_before[:3, :3].T @ T_after[:3, :3]).as_rotvec() * share
    T_later = T_scene_camera[index].copy()
    T_later[:3, :3] = T_later[:3, :3] @ Rotation.from_rotvec(turn).as_matrix()
    T_later[:3, 3] += share * (T_after[:3, 3] - T_before[:3, 3])
    return T_later
