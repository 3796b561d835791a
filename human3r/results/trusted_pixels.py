"""Which pixels of a frame are trusted: one rule for the fused scene, the live view and the points of single frames."""

from __future__ import annotations

import numpy as np

from human3r.geometry.fusion import dilate
from human3r.geometry.rigid import inverse_transform_points
from human3r.records import FramePrediction
from human3r.skeleton import NUM_BODY_JOINTS, Joint, parent_joints

EDGE_TOLERANCE = 0.08
"""Relative depth step between neighboring pixels that separates two surfaces; see ``geometry.fusion.depth_edges``."""
_DROPPED_CONFIDENCE = 0.15
"""The least confident share of every frame's pixels is dropped; confidence has no unit across networks."""
_MIN_DEPTH_M, _MAX_DEPTH_M = 0.05, 80.0
"""Surfaces beyond are sky or errors."""
_PERSON_THRESHOLD = 0.3
"""Probability from which on a pixel shows a person."""
_MASK_GROWTH = 0.02
"""Person masks grow by this fraction of the image: their borders are soft."""
_LIMB_RADIUS_M, _TRUNK_RADIUS_M, _HEAD_RADIUS_M = 0.12, 0.24, 0.2
"""Half widths with clothes."""
_TRUNK = (
    *(Joint.PELVIS, Joint.LEFT_HIP, Joint.RIGHT_HIP, Joint.SPINE1, Joint.SPINE2, Joint.SPINE3),
    *(Joint.NECK, Joint.LEFT_COLLAR, Joint.RIGHT_COLLAR),
)
_STEPS = np.linspace(0, 1, 4, dtype=np.float32)
_CELL_PX = 4
_NEAR_M = 0.1


def trusted_pixels(prediction: FramePrediction) -> np.ndarray:
    """Return ``h w`` bool: pixels whose point in ``pointmap_camera`` is finite, within bounds and confident."""
    pointmap, confidence = prediction.pointmap_camera.numpy(), prediction.confidence.numpy()
    depth = pointmap[..., 2]
    is_trusted = (confidence > 0) & (depth > _MIN_DEPTH_M) & (depth < _MAX_DEPTH_M)
    if not is_trusted.any():
        return is_trusted
    # A quarter of the rows gives nearly the quantile of all of them.
    is_trusted &= confidence >= np.quantile(confidence[::4], _DROPPED_CONFIDENCE)
    # Depths within bounds are finite; a sum is finite where both terms are.
    return is_trusted & np.isfinite(pointmap[..., 0] + pointmap[..., 1])


def scene_pixels(prediction: FramePrediction) -> np.ndarray:
    """Return ``h w`` bool: trusted pixels that show no person, by the person mask and by the posed skeletons."""
    is_scene = trusted_pixels(prediction)
    if not is_scene.any():
        return is_scene
    is_person = prediction.person_mask.numpy() > _PERSON_THRESHOLD
    if is_person.any():
        is_scene &= ~dilate(is_person, max(1, round(_MASK_GROWTH * max(is_person.shape))))
    return is_scene & ~people_pixels(prediction)


def people_pixels(prediction: FramePrediction) -> np.ndarray:
    """Return ``h w`` bool: pixels within a body's width of a projected bone."""
    height, width = prediction.person_mask.shape
    if len(prediction.people) == 0:
        return np.zeros((height, width), dtype=bool)
    centers, radii = _discs(prediction, (height, width))
    shape = (-(-height // _CELL_PX), -(-width // _CELL_PX))
    covered = np.zeros(shape, dtype=bool)
    # In cells, whose centers are whole numbers.
    centers, radii = centers / _CELL_PX - 0.5, radii / _CELL_PX
    limit = np.array([shape[1], shape[0]])
    low = np.ceil(centers - radii[:, None]).clip(0, limit).astype(np.int64).tolist()
    high = (np.floor(centers + radii[:, None]) + 1).clip(0, limit).astype(np.int64).tolist()
    squared_x = (np.arange(shape[1], dtype=np.float32) - centers[:, :1]) ** 2 - radii[:, None] ** 2
    squared_y = (np.arange(shape[0], dtype=np.float32) - centers[:, 1:]) ** 2
    for index, ((left, top), (right, bottom)) in enumerate(zip(low, high, strict=True)):
        # Only the cells of the disc's square are touched: the cost follows the people's size, not the image's.
        inside = squared_y[index, top:bottom, None] < -squared_x[index, left:right]
        covered[top:bottom, left:right] |= inside
    return covered.repeat(_CELL_PX, axis=0).repeat(_CELL_PX, axis=1)[:height, :width]


def _discs(prediction: FramePrediction, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return ``n 2`` (x, y) centers and ``n`` radii, both in network pixels."""
    camera = prediction.camera
    T = camera.T_world_camera.numpy()
    joints = prediction.joints_world[:, :NUM_BODY_JOINTS].numpy()
    joints_camera = inverse_transform_points(T, joints)
    starts = parent_joints(joints_camera)
    along = starts[:, :, None] + (joints_camera - starts)[:, :, None] * _STEPS[:, None]
    radius_m = np.full(NUM_BODY_JOINTS, _LIMB_RADIUS_M, dtype=np.float32)
    radius_m[list(_TRUNK)] = _TRUNK_RADIUS_M
    radius_m[Joint.HEAD] = _HEAD_RADIUS_M
    radius_m = np.broadcast_to(radius_m[None, :, None], along.shape[:3])
    x0, y0, x1, y1 = prediction.source_rect_px
    scale = np.array([size[1] / (x1 - x0), size[0] / (y1 - y0)], dtype=np.float32)
    K = camera.K.numpy()
    depth = np.maximum(along[..., 2], _NEAR_M)
    source = along[..., :2] / depth[..., None] * K[[0, 1], [0, 1]] + K[:2, 2]
    centers = (source + 0.5 - np.array([x0, y0], dtype=np.float32)) * scale - 0.5
    radii = radius_m * K[0, 0] * scale[0] / depth + _CELL_PX / 2
    is_ahead = along[..., 2] > _NEAR_M
    return centers[is_ahead], radii[is_ahead]
