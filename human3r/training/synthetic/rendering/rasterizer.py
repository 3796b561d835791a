"""A z-buffer in numba: the visible triangle of each pixel and its depth.

It resolves visibility for cameras and shadow maps; ``shading`` computes colors. The buffer stores the *nearness* of a
sample: 1/z for a pinhole, -z for a parallel projection; larger is nearer.
"""

# Numba infers the types of kernels.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import numba
import numpy as np

NEAR_M = 0.02
"""Triangles are clipped at this camera z."""
NOTHING = -1e30
"""Nearness of a sample that no triangle covers; its face is -1."""


@numba.njit(cache=True, fastmath=True, inline="always")
def _fill(a, b, c, face, nearness, faces_seen):
    """Draw one projected triangle; corners are (x, y, q): pixels, and nearness (affine on the screen)."""
    (ax, ay, aq), (bx, by, bq), (cx, cy, cq) = a, b, c
    height, width = nearness.shape
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0.0:
        return
    row_0 = max(0, int(np.ceil(min(ay, by, cy))))
    row_1 = min(height - 1, int(np.floor(max(ay, by, cy))))
    column_0 = max(0, int(np.ceil(min(ax, bx, cx))))
    column_1 = min(width - 1, int(np.floor(max(ax, bx, cx))))
    if row_0 > row_1 or column_0 > column_1:
        return
    q_x = ((bq - aq) * (cy - ay) - (cq - aq) * (by - ay)) / area
    q_y = ((cq - aq) * (bx - ax) - (bq - aq) * (cx - ax)) / area
    sign = 1.0 if area > 0 else -1.0
    a0, b0 = -(by - ay) * sign, (bx - ax) * sign
    a1, b1 = -(cy - by) * sign, (cx - bx) * sign
    a2, b2 = -(ay - cy) * sign, (ax - cx) * sign
    c0 = -(a0 * ax + b0 * ay)
    c1 = -(a1 * bx + b1 * by)
    c2 = -(a2 * cx + b2 * cy)
    for row in range(row_0, row_1 + 1):
        left, right = float(column_0), float(column_1)
        e0, e1, e2 = b0 * row + c0, b1 * row + c1, b2 * row + c2
        left, right = _narrow(a0, e0, left, right)
        left, right = _narrow(a1, e1, left, right)
        left, right = _narrow(a2, e2, left, right)
        first, last = int(np.ceil(left)), int(np.floor(right))
        q = aq + q_x * (first - ax) + q_y * (row - ay)
        for column in range(first, last + 1):
            if q > nearness[row, column]:
                nearness[row, column] = q
                faces_seen[row, column] = face
            q += q_x


@numba.njit(cache=True, fastmath=True, inline="always")
def _narrow(slope, offset, left, right):
    """Keep the part of [left, right] where slope * x + offset >= 0, with slack against gaps at shared edges."""
    if slope > 1e-12:
        left = max(left, -offset / slope - 1e-6)
    elif slope < -1e-12:
        right = min(right, -offset / slope + 1e-6)
    elif offset < -1e-9:
        right = left - 1.0
    return left, right


@numba.njit(cache=True, fastmath=True, inline="always")
def _pinhole(vertices_camera, vertex, focal_x, focal_y, center_x, center_y):
    """Project one vertex in front of the camera to (x, y, nearness)."""
    q = 1.0 / float(vertices_camera[vertex, 2])
    return vertices_camera[vertex, 0] * q * focal_x + center_x, vertices_camera[vertex, 1] * q * focal_y + center_y, q


@numba.njit(cache=True, fastmath=True, inline="always")
def _parallel(vertices_light, vertex, scale, center_x, center_y):
    x, y, z = vertices_light[vertex, 0], vertices_light[vertex, 1], vertices_light[vertex, 2]
    return float(x * scale + center_x), float(y * scale + center_y), float(-z)


@numba.njit(cache=True, fastmath=True)
def draw_pinhole(vertices_camera, faces, focal_x, focal_y, center_x, center_y, nearness, faces_seen):
    """Draw triangles into the buffers of a pinhole camera.

    Args:
        vertices_camera: ``V 3`` float, OpenCV camera frame.
        faces: ``F 3`` int.
        focal_x: Pixels; ``focal_y``, ``center_x``, ``center_y`` likewise, (0, 0) is the center of the first pixel.
        focal_y: See ``focal_x``.
        center_x: See ``focal_x``.
        center_y: See ``focal_x``.
        nearness: ``H W`` float32, updated.
        faces_seen: ``H W`` int32, updated.
    """
    near = NEAR_M
    xs, ys, qs = np.empty(4), np.empty(4), np.empty(4)
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        z0, z1, z2 = float(vertices_camera[i, 2]), float(vertices_camera[j, 2]), float(vertices_camera[k, 2])
        if z0 < near and z1 < near and z2 < near:
            continue
        if z0 >= near and z1 >= near and z2 >= near:
            _fill(
                _pinhole(vertices_camera, i, focal_x, focal_y, center_x, center_y),
                _pinhole(vertices_camera, j, focal_x, focal_y, center_x, center_y),
                _pinhole(vertices_camera, k, focal_x, focal_y, center_x, center_y),
                face,
                nearness,
                faces_seen,
            )
            continue
        count = 0
        for corner in range(3):
            here, there = faces[face, corner], faces[face, (corner + 1) % 3]
            z_here, z_there = float(vertices_camera[here, 2]), float(vertices_camera[there, 2])
            if z_here >= near:
                xs[count] = vertices_camera[here, 0] / z_here * focal_x + center_x
                ys[count] = vertices_camera[here, 1] / z_here * focal_y + center_y
                qs[count] = 1.0 / z_here
                count += 1
            if (z_here >= near) != (z_there >= near):
                share = (near - z_here) / (z_there - z_here)
                x = vertices_camera[here, 0] + share * (vertices_camera[there, 0] - vertices_camera[here, 0])
                y = vertices_camera[here, 1] + share * (vertices_camera[there, 1] - vertices_camera[here, 1])
                xs[count] = x / near * focal_x + center_x
                ys[count] = y / near * focal_y + center_y
                qs[count] = 1.0 / near
                count += 1
        for last in range(2, count):
            _fill(
                (xs[0], ys[0], qs[0]),
                (xs[last - 1], ys[last - 1], qs[last - 1]),
                (xs[last], ys[last], qs[last]),
                face,
                nearness,
                faces_seen,
            )


@numba.njit(cache=True, fastmath=True)
def draw_parallel(vertices_light, faces, scale, center_x, center_y, nearness, faces_seen):
    """Draw triangles in parallel projection along z: column = x * scale + center_x, row = y * scale + center_y."""
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        _fill(
            _parallel(vertices_light, i, scale, center_x, center_y),
            _parallel(vertices_light, j, scale, center_x, center_y),
            _parallel(vertices_light, k, scale, center_x, center_y),
            face,
            nearness,
            faces_seen,
        )


def empty_buffers(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a cleared pair (nearness, faces_seen)."""
    return np.full((height, width), NOTHING, np.float32), np.full((height, width), -1, np.int32)
