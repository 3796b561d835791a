"""``moments.bin``: the surface of every single frame, people included, as the player shows it ("4D points").

Depth and color per pixel of a coarse grid, gzipped; the player unprojects one frame at a time. Layout after gunzip:
``H3RM``, uint32 length of the JSON header, the header (padded to 4 bytes), all depths uint16, all colors 3 uint8.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import struct
import weakref
import zlib
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from human3r.atomic import write_bytes
from human3r.errors import FormatError
from human3r.geometry.fusion import depth_edges
from human3r.geometry.grids import RectPx, on_grid
from human3r.refinement.world.depth_correction import depth_factor_of
from human3r.results.array_archive import unpacked_limit
from human3r.results.spool import RowSpool
from human3r.results.trusted_pixels import EDGE_TOLERANCE, trusted_pixels

if TYPE_CHECKING:
    from human3r.records import FramePrediction
    from human3r.results.reconstruction import Reconstruction

MOMENTS_NAME = "moments.bin"
MAX_POINTS_PER_FRAME = 20_000
MAX_RAW_BYTES = 24_000_000
"""Limit before compression, which about halves the size; longer clips get coarser grids."""
_MIN_SIDE = 8
"""Of a grid that still shows something; a stream that is too long even for such grids has none."""
_HALVED_AT_ONCE = 64
"""Frames that are in memory while grids are made coarser."""
DEPTH_UNIT_M = 1e-3
_BYTES_PER_POINT = 5
_HEAD_BYTES_PER_FRAME = 1000
"""Sixteen numbers take about 150."""
_UNREADABLE = (
    *(OSError, EOFError, zlib.error, struct.error),
    *(ValueError, LookupError, TypeError, OverflowError, RecursionError, MemoryError),
)
"""Errors of gzip, struct, json and wrong types for damaged files."""
_REMEDY = "Delete it, or get another copy of the folder."


class Moments:
    """Collects the frames of a run; ``write`` puts them into the world of its result.

    Args:
        max_raw_bytes: Limit on the disk, in an unnamed file; longer clips get coarser grids, and streams of hours none.
    """

    def __init__(self, max_raw_bytes: int = MAX_RAW_BYTES) -> None:
        self._frame_index = array("q")
        self._whole: tuple[RectPx, tuple[int, ...]] | None = None
        """Rectangle and shape of the first frame's grid."""
        self._rect_px: RectPx = (0.0, 0.0, 0.0, 0.0)
        self._max_raw_bytes = max_raw_bytes
        self._grids: RowSpool | None = None
        self._num_halvings = 0
        self._is_too_long = False

    def __len__(self) -> int:
        return len(self._frame_index)

    def add(self, prediction: FramePrediction) -> None:
        """Keep one frame, thinned to ``MAX_POINTS_PER_FRAME``.

        Raises:
            DiskFullError: The disk is full.
        """
        if self._is_too_long:
            return
        depth = prediction.pointmap_camera[..., 2].numpy()
        is_good = trusted_pixels(prediction) & (depth < np.iinfo(np.uint16).max * DEPTH_UNIT_M)
        is_good &= ~depth_edges(np.where(np.isfinite(depth), depth, 0.0), EDGE_TOLERANCE)
        millimeters = np.round(np.where(is_good, depth, 0.0) / DEPTH_UNIT_M).astype(np.uint16)
        image, rect_px = prediction.image.detach().cpu().numpy(), prediction.source_rect_px
        # All frames are on the grid of the first one: shots may cover different parts of the source frame.
        self._whole = self._whole or (rect_px, depth.shape)
        millimeters, image = (on_grid(values, rect_px, *self._whole) for values in (millimeters, image))
        rect_px = self._whole[0]
        for stride in (_stride(millimeters.size, MAX_POINTS_PER_FRAME), *[2] * self._num_halvings):
            rect_px = _covered(rect_px, millimeters.shape, stride)
            millimeters, image = _thinned(millimeters, stride), _thinned(image, stride)
        self._rect_px = rect_px
        if self._grids is None:
            self._grids = self._open(millimeters.shape)
        self._grids.append(_rows(millimeters[None], image[None]))
        self._frame_index.append(prediction.frame_index)
        if len(self) * self._grids.dtype.itemsize > self._max_raw_bytes:
            self._halve(self._grids, millimeters.shape)

    def _open(self, shape: tuple[int, ...]) -> RowSpool:
        grids = RowSpool(_row_type(shape))
        weakref.finalize(self, grids.close)
        return grids

    def _halve(self, grids: RowSpool, shape: tuple[int, ...]) -> None:
        """Keep every second row and column of present and future frames, or nothing where too few would be left."""
        self._is_too_long = min(shape) < 2 * _MIN_SIDE
        if self._is_too_long:
            self._frame_index, self._grids = array("q"), None
        else:
            self._rect_px = _covered(self._rect_px, shape, 2)
            self._grids = self._open(tuple(side // 2 for side in shape))
            for start in range(0, len(grids), _HALVED_AT_ONCE):
                rows = grids.rows()[start : start + _HALVED_AT_ONCE]
                self._grids.append(_rows(_thinned_all(rows["depth"], 2), _thinned_all(rows["color"], 2)))
            self._num_halvings += 1
        grids.close()

    def write(self, path: Path, reconstruction: Reconstruction, max_raw_bytes: int = MAX_RAW_BYTES) -> bool:
        """Write the frames of a result atomically; False if one of them was never added, or not kept.

        Args:
            max_raw_bytes: Size before compression; grids get coarser until they fit.
        """
        places = {frame: place for place, frame in enumerate(self._frame_index)}
        frames = reconstruction.frame_index.tolist()
        if self._grids is None or not frames or any(frame not in places for frame in frames):
            return False
        grids = self._grids.rows()[[places[frame] for frame in frames]]
        depth = np.stack([self._in_world(grid, reconstruction, row) for row, grid in enumerate(grids["depth"])])
        color = grids["color"]
        head = _head(reconstruction, self._rect_px)
        write_bytes(path, _packed(head, depth, color, _stride(depth.size * _BYTES_PER_POINT, max_raw_bytes)))
        return True

    def _in_world(self, millimeters: np.ndarray, reconstruction: Reconstruction, row: int) -> np.ndarray:
        """Return a depth map with the scale and the bend of the finished result."""
        factor = depth_factor_of(reconstruction, row, millimeters / 1000, self._rect_px)
        return np.round(millimeters * factor).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)


def coarsened(content: bytes, max_bytes: int) -> bytes | None:
    """Return a ``moments.bin`` with grids so coarse that it has at most ``max_bytes``; None: there are none.

    Raises:
        FormatError: The content is no ``moments.bin``.
    """
    head, depth, color = _unpacked(content)
    stride = 1
    while len(content) > max_bytes:
        stride = max(stride + 1, int(stride * np.sqrt(len(content) / max_bytes)))
        if stride > min(depth.shape[1:]):
            return None
        content = _packed(head, depth, color, stride)
    return content


def belongs_to(path: Path, reconstruction: Reconstruction) -> bool:
    """Return whether a ``moments.bin`` was made with a result: the same frames, with the same cameras.

    Raises:
        FormatError: The file is damaged.
    """
    own = _unpacked(path.read_bytes(), 1000 + _HEAD_BYTES_PER_FRAME * reconstruction.num_frames)[0]["frames"]
    wanted = _head(reconstruction, (0.0, 0.0, 0.0, 0.0))["frames"]
    return len(own) == len(wanted) and all(
        np.allclose(one[key], other[key], atol=1e-3) for one, other in zip(own, wanted, strict=True) for key in "KT"
    )


def _unpacked(content: bytes, max_head_bytes: float = math.inf) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Return the header of a ``moments.bin``, depths ``T H W`` uint16 and colors ``T H W 3`` uint8."""
    limit = unpacked_limit(len(content))
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise FormatError(f"{MOMENTS_NAME} unpacks to more than {limit / 1e6:.0f} MB, the limit.", _REMEDY)
        if raw[:4] != b"H3RM":
            raise FormatError(f"{MOMENTS_NAME} does not begin with H3RM.", _REMEDY)
        (length,) = struct.unpack_from("<I", raw, 4)
        if length > max_head_bytes:
            message = f"{MOMENTS_NAME} has a header of {length} bytes; this result needs at most {max_head_bytes:.0f}."
            raise FormatError(message, _REMEDY)
        head = json.loads(raw[8 : 8 + length])
        _check_head(head)
        shape = len(head["frames"]), head["height"], head["width"]
        expected = 8 + length + math.prod(shape) * _BYTES_PER_POINT
        if len(raw) != expected:
            raise FormatError(f"{MOMENTS_NAME} unpacks to {len(raw)} bytes; its header says {expected}.", _REMEDY)
    except _UNREADABLE as error:
        raise FormatError(f"{MOMENTS_NAME} is damaged ({error!r:.80}).", _REMEDY) from error
    count = math.prod(shape)
    depth = np.frombuffer(raw, "<u2", count, 8 + length).reshape(shape)
    return head, depth, np.frombuffer(raw, np.uint8, 3 * count, 8 + length + 2 * count).reshape(*shape, 3)


def _check_head(head: dict[str, Any]) -> None:
    """Raise ``FormatError``, or what wrong types lead to, unless a header has sizes and finite numbers."""
    for name in ("height", "width"):
        if type(head[name]) is not int or not 0 < head[name] <= MAX_POINTS_PER_FRAME:
            message = f"The {name} in {MOMENTS_NAME} is {head[name]!r:.40}; it must be 1 to {MAX_POINTS_PER_FRAME}."
            raise FormatError(message, _REMEDY)
    rows = [head["rect"], *(frame["K"] for frame in head["frames"]), *(frame["T"] for frame in head["frames"])]
    num_frames = len(head["frames"])
    sizes = [4, *[4] * num_frames, *[12] * num_frames]
    numbers = np.array([float(item) if type(item) in (int, float) else math.nan for row in rows for item in row])
    if [len(row) for row in rows] != sizes or not np.isfinite(numbers).all():
        raise FormatError(f"The cameras in {MOMENTS_NAME} are not 4 and 12 finite numbers each.", _REMEDY)


def _packed(head: dict[str, object], depth: np.ndarray, color: np.ndarray, stride: int) -> bytes:
    """Return the file for depths ``T H W`` and colors ``T H W 3``, of which every ``stride``-th is kept both ways."""
    rect_px = _covered(head["rect"], depth.shape[1:], stride)  # type: ignore[arg-type]
    depth, color = _thinned_all(depth, stride), _thinned_all(color, stride)
    size = {"height": depth.shape[1], "width": depth.shape[2], "rect": [round(edge, 3) for edge in rect_px]}
    said = json.dumps(head | size, separators=(",", ":")).encode()
    said += b" " * (-(8 + len(said)) % 4)
    raw = b"H3RM" + struct.pack("<I", len(said)) + said + depth.astype("<u2").tobytes() + color.tobytes()
    return gzip.compress(raw, 5, mtime=0)


def _head(reconstruction: Reconstruction, rect_px: tuple[float, float, float, float]) -> dict[str, Any]:
    T_gravity_camera = reconstruction.T_gravity_world.astype(np.float64) @ reconstruction.T_world_camera
    K = reconstruction.K.astype(np.float64)
    lenses = np.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], axis=1)
    return {
        "rect": list(rect_px),
        "depth_unit_m": DEPTH_UNIT_M,
        "frames": [
            {"K": np.round(lens, 3).tolist(), "T": np.round(T[:3], 6).reshape(-1).tolist()}
            for lens, T in zip(lenses, T_gravity_camera, strict=True)
        ],
    }


def _stride(size: int, limit: int) -> int:
    """Return the step in both directions that brings ``size`` below ``limit``."""
    return max(1, int(np.ceil(np.sqrt(size / limit))))


def _thinned(grid: np.ndarray, stride: int) -> np.ndarray:
    """Take the middle pixel of every ``stride x stride`` cell; incomplete cells at the far edges are left out."""
    height, width = (side - side % stride for side in grid.shape[:2])
    return grid[stride // 2 : height : stride, stride // 2 : width : stride]


def _row_type(shape: tuple[int, ...]) -> np.dtype:
    return np.dtype([("depth", "<u2", shape), ("color", "u1", (*shape, 3))])


def _rows(depth: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Return depths ``T h w`` and colors ``T h w 3`` as rows of a file."""
    rows = np.empty(len(depth), _row_type(depth.shape[1:]))
    rows["depth"], rows["color"] = depth, color
    return rows


def _thinned_all(grids: np.ndarray, stride: int) -> np.ndarray:
    """Thin ``T H W ...``."""
    # Frames are the last axis, so that one step covers both directions of the image.
    return np.moveaxis(_thinned(np.moveaxis(grids, 0, -1), stride), -1, 0)


def _covered(
    rect_px: tuple[float, float, float, float], shape: tuple[int, ...], stride: int
) -> tuple[float, float, float, float]:
    """Return the part of a rectangle that the complete cells of a grid cover.

    It is moved by up to half a pixel, so that the pixel that is kept of each cell lies in the cell's middle.
    """
    x0, y0, x1, y1 = (float(edge) for edge in rect_px)
    height, width = shape[:2]
    step_y, step_x = (y1 - y0) / height, (x1 - x0) / width
    off = 0.0 if stride % 2 else 0.5
    left, top = x0 + off * step_x, y0 + off * step_y
    return left, top, left + (width - width % stride) * step_x, top + (height - height % stride) * step_y
