"""Trusted pixels of a frame: one rule for the fused scene, the live view and the points of single frames."""

from __future__ import annotations

import numpy as np

from human3r.geometry.fusion import connected_parts, dilate
from human3r.geometry.rigid import inverse_transform_points
from human3r.records import FramePrediction
from human3r.skeleton import NUM_BODY_JOINTS, Joint, parent_joints

EDGE_TOLERANCE = 0.08
"""Relative depth step between neighboring pixels that separates two surfaces; see ``geometry.fusion.depth_edges``."""
_MIN_CONFIDENCE = 0.02
"""Smallest confidence - 1 relative to the median's, since the scale of confidence differs across networks."""
_SKY_CONFIDENCE = 0.25
"""The same for pixels that resemble sky: bright, gray or blue, textureless, and connected to the upper border."""
_SKY_DEPTH = 1.4
"""Smallest depth of sky relative to the median's: networks put it behind everything else."""
_SKY_BRIGHTNESS, _SKY_BLUE, _SKY_TEXTURE = 120, -8, 10
"""Smallest green; smallest blue minus red; largest difference of green from its surroundings. Of 255."""
_SKY_WINDOW_PX = 5
_MIN_DEPTH_M, _MAX_DEPTH_M = 0.05, 80.0
"""Surfaces beyond are sky or errors, meters."""
_PERSON_THRESHOLD = 0.3
"""Probability above which a pixel shows a person."""
_MIN_PERSON = 1e-3
"""Components of the person mask that cover less of the image, away from every skeleton, are discarded."""
_MASK_GROWTH = 0.01
"""Dilation of person masks, whose borders are soft, as a fraction of the image."""
_LIMB_RADIUS_M, _TRUNK_RADIUS_M, _HEAD_RADIUS_M = 0.12, 0.24, 0.2
"""Half widths of limbs with clothes, meters."""
_BODY_DEPTH = 1.2
"""Largest ratio of a body's predicted surface depth to that of its bones, whose scales differ."""
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
    # A quarter of the rows gives nearly the median of all of them.
    middle = max(float(np.median(confidence[::4])) - 1, 0.0)
    is_trusted &= confidence >= 1 + _MIN_CONFIDENCE * middle
    is_far = depth > _SKY_DEPTH * np.median(depth[::4])
    is_trusted &= ~_sky(prediction.image.numpy(), is_far & (confidence < 1 + _SKY_CONFIDENCE * middle))
    # Depths within bounds are finite; a sum is finite where both terms are.
    return is_trusted & np.isfinite(pointmap[..., 0] + pointmap[..., 1])


def _sky(image: np.ndarray, is_doubtful: np.ndarray) -> np.ndarray:
    """Return ``h w`` bool: the doubtful pixels that resemble sky, which has no depth."""
    red, green, blue = (image[..., channel].astype(np.float32) for channel in range(3))
    is_candidate = is_doubtful & (green > _SKY_BRIGHTNESS) & (blue - red > _SKY_BLUE)
    if not is_candidate[0].any():
        return np.zeros_like(is_doubtful)
    from scipy.ndimage import uniform_filter

    is_candidate &= np.abs(green - uniform_filter(green, _SKY_WINDOW_PX)) < _SKY_TEXTURE
    parts = connected_parts(is_candidate)
    return is_candidate & np.isin(parts, np.unique(parts[0]))


def scene_pixels(prediction: FramePrediction) -> np.ndarray:
    """Return ``h w`` bool: trusted pixels without people, by the person mask and the posed skeletons."""
    is_scene = trusted_pixels(prediction)
    return is_scene & ~person_pixels(prediction) if is_scene.any() else is_scene


def person_pixels(prediction: FramePrediction) -> np.ndarray:
    """Return ``h w`` bool: pixels that may show a person, by the person mask and by the posed skeletons."""
    is_person, is_body = prediction.person_mask.numpy() > _PERSON_THRESHOLD, people_pixels(prediction)
    if is_person.any():
        parts = connected_parts(_opened(is_person))
        is_kept = np.bincount(parts.reshape(-1)) >= _MIN_PERSON * parts.size
        is_kept[parts[is_body]] = True
        is_kept[0] = False
        is_person = dilate(is_kept[parts], max(1, round(_MASK_GROWTH * max(is_person.shape))))
    return is_person | is_body


def _opened(mask: np.ndarray) -> np.ndarray:
    """Remove what is thinner than three pixels; outside of the image there is nothing."""
    around = np.pad(~mask, 1, constant_values=True)
    return dilate(~dilate(around, 1)[1:-1, 1:-1], 1)


def people_pixels(prediction: FramePrediction) -> np.ndarray:
    """Return ``h w`` bool: pixels within a body's width of a projected bone whose surface is not far behind it."""
    height, width = prediction.person_mask.shape
    if len(prediction.people) == 0:
        return np.zeros((height, width), dtype=bool)
    centers, radii, bone_depth = _discs(prediction, (height, width))
    shape = (-(-height // _CELL_PX), -(-width // _CELL_PX))
    covered = np.zeros(shape, dtype=bool)
    depth = prediction.pointmap_camera[_CELL_PX // 2 :: _CELL_PX, _CELL_PX // 2 :: _CELL_PX, 2].numpy()
    depth = np.pad(depth, [(0, full - part) for full, part in zip(shape, depth.shape, strict=True)], mode="edge")
    farthest = bone_depth * _BODY_DEPTH + _TRUNK_RADIUS_M
    # In cells, whose centers are integers.
    centers, radii = centers / _CELL_PX - 0.5, radii / _CELL_PX
    limit = np.array([shape[1], shape[0]])
    low = np.ceil(centers - radii[:, None]).clip(0, limit).astype(np.int64).tolist()
    high = (np.floor(centers + radii[:, None]) + 1).clip(0, limit).astype(np.int64).tolist()
    squared_x = (np.arange(shape[1], dtype=np.float32) - centers[:, :1]) ** 2 - radii[:, None] ** 2
    squared_y = (np.arange(shape[0], dtype=np.float32) - centers[:, 1:]) ** 2
    for index, ((left, top), (right, bottom)) in enumerate(zip(low, high, strict=True)):
        # Only the cells of the disc's square are computed: the cost depends on the size of people, not of the image.
        inside = squared_y[index, top:bottom, None] < -squared_x[index, left:right]
        covered[top:bottom, left:right] |= inside & ~(depth[top:bottom, left:right] > farthest[index])
    return covered.repeat(_CELL_PX, axis=0).repeat(_CELL_PX, axis=1)[:height, :width]


def _discs(prediction: FramePrediction, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``n 2`` (x, y) centers and ``n`` radii, both in network pixels, and ``n`` depths in meters."""
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
    return centers[is_ahead], radii[is_ahead], depth[is_ahead]
