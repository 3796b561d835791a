"""Rasterization of triangles on the CPU in NumPy: no GL, no display, no compiled code.

Every candidate pixel of every front face is tested at once; a 64-bit minimum (depth above, fragment below) keeps the
nearest. The small triangles of bodies cost little more than the pixels they cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR_M = 0.05
"""Triangles with a corner nearer than this are dropped instead of clipped."""
_MAX_CANDIDATES = 2_000_000
"""Pixel tests held in memory at a time (about 150 MB)."""

_EDGE_SLACK = 1e-5
"""Overlap that closes pinholes at shared edges, where rounding may put a pixel outside both triangles."""


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
    """``n`` float32, camera z in meters."""


def rasterize(vertices_camera: np.ndarray, faces: np.ndarray, K: np.ndarray, image_size: tuple[int, int]) -> Fragments:
    """Find the nearest front face under every pixel center.

    Args:
        vertices_camera: ``V 3`` in the camera frame (x right, y down, z forward), meters.
        faces: ``F 3``; the front is where the corners run counter-clockwise seen from outside the body.
        K: ``3 3`` intrinsics in pixels; (0, 0) is the center of the top-left pixel.
        image_size: (height, width).
    """
    height, width = image_size
    z = vertices_camera[:, 2].astype(np.float64)
    inverse_z = 1.0 / np.maximum(z, NEAR_M)
    pixels = (vertices_camera * inverse_z[:, None]) @ np.asarray(K, np.float64).T
    # Columns, not an F x 3 x 2 block: NumPy reduces very short axes an order of magnitude slower.
    x0, x1, x2 = (pixels[faces[:, corner], 0] for corner in range(3))
    y0, y1, y2 = (pixels[faces[:, corner], 1] for corner in range(3))
    # Image y points down, so a face that looks at the camera has a negative area here.
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    is_near = z <= NEAR_M
    kept = np.flatnonzero((area < -1e-9) & ~(is_near[faces[:, 0]] | is_near[faces[:, 1]] | is_near[faces[:, 2]]))
    x, y = np.stack([x0, x1, x2])[:, kept], np.stack([y0, y1, y2])[:, kept]
    low_x, low_y = np.maximum(np.ceil(x.min(axis=0)), 0), np.maximum(np.ceil(y.min(axis=0)), 0)
    high_x, high_y = np.minimum(np.floor(x.max(axis=0)), width - 1), np.minimum(np.floor(y.max(axis=0)), height - 1)
    covers = np.flatnonzero((high_x >= low_x) & (high_y >= low_y))
    kept, x, y = kept[covers], x[:, covers], y[:, covers]
    planes = _planes(x, y, area[kept], inverse_z[faces[kept]])
    low = np.stack([low_x[covers], low_y[covers]], axis=1).astype(np.int64)
    high = np.stack([high_x[covers], high_y[covers]], axis=1).astype(np.int64)
    buffer = _depth_test(planes, low, high, image_size)
    return _fragments(buffer, kept, planes, width)


def _planes(x: np.ndarray, y: np.ndarray, area: np.ndarray, inverse_z: np.ndarray) -> np.ndarray:
    """Return ``n 3 3`` affine functions (dx, dy, constant): weights 0 to 2 over z, whose sum is 1/z.

    Screen-space weights are affine in the pixel; divided by their corner's depth they interpolate perspectively.

    Args:
        x: ``3 n`` corner columns, pixels.
        y: ``3 n`` corner rows, pixels.
        area: ``n`` twice the signed area.
        inverse_z: ``n 3`` per corner.
    """
    planes = np.empty((len(area), 3, 3))
    for corner, (following, last) in enumerate(((1, 2), (2, 0), (0, 1))):
        scale = inverse_z[:, corner] / area
        planes[:, corner, 0] = (y[following] - y[last]) * scale
        planes[:, corner, 1] = (x[last] - x[following]) * scale
        planes[:, corner, 2] = -(planes[:, corner, 0] * x[following] + planes[:, corner, 1] * y[following])
    return planes


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
    inverse_z = weights[:, 0] + weights[:, 1] + weights[:, 2]
    return Fragments(
        pixel=pixel,
        face=kept[row],
        barycentric=(weights / inverse_z[:, None]).astype(np.float32),
        depth=(1.0 / inverse_z).astype(np.float32),
    )
