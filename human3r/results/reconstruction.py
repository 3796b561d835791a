"""The result of a clip: one record of arrays, and its file ``reconstruction.npz`` (schema ``human3r/1``).

Owns the schema and nothing else: exporters and viewers read this record, the runtime builds it.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import BinaryIO

import numpy as np

from human3r.atomic import whole_or_absent
from human3r.errors import FormatError
from human3r.records import Track

SCHEMA = "human3r/1"

_SHAPES: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "frame_index": ("i8", ("T",)),
    "time_s": ("f8", ("T",)),
    "image_size": ("i8", (2,)),
    "K": ("f4", ("T", 3, 3)),
    "T_world_camera": ("f4", ("T", 4, 4)),
    "T_gravity_world": ("f4", (4, 4)),
    "person_frame": ("i8", ("N",)),
    "person_track": ("i8", ("N",)),
    "person_score": ("f4", ("N",)),
    "global_orient": ("f4", ("N", 3)),
    "transl": ("f4", ("N", 3)),
    "body_pose": ("f4", ("N", 21, 3)),
    "left_hand_pose": ("f4", ("N", 15, 3)),
    "right_hand_pose": ("f4", ("N", 15, 3)),
    "jaw_pose": ("f4", ("N", 3)),
    "leye_pose": ("f4", ("N", 3)),
    "reye_pose": ("f4", ("N", 3)),
    "betas": ("f4", ("N", 10)),
    "expression": ("f4", ("N", 10)),
    "joints_world": ("f4", ("N", 55, 3)),
    "joints_image_px": ("f4", ("N", 55, 2)),
    "track_id": ("i8", ("K",)),
    "track_betas": ("f4", ("K", 10)),
    "points_world": ("f4", ("M", 3)),
    "points_color": ("u1", ("M", 3)),
    "points_confidence": ("f4", ("M",)),
    "points_frame": ("i4", ("M",)),
    "depth": ("f2", ("D", "h", "w")),
    "depth_confidence": ("f2", ("D", "h", "w")),
    "depth_frame_index": ("i8", ("D",)),
    "depth_crop": ("f8", (4,)),
}
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What a damaged or hostile archive makes NumPy and zipfile raise (NotImplementedError is a RuntimeError)."""
_COMPRESSION = 1
"""Of zlib. NumPy's own level 6 takes twice the time on point clouds and saves one per cent."""
_OPTIONAL = ("depth", "depth_confidence", "depth_frame_index", "depth_crop")


@dataclass(frozen=True, repr=False)
class Reconstruction:
    """People, camera path and scene of one clip, in one metric world frame.

    T processed frames, N person-observations (a long table; N may be 0), K identities, M fused scene points.
    World is the first camera; OpenCV axes; metres, radians, seconds; pixels of the upright source frame.
    """

    fps: float
    """Processed frames per second."""
    frame_index: np.ndarray
    """``T`` int64, index in the source clip."""
    time_s: np.ndarray
    """``T`` float64, presentation time from the clip's start."""
    image_size: np.ndarray
    """``2`` int64, (H, W) of the upright source frame."""
    K: np.ndarray
    """``T 3 3`` pixels at ``image_size``."""
    T_world_camera: np.ndarray
    """``T 4 4``; the first is the identity."""
    T_gravity_world: np.ndarray
    """``4 4`` world to a y-up frame whose floor is y = 0 (estimated)."""
    person_frame: np.ndarray
    """``N`` int64, row into T; rows are sorted by frame."""
    person_track: np.ndarray
    """``N`` int64, identity, never reused."""
    person_score: np.ndarray
    """``N`` detection score."""
    global_orient: np.ndarray
    """``N 3`` SMPL-X root orientation in world."""
    transl: np.ndarray
    """``N 3`` SMPL-X translation in world, metres."""
    body_pose: np.ndarray
    """``N 21 3``"""
    left_hand_pose: np.ndarray
    """``N 15 3``"""
    right_hand_pose: np.ndarray
    """``N 15 3``"""
    jaw_pose: np.ndarray
    """``N 3``"""
    leye_pose: np.ndarray
    """``N 3``"""
    reye_pose: np.ndarray
    """``N 3``"""
    betas: np.ndarray
    """``N 10`` per observation."""
    expression: np.ndarray
    """``N 10``"""
    joints_world: np.ndarray
    """``N 55 3`` SMPL-X joints in world, metres."""
    joints_image_px: np.ndarray
    """``N 55 2`` the same, projected with ``K``."""
    track_id: np.ndarray
    """``K`` int64, one row per identity."""
    track_betas: np.ndarray
    """``K 10`` one shape per identity."""
    points_world: np.ndarray
    """``M 3`` fused scene without people, metres."""
    points_color: np.ndarray
    """``M 3`` uint8 RGB."""
    points_confidence: np.ndarray
    """``M``, >= 1."""
    points_frame: np.ndarray
    """``M`` int32, row into T of the frame the point came from."""
    depth: np.ndarray | None = None
    """``D h w`` float16 camera z in metres, or None when it was not kept."""
    depth_confidence: np.ndarray | None = None
    """``D h w`` float16."""
    depth_frame_index: np.ndarray | None = None
    """``D`` int64, index in the source clip of each depth map."""
    depth_crop: np.ndarray | None = None
    """``4`` (x0, y0, x1, y1) in source pixels; None where the maps cover the whole upright frame."""
    meta: dict[str, object] = field(default_factory=dict)
    """Model name and sha256, body name, package version, source file name, options, warnings."""

    def __post_init__(self) -> None:
        axes: dict[str, int] = {}
        for name, (dtype, shape) in _SHAPES.items():
            array = getattr(self, name)
            if array is None and name in _OPTIONAL:
                continue
            array = np.ascontiguousarray(array, dtype=dtype)
            if array.ndim != len(shape):
                raise FormatError(f"Field {name!r} has shape {array.shape}, expected {shape}.")
            for size, axis in zip(array.shape, shape, strict=True):
                expected = axes.setdefault(axis, size) if isinstance(axis, str) else axis
                if size != expected:
                    raise FormatError(f"Field {name!r} has shape {array.shape}, expected {shape}: {axis}={expected}.")
            object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        height, width = self.image_size
        return (
            f"Reconstruction({self.num_frames} frames of {width}x{height} at {self.fps:.3g} fps, "
            f"{len(self.track_id)} people, {len(self.points_world)} points)"
        )

    @property
    def num_frames(self) -> int:
        """Number of processed frames, T."""
        return len(self.frame_index)

    @property
    def tracks(self) -> list[Track]:
        """One ``Track`` per identity, in the order of ``track_id``."""
        rows = [np.flatnonzero(self.person_track == identity) for identity in self.track_id]
        return [
            Track(int(identity), betas, self.person_frame[observations], observations)
            for identity, betas, observations in zip(self.track_id, self.track_betas, rows, strict=True)
        ]

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all.

        Raises:
            DiskFullError: The disk has no room; no partial file is left.
        """
        path = Path(path)
        arrays = {name: getattr(self, name) for name in _SHAPES if getattr(self, name) is not None}
        facts = {
            "schema": np.array(SCHEMA),
            "meta": np.array(json.dumps(self.meta, sort_keys=True)),
            "fps": np.array(self.fps, dtype=np.float64),
        }
        with whole_or_absent(path) as temporary, temporary.open("wb") as stream:
            _write_archive(stream, {**facts, **arrays})

    @classmethod
    def load(cls, path: str | Path) -> Reconstruction:
        """Read and validate a file written by ``save``.

        Raises:
            FormatError: The file is not a ``human3r/1`` reconstruction.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except _UNREADABLE as error:
            message = f"{path.name} is not a reconstruction file ({error})."
            raise FormatError(message, "Give a reconstruction.npz.") from error
        if str(arrays.get("schema", "")) != SCHEMA:
            raise FormatError(f"{path.name} has schema {str(arrays.get('schema', 'none'))!r}, expected {SCHEMA!r}.")
        required = {item.name for item in fields(cls)} - set(_OPTIONAL)
        missing = sorted(required - arrays.keys())
        if missing:
            raise FormatError(f"{path.name} lacks {', '.join(missing)}.")
        try:
            meta = json.loads(str(arrays["meta"]))
        except json.JSONDecodeError as error:
            raise FormatError(f"The meta entry of {path.name} is not JSON.") from error
        return cls(
            fps=float(arrays["fps"]),
            meta=meta,
            **{name: arrays[name] for name in _SHAPES if name in arrays},
        )


def _write_archive(stream: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write what ``numpy.savez_compressed`` writes, less tightly packed."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
