"""Whole-image passes in numba: exact depth and normals, ambient occlusion, and shading with edge supersampling."""

# Numba infers the types of kernels.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import numba
import numpy as np

from human3r.training.synthetic.rendering.shading import hit_triangle, shade_sample


@numba.njit(cache=True, fastmath=True)
def resolve_depth(faces_seen, vertices_camera, faces, focal_x, focal_y, center_x, center_y):
    """Return camera z (``H W`` float32, 0 = nothing) and the geometric normal toward the camera (``H W 3``)."""
    height, width = faces_seen.shape
    depth = np.zeros((height, width), np.float32)
    normal = np.zeros((height, width, 3), np.float32)
    origin = (0.0, 0.0, 0.0)
    for row in range(height):
        for column in range(width):
            face = faces_seen[row, column]
            if face < 0:
                continue
            dx, dy = (column - center_x) / focal_x, (row - center_y) / focal_y
            depth[row, column], _, _ = hit_triangle(vertices_camera, faces, face, origin, dx, dy, 1.0)
            i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
            ax, ay, az = (
                vertices_camera[j, 0] - vertices_camera[i, 0],
                vertices_camera[j, 1] - vertices_camera[i, 1],
                vertices_camera[j, 2] - vertices_camera[i, 2],
            )
            bx, by, bz = (
                vertices_camera[k, 0] - vertices_camera[i, 0],
                vertices_camera[k, 1] - vertices_camera[i, 1],
                vertices_camera[k, 2] - vertices_camera[i, 2],
            )
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            scale = 1.0 / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-20)
            if nx * dx + ny * dy + nz > 0.0:
                scale = -scale
            normal[row, column, 0], normal[row, column, 1], normal[row, column, 2] = nx * scale, ny * scale, nz * scale
    return depth, normal


@numba.njit(cache=True, fastmath=True)
def ambient_occlusion(depth, normal, focal_x, focal_y, center_x, center_y, radius_m, strength):
    """Estimate from the depth image the share of ambient light that reaches every pixel, [0, 1].

    Source: horizon-free variant of Scalable Ambient Obscurance (McGuire 2012), 10 spiral taps in a 4x4 pattern,
    then a 4x4 box filter over neighbors of similar depth.
    """
    height, width = depth.shape
    raw = np.ones((height, width), np.float32)
    taps = 10
    spiral = np.empty((16, taps, 2))
    for pattern in range(16):
        for tap in range(taps):
            angle = tap * 2.39996 + pattern * 0.3927 * 2.4
            spiral[pattern, tap, 0] = (tap + 0.5) / taps * np.sin(angle)
            spiral[pattern, tap, 1] = (tap + 0.5) / taps * np.cos(angle)
    for row in range(height):
        for column in range(width):
            z = depth[row, column]
            if z <= 0.0:
                continue
            x, y = (column - center_x) / focal_x * z, (row - center_y) / focal_y * z
            nx, ny, nz = normal[row, column, 0], normal[row, column, 1], normal[row, column, 2]
            reach = min(radius_m * focal_x / z, 0.3 * width)
            if reach < 1.0:
                continue
            pattern = (row % 4) * 4 + (column % 4)
            total = 0.0
            for tap in range(taps):
                r = int(row + reach * spiral[pattern, tap, 0] + 0.5)
                c = int(column + reach * spiral[pattern, tap, 1] + 0.5)
                if r < 0 or c < 0 or r >= height or c >= width:
                    continue
                other = depth[r, c]
                if other <= 0.0:
                    continue
                vx, vy, vz = (c - center_x) / focal_x * other - x, (r - center_y) / focal_y * other - y, other - z
                squared = vx * vx + vy * vy + vz * vz
                rise = vx * nx + vy * ny + vz * nz - 0.012 * z * 0.3
                fade = max(0.0, 1.0 - squared / (radius_m * radius_m))
                total += fade * max(0.0, rise) / (np.sqrt(squared) + 0.02)
            raw[row, column] = max(0.0, 1.0 - strength * total * 2.0 / taps)
    smooth = np.ones((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            z = depth[row, column]
            if z <= 0.0:
                continue
            total, weight = 0.0, 0.0
            for r in range(max(0, row - 2), min(height, row + 2)):
                for c in range(max(0, column - 2), min(width, column + 2)):
                    if abs(depth[r, c] - z) < 0.05 * z:
                        total += raw[r, c]
                        weight += 1.0
            smooth[row, column] = total / max(weight, 1.0)
    return smooth


@numba.njit(cache=True, fastmath=True)
def shade_image(
    faces_seen,
    fine_faces,
    fine_nearness,
    factor,
    occlusion,
    group,
    K,
    R_scene_camera,
    camera,
    geometry,
    surfaces,
    lights,
):
    """Return linear radiance ``H W 3`` float32.

    A pixel whose sub-samples all show the same surface is shaded once; the others are shaded per sub-sample.

    Args:
        faces_seen: ``H W`` triangle at pixel centers.
        fine_faces: ``factor*H factor*W`` triangle at sub-samples.
        fine_nearness: Their nearness; a jump of 3 % within a pixel counts as an edge.
        factor: Sub-samples per side.
        occlusion: ``H W`` ambient visibility.
        group: ``F`` int32, equal for triangles that form one smooth surface.
        K: (focal x, focal y, center x, center y).
        R_scene_camera: ``3 3`` rotation from camera to scene.
        camera: Camera center in the scene, three floats.
        geometry: As in ``shade_sample``; ``surfaces`` and ``lights`` likewise.
    """
    height, width = faces_seen.shape
    focal_x, focal_y, center_x, center_y = K
    image = np.zeros((height, width, 3), np.float32)
    pixel_angle = 1.0 / focal_x
    R = R_scene_camera
    samples = factor * factor
    for row in range(height):
        for column in range(width):
            face = faces_seen[row, column]
            surface = group[face] if face >= 0 else -1
            is_uniform = True
            nearest, farthest = -1e30, 1e30
            for sub in range(samples):
                r, c = row * factor + sub // factor, column * factor + sub % factor
                nearest, farthest = max(nearest, fine_nearness[r, c]), min(farthest, fine_nearness[r, c])
                fine = fine_faces[r, c]
                if (group[fine] if fine >= 0 else -1) != surface or nearest > 1.03 * farthest > 0.0:
                    is_uniform = False
                    break
            count = 1 if is_uniform else samples
            for sub in range(count):
                x, y, seen = float(column), float(row), face
                if not is_uniform:
                    x += (sub % factor + 0.5) / factor - 0.5
                    y += (sub // factor + 0.5) / factor - 0.5
                    seen = fine_faces[row * factor + sub // factor, column * factor + sub % factor]
                cx, cy = (x - center_x) / focal_x, (y - center_y) / focal_y
                direction = (
                    R[0, 0] * cx + R[0, 1] * cy + R[0, 2],
                    R[1, 0] * cx + R[1, 1] * cy + R[1, 2],
                    R[2, 0] * cx + R[2, 1] * cy + R[2, 2],
                )
                red, green, blue = shade_sample(
                    direction, seen, occlusion[row, column], pixel_angle, camera, geometry, surfaces, lights
                )
                # Clamping keeps a single bright sub-sample from saturating its pixel.
                image[row, column, 0] += min(red, 12.0) / count
                image[row, column, 1] += min(green, 12.0) / count
                image[row, column, 2] += min(blue, 12.0) / count
    return image
