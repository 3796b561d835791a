"""Deferred shading in numba: color of a sample from its triangle, textures, lights, shadow maps and environment.

All colors are linear RGB radiance. The tables are plain arrays (numba takes no records); their columns are named here:
``materials`` as ``Material.row``; ``lamps``: position 3, intensity 3, radius, row of the shadow map or -1;
``panels`` (windows and other large soft lights): center 3, normal 3, radiance 3, area.
"""

# Numba infers the types of kernels.
# pyright: reportMissingParameterType=false
from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, fastmath=True, inline="always")
def _texel(pixels, offset, height, width, row, column, to_linear):
    at = offset + ((row % height) * width + (column % width)) * 3
    return to_linear[pixels[at]], to_linear[pixels[at + 1]], to_linear[pixels[at + 2]]


@numba.njit(cache=True, fastmath=True)
def sample_texture(pixels, table, texture, u, v, footprint, to_linear):
    """Sample a repeating texture, bilinear in one mip level; ``footprint`` is the pixel's size in repeats."""
    levels = table[texture, 0, 3]
    size = max(table[texture, 0, 1], table[texture, 0, 2])
    level = 0
    extent = footprint * size
    while extent > 1.4 and level < levels - 1:
        extent *= 0.5
        level += 1
    offset, height, width = table[texture, level, 0], table[texture, level, 1], table[texture, level, 2]
    x = u * width - 0.5
    y = (1.0 - v) * height - 0.5
    column, row = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - column, y - row
    r00, g00, b00 = _texel(pixels, offset, height, width, row, column, to_linear)
    r01, g01, b01 = _texel(pixels, offset, height, width, row, column + 1, to_linear)
    r10, g10, b10 = _texel(pixels, offset, height, width, row + 1, column, to_linear)
    r11, g11, b11 = _texel(pixels, offset, height, width, row + 1, column + 1, to_linear)
    w00, w01, w10, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    return (
        r00 * w00 + r01 * w01 + r10 * w10 + r11 * w11,
        g00 * w00 + g01 * w01 + g10 * w10 + g11 * w11,
        b00 * w00 + b01 * w01 + b10 * w10 + b11 * w11,
    )


@numba.njit(cache=True, fastmath=True, inline="always")
def _mixed(pixels, r0, r1, c0, c1, weights, channel):
    upper = pixels[r0, c0, channel] * weights[0] + pixels[r0, c1, channel] * weights[1]
    return upper + pixels[r1, c0, channel] * weights[2] + pixels[r1, c1, channel] * weights[3]


@numba.njit(cache=True, fastmath=True)
def sample_environment(environment, x, y, z):
    """Look up an equirectangular map ``h w 3`` (first row is up) in a direction, bilinear."""
    height, width = environment.shape[0], environment.shape[1]
    column = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * width - 0.5
    row = np.arccos(min(1.0, max(-1.0, y))) / np.pi * height - 0.5
    c0, r0 = int(np.floor(column)), int(np.floor(row))
    fx, fy = column - c0, row - r0
    r1 = min(height - 1, r0 + 1)
    r0 = max(0, r0)
    c1 = (c0 + 1) % width
    c0 = c0 % width
    a, b, c, d = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    return (
        _mixed(environment, r0, r1, c0, c1, (a, b, c, d), 0),
        _mixed(environment, r0, r1, c0, c1, (a, b, c, d), 1),
        _mixed(environment, r0, r1, c0, c1, (a, b, c, d), 2),
    )


@numba.njit(cache=True, fastmath=True)
def _lit_share(shadow, column, row, nearness, bias, spread):
    """Return the share of a 3x3 shadow-map neighborhood that does not occlude the point (1 = fully lit)."""
    height, width = shadow.shape
    lit, total = 0.0, 0.0
    cell_x, cell_y = np.floor(column / spread), np.floor(row / spread)
    fraction_x, fraction_y = column / spread - cell_x, row / spread - cell_y
    for i in range(3):
        weight_y = 1.0 if i == 1 else (fraction_y if i == 2 else 1.0 - fraction_y)
        for j in range(3):
            weight = weight_y * (1.0 if j == 1 else (fraction_x if j == 2 else 1.0 - fraction_x))
            x, y = int((cell_x + j - 1) * spread), int((cell_y + i - 1) * spread)
            total += weight
            if x < 0 or y < 0 or x >= width or y >= height or shadow[y, x] <= nearness + bias:
                lit += weight
    return lit / total


@numba.njit(cache=True, fastmath=True)
def _ambient(harmonics, direction, channel):
    """Irradiance of a second-order spherical-harmonic light. Source: Ramamoorthi and Hanrahan 2001, eq. 13 (folded)."""
    x, y, z = direction
    return max(
        0.0,
        harmonics[0, channel]
        + harmonics[1, channel] * y
        + harmonics[2, channel] * z
        + harmonics[3, channel] * x
        + harmonics[4, channel] * x * y
        + harmonics[5, channel] * y * z
        + harmonics[6, channel] * (3 * z * z - 1)
        + harmonics[7, channel] * x * z
        + harmonics[8, channel] * (x * x - y * y),
    )


@numba.njit(cache=True, fastmath=True, inline="always")
def _direct(point, normal, view, specular, gloss, lamps, lamp_shadows, lamp_focal, panels, sun, sun_shadow, sun_frame):
    """Sum the light of sun, lamps and panels: diffuse irradiance (3) and highlight radiance (3)."""
    d0, d1, d2, s0, s1, s2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    nx, ny, nz = normal
    px, py, pz = point
    if sun[3] + sun[4] + sun[5] > 0.0:
        cosine = nx * sun[0] + ny * sun[1] + nz * sun[2]
        if cosine > 0.0:
            lx = sun_frame[0, 0] * px + sun_frame[0, 1] * py + sun_frame[0, 2] * pz
            ly = sun_frame[1, 0] * px + sun_frame[1, 1] * py + sun_frame[1, 2] * pz
            lz = sun_frame[2, 0] * px + sun_frame[2, 1] * py + sun_frame[2, 2] * pz
            scale, center_x, center_y, spread = sun_frame[3, 0], sun_frame[3, 1], sun_frame[3, 2], sun[6]
            bias = (0.6 + 1.2 * min(4.0, 1.0 / (cosine + 0.05))) * (1.0 + spread) / scale
            lit = _lit_share(sun_shadow, lx * scale + center_x + 0.5, ly * scale + center_y + 0.5, -lz, bias, spread)
            if lit > 0.0:
                d0, d1, d2 = sun[3] * cosine * lit, sun[4] * cosine * lit, sun[5] * cosine * lit
                shine = _highlight(normal, view, sun[0], sun[1], sun[2], gloss) * specular * lit * cosine
                s0, s1, s2 = sun[3] * shine, sun[4] * shine, sun[5] * shine
    for lamp in range(lamps.shape[0]):
        tx, ty, tz = lamps[lamp, 0] - px, lamps[lamp, 1] - py, lamps[lamp, 2] - pz
        squared = tx * tx + ty * ty + tz * tz
        distance = np.sqrt(squared) + 1e-6
        cosine = (nx * tx + ny * ty + nz * tz) / distance
        if cosine <= 0.0:
            continue
        lit = 1.0
        shadow = int(lamps[lamp, 7])
        if shadow >= 0 and ty > 0.05:
            size = lamp_shadows.shape[1]
            column = -tx / ty * lamp_focal + size * 0.5
            row = -tz / ty * lamp_focal + size * 0.5
            bias = (0.015 + 0.03 * ty / (lamp_focal * 0.01 + 1.0) / (cosine + 0.15)) / (ty * ty)
            lit = _lit_share(lamp_shadows[shadow], column, row, 1.0 / ty, bias, 1.5)
        strength = lit * cosine / (squared + lamps[lamp, 6] * lamps[lamp, 6])
        d0 += lamps[lamp, 3] * strength
        d1 += lamps[lamp, 4] * strength
        d2 += lamps[lamp, 5] * strength
        shine = _highlight(normal, view, tx / distance, ty / distance, tz / distance, gloss) * specular * strength
        s0 += lamps[lamp, 3] * shine
        s1 += lamps[lamp, 4] * shine
        s2 += lamps[lamp, 5] * shine
    for panel in range(panels.shape[0]):
        tx, ty, tz = panels[panel, 0] - px, panels[panel, 1] - py, panels[panel, 2] - pz
        squared = tx * tx + ty * ty + tz * tz
        distance = np.sqrt(squared) + 1e-6
        at_panel = -(panels[panel, 3] * tx + panels[panel, 4] * ty + panels[panel, 5] * tz) / distance
        # Wrap lighting: an extended panel reaches surfaces slightly beyond the horizon of its center.
        at_point = (nx * tx + ny * ty + nz * tz) / distance * 0.8 + 0.2
        if at_panel <= 0.0 or at_point <= 0.0:
            continue
        form = at_panel * at_point * panels[panel, 9] / (np.pi * squared + panels[panel, 9])
        d0 += panels[panel, 6] * form
        d1 += panels[panel, 7] * form
        d2 += panels[panel, 8] * form
    return d0, d1, d2, s0, s1, s2


@numba.njit(cache=True, fastmath=True, inline="always")
def _highlight(normal, view, lx, ly, lz, gloss):
    """Blinn-Phong lobe with a rational power approximation. Source: Schlick 1994, "A Fast Alternative to Phong"."""
    hx, hy, hz = lx + view[0], ly + view[1], lz + view[2]
    length = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
    cosine = (normal[0] * hx + normal[1] * hy + normal[2] * hz) / length
    if cosine <= 0.0:
        return 0.0
    return (gloss + 8.0) * 0.125 * cosine / (gloss - gloss * cosine + cosine)


@numba.njit(cache=True, fastmath=True, inline="always")
def hit_triangle(vertices, faces, face, origin, dx, dy, dz):
    """Intersect a ray with the plane of a triangle: distance along the ray and two barycentric shares.

    Source: Moeller and Trumbore 1997. The shares are clamped, for samples that the rasterizer put on an edge.
    """
    i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
    ax, ay, az = float(vertices[i, 0]), float(vertices[i, 1]), float(vertices[i, 2])
    e1x, e1y, e1z = vertices[j, 0] - ax, vertices[j, 1] - ay, vertices[j, 2] - az
    e2x, e2y, e2z = vertices[k, 0] - ax, vertices[k, 1] - ay, vertices[k, 2] - az
    cx, cy, cz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
    determinant = e1x * cx + e1y * cy + e1z * cz
    if abs(determinant) < 1e-14:
        determinant = 1e-14
    tx, ty, tz = origin[0] - ax, origin[1] - ay, origin[2] - az
    share_1 = (tx * cx + ty * cy + tz * cz) / determinant
    qx, qy, qz = ty * e1z - tz * e1y, tz * e1x - tx * e1z, tx * e1y - ty * e1x
    share_2 = (dx * qx + dy * qy + dz * qz) / determinant
    distance = (e2x * qx + e2y * qy + e2z * qz) / determinant
    return distance, min(1.0, max(0.0, share_1)), min(1.0, max(0.0, share_2))


@numba.njit(cache=True, fastmath=True, inline="always")
def shade_sample(direction, face, occlusion, pixel_angle, camera, geometry, surfaces, lights):
    """Return the radiance (3) of one sample.

    Args:
        direction: Ray direction in the scene frame with camera z = 1, three floats.
        face: Triangle that is seen there; -1 shows the environment.
        occlusion: Share of ambient light that reaches the point, [0, 1].
        pixel_angle: Size of a pixel at z = 1.
        camera: Camera center, scene frame, three floats.
        geometry: (vertices, faces, normals, uv, material, repeats per meter of each face).
        surfaces: (materials, texture pixels, texture table, sRGB decoding table).
        lights: (environment, harmonics, lamps, lamp shadows, their focal length, panels, sun, sun shadow, sun frame).
    """
    vertices, faces, normals, uv, material, density = geometry
    materials, pixels, table, to_linear = surfaces
    environment, harmonics, lamps, lamp_shadows, lamp_focal, panels, sun, sun_shadow, sun_frame = lights
    dx, dy, dz = direction
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    if face < 0:
        return sample_environment(environment, dx / length, dy / length, dz / length)
    distance, share_1, share_2 = hit_triangle(vertices, faces, face, camera, dx, dy, dz)
    share_0 = 1.0 - share_1 - share_2
    nx = normals[face, 0, 0] * share_0 + normals[face, 1, 0] * share_1 + normals[face, 2, 0] * share_2
    ny = normals[face, 0, 1] * share_0 + normals[face, 1, 1] * share_1 + normals[face, 2, 1] * share_2
    nz = normals[face, 0, 2] * share_0 + normals[face, 1, 2] * share_1 + normals[face, 2, 2] * share_2
    scale = 1.0 / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
    facing = -(nx * dx + ny * dy + nz * dz) * scale / length
    if facing < 0.0:
        scale, facing = -scale, -facing
    normal = (nx * scale, ny * scale, nz * scale)
    view = (-dx / length, -dy / length, -dz / length)
    row = material[face]
    red, green, blue = materials[row, 0], materials[row, 1], materials[row, 2]
    texture = int(materials[row, 3])
    if texture >= 0:
        u = uv[face, 0, 0] * share_0 + uv[face, 1, 0] * share_1 + uv[face, 2, 0] * share_2
        v = uv[face, 0, 1] * share_0 + uv[face, 1, 1] * share_1 + uv[face, 2, 1] * share_2
        footprint = distance * pixel_angle * density[face] / np.sqrt(facing + 0.05)
        r, g, b = sample_texture(pixels, table, texture, u, v, footprint, to_linear)
        red, green, blue = red * r, green * g, blue * b
    if materials[row, 6] > 0.0:
        glow = materials[row, 6]
        return red * glow, green * glow, blue * glow
    point = (camera[0] + dx * distance, camera[1] + dy * distance, camera[2] + dz * distance)
    specular = materials[row, 4] + (1.0 - materials[row, 4]) * 0.6 * (1.0 - facing) ** 5
    d0, d1, d2, s0, s1, s2 = _direct(
        point,
        normal,
        view,
        specular,
        materials[row, 5],
        lamps,
        lamp_shadows,
        lamp_focal,
        panels,
        sun,
        sun_shadow,
        sun_frame,
    )
    # Approximate reflection of the surroundings: ambient light in the mirrored direction.
    mirror = 2.0 * facing
    mirrored = (mirror * normal[0] - view[0], mirror * normal[1] - view[1], mirror * normal[2] - view[2])
    reflect = specular * occlusion * 0.5
    red = red * (d0 + occlusion * _ambient(harmonics, normal, 0)) + s0 + reflect * _ambient(harmonics, mirrored, 0)
    green = green * (d1 + occlusion * _ambient(harmonics, normal, 1)) + s1 + reflect * _ambient(harmonics, mirrored, 1)
    blue = blue * (d2 + occlusion * _ambient(harmonics, normal, 2)) + s2 + reflect * _ambient(harmonics, mirrored, 2)
    return red, green, blue
