"""Triangles to pixels on the CPU with nothing but NumPy: no GL, no display, no compiled code.

Every candidate pixel of every front face is tested at once; a 64-bit minimum (depth above, fragment below) keeps the
nearest. Small triangles, which bodies are made of, cost little more than the pixels they cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR_M = 0.05
"""Triangles with a corner nearer than this are dropped instead of clipped."""
_MAX_CANDIDATES = 2_000_000
"""Pixel tests held in memory at a time (about 150 MB)."""

_EDGE_SLACK = 1e-5
"""Rounding may put a pixel outside both triangles of a shared edge; this much overlap closes such pinholes."""


@dataclass(frozen=True)
class Fragments:
    """The visible surface of one image: n covered pixels."""

    pixel: np.ndarray
    """``n`` int64, flat index into ``H W``, each at most once."""
    face: np.ndarray
    """``n`` int64, the nearest face."""
    barycentric: np.ndarray
    """``n 3`` float32, perspective-correct weights of the face's corners."""
    depth: np.ndarray
    """``n`` float32, camera z in metres."""


def rasterize(vertices_camera: np.ndarray, faces: np.ndarray, K: np.ndarray, image_size: tuple[int, int]) -> Fragments:
    """Find the nearest front face under every pixel centre.

    Args:
        vertices_camera: ``V 3`` in the camera frame (x right, y down, z forward), metres.
        faces: ``F 3``; the front is where the corners run counter-clockwise seen from outside the body.
        K: ``3 3`` intrinsics in pixels; (0, 0) is the centre of the top-left pixel.
        image_size: (height, width).
    """
    height, width = image_size
    z = vertices_camera[:, 2].astype(np.float64)
    inverse_z = 1.0 / np.maximum(z, NEAR_M)
    pixels = (vertices_camera * inverse_z[:, None]) @ np.asarray(K, np.float64).T
    corners = pixels[faces][..., :2]
    low = np.maximum(np.ceil(corners.min(axis=1)), 0)
    high = np.minimum(np.floor(corners.max(axis=1)), (width - 1, height - 1))
    edge_a, edge_b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # Image y points down, so a face that looks at the camera has a negative area here.
    area = edge_a[:, 0] * edge_b[:, 1] - edge_a[:, 1] * edge_b[:, 0]
    is_visible = (area < -1e-9) & (high >= low).all(axis=1) & (z[faces].min(axis=1) > NEAR_M)
    kept = np.flatnonzero(is_visible)
    planes = _planes(corners[kept], area[kept], inverse_z[faces[kept]])
    buffer = _depth_test(planes, low[kept].astype(np.int64), high[kept].astype(np.int64), image_size)
    return _fragments(buffer, kept, planes, width)


def _planes(corners: np.ndarray, area: np.ndarray, inverse_z: np.ndarray) -> np.ndarray:
    """Return ``n 3 3`` affine functions (dx, dy, constant): weights 0 to 2 over z, whose sum is 1/z.

    Screen-space weights are affine in the pixel; divided by their corner's depth they interpolate perspectively.
    """
    nxt, last = corners[:, (1, 2, 0)], corners[:, (2, 0, 1)]
    dx = (nxt[..., 1] - last[..., 1]) / area[:, None]
    dy = (last[..., 0] - nxt[..., 0]) / area[:, None]
    constant = -(dx * nxt[..., 0] + dy * nxt[..., 1])
    return np.stack([dx, dy, constant], axis=-1) * inverse_z[..., None]


def _depth_test(planes: np.ndarray, low: np.ndarray, high: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return ``H*W`` uint64: float32 depth bits above, row of ``planes`` below; all ones where nothing is."""
    height, width = image_size
    buffer = np.full(height * width, np.iinfo(np.uint64).max, dtype=np.uint64)
    extent = high - low + 1
    counts = extent[:, 0] * extent[:, 1]
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + _MAX_CANDIDATES, side="right")), first + 1)
        _test_faces(buffer, planes, low, extent, np.arange(first, last), width)
        first = last
    return buffer


def _test_faces(
    buffer: np.ndarray, planes: np.ndarray, low: np.ndarray, extent: np.ndarray, rows: np.ndarray, width: int
) -> None:
    counts = extent[rows, 0] * extent[rows, 1]
    local = np.repeat(np.arange(len(rows)), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = extent[rows, 0][local]
    down = offset // columns
    # Coordinates relative to the face's own corner keep float32 exact enough for large images.
    x, y = (offset - down * columns).astype(np.float32), down.astype(np.float32)
    shifted = planes[rows].copy()
    shifted[..., 2] += shifted[..., 0] * low[rows, 0, None] + shifted[..., 1] * low[rows, 1, None]
    shifted = shifted.astype(np.float32)
    inside = np.ones(len(local), dtype=bool)
    inverse_z = np.zeros(len(local), dtype=np.float32)
    for corner in range(3):
        dx, dy, constant = (shifted[:, corner, term][local] for term in range(3))
        weight = dx * x + dy * y + constant
        inside &= weight >= -_EDGE_SLACK
        inverse_z += weight
    hit = np.flatnonzero(inside & (inverse_z > 0))
    owner = rows[local[hit]]
    pixel = (low[owner, 1] + down[hit]) * width + low[owner, 0] + x[hit].astype(np.int64)
    # Positive floats order like their bits, so one integer minimum is the depth test.
    depth_bits = (1.0 / inverse_z[hit]).astype(np.float32).view(np.uint32).astype(np.uint64)
    np.minimum.at(buffer, pixel, (depth_bits << np.uint64(32)) | owner.astype(np.uint64))


def _fragments(buffer: np.ndarray, kept: np.ndarray, planes: np.ndarray, width: int) -> Fragments:
    pixel = np.flatnonzero(buffer != np.iinfo(np.uint64).max)
    row = (buffer[pixel] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    x, y = (pixel % width).astype(np.float64), (pixel // width).astype(np.float64)
    terms = planes[row]
    weights = np.maximum(terms[..., 0] * x[:, None] + terms[..., 1] * y[:, None] + terms[..., 2], 0.0)
    inverse_z = weights.sum(axis=1)
    return Fragments(
        pixel=pixel,
        face=kept[row],
        barycentric=(weights / inverse_z[:, None]).astype(np.float32),
        depth=(1.0 / inverse_z).astype(np.float32),
    )
