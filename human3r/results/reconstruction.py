"""The result of a clip: one record of arrays, and its file ``reconstruction.npz`` (schema ``human3r/2``).

Owns the schema only: ``refinement.finishing`` builds the record, exporters and viewers read it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float16, Float32, Float64, Int32, Int64, UInt8

from human3r.atomic import whole_or_absent
from human3r.errors import FormatError, InputError
from human3r.records import Track
from human3r.results.array_archive import read_arrays
from human3r.results.person_table import PersonColumns, columns_of
from human3r.results.validation import check_values, parse_meta

SCHEMA = "human3r/2"
_READABLE = ("human3r/1", SCHEMA)
"""``human3r/1`` has no ``shot`` and no ``frame_name``: its clips are one shot."""

_TEXT = np.dtype("U")
_COMPRESSION = 1
"""Level of zlib. NumPy's level 6 takes twice the time on point clouds and saves one percent."""
_OPTIONAL = ("shot", "foot_contact", "depth", "depth_confidence", "depth_frame_index", "depth_crop", "frame_name")


@dataclass(frozen=True, repr=False)
class Reconstruction(PersonColumns):
    """People, camera path and scene of one clip, in one metric world frame.

    T processed frames, N person-observations (N may be 0), K identities, M fused scene points. World is the first
    camera of the first shot with people; OpenCV axes; meters, radians, seconds; pixels of the upright source frame.
    Arrays are converted to the annotated types.
    """

    fps: float
    """Processed frames per second."""
    frame_index: Int64[np.ndarray, " T"]
    """Index in the source clip."""
    time_s: Float64[np.ndarray, " T"]
    """Presentation time from the clip's start."""
    image_size: Int64[np.ndarray, " 2"]
    """(H, W) of the upright source frame."""
    K: Float32[np.ndarray, "T 3 3"]
    """Intrinsics in pixels at ``image_size``."""
    T_world_camera: Float32[np.ndarray, "T 4 4"]
    """The identity for the first frame of the anchor shot."""
    T_gravity_world: Float32[np.ndarray, "4 4"]
    """World to a y-up frame whose floor is y = 0 (estimated)."""
    joints_image_px: Float32[np.ndarray, "N 55 2"]
    """``joints_world`` projected with ``K``."""
    track_id: Int64[np.ndarray, " K"]
    """One row per identity."""
    track_betas: Float32[np.ndarray, "K 10"]
    """One shape per identity."""
    points_world: Float32[np.ndarray, "M 3"]
    """Fused scene without people."""
    points_color: UInt8[np.ndarray, "M 3"]
    """RGB."""
    points_confidence: Float32[np.ndarray, " M"]
    """At least 1."""
    points_frame: Int32[np.ndarray, " M"]
    """Row into T of the frame the point came from."""
    foot_contact: Float32[np.ndarray, "N 2"] | None = None
    """Probability in [0, 1] that the left and the right foot touch the ground; None in files of ``human3r/1``."""
    depth: Float16[np.ndarray, "D h w"] | None = None
    """Camera z; None if not kept."""
    depth_confidence: Float16[np.ndarray, "D h w"] | None = None
    depth_frame_index: Int64[np.ndarray, " D"] | None = None
    """Index in the source clip of each depth map."""
    depth_crop: Float64[np.ndarray, " 4"] | None = None
    """(x0, y0, x1, y1) in source pixels; None where the maps cover the whole upright frame."""
    shot: Int64[np.ndarray, " T"] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Number of the shot of each frame, from 0; an empty argument means 0 everywhere. ``meta["shots"]`` describes
    the shots."""
    frame_name: np.ndarray | None = None
    """``T`` str: the file name of each frame; None for a video."""
    meta: dict[str, object] = field(default_factory=dict)
    """Model name and sha256, body name, package version, source file name, options, warnings."""

    def __post_init__(self) -> None:
        axes: dict[str, int] = {}
        if np.size(self.shot) == 0:
            object.__setattr__(self, "shot", np.zeros(len(self.frame_index), np.int64))
        for name, (dtype, shape) in columns_of(Reconstruction).items():
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
        if self.frame_name is not None and (
            self.frame_name.dtype.kind != "U" or self.frame_name.shape != self.frame_index.shape
        ):
            found = f"{self.frame_name.dtype} of shape {self.frame_name.shape}"
            raise FormatError(f"Field 'frame_name' is {found}, expected {self.num_frames} strings.")

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
    def shot_starts_s(self) -> list[float]:
        """Start times of the shots, seconds from the first frame."""
        starts = np.flatnonzero(np.diff(self.shot, prepend=-1))
        return [round(float(self.time_s[frame] - self.time_s[0]), 6) for frame in starts]

    @property
    def tracks(self) -> list[Track]:
        """One ``Track`` per identity, in the order of ``track_id``."""
        rows = [np.flatnonzero(self.person_track == identity) for identity in self.track_id]
        return [
            Track(int(identity), betas, self.person_frame[observations], observations)
            for identity, betas, observations in zip(self.track_id, self.track_betas, rows, strict=True)
        ]

    def contact_of(self, rows: np.ndarray) -> np.ndarray:
        """Return ``n 2`` probabilities that left and right foot touch the ground; 0 in files of ``human3r/1``."""
        return np.zeros((len(rows), 2), np.float32) if self.foot_contact is None else self.foot_contact[rows]

    def only(self, track_id: int) -> Reconstruction:
        """Return the result with one identity and the camera, without the scene.

        Raises:
            InputError: There is no such identity.
        """
        if track_id not in self.track_id:
            known = ", ".join(map(str, self.track_id.tolist())) or "none"
            raise InputError(f"There is no person {track_id}.", f"The identities of this result are: {known}.")
        rows = {"N": self.person_track == track_id, "K": self.track_id == track_id, "M": slice(0), "D": slice(0)}
        kept = {
            name: getattr(self, name)[rows[shape[0]]]
            for name, (_, shape) in columns_of(Reconstruction).items()
            if shape[0] in rows and getattr(self, name) is not None
        }
        return replace(self, **kept)

    def save(self, path: str | Path) -> None:
        """Write the file atomically.

        Raises:
            InputError: The name does not end in ``.npz``; ``human3r.export`` writes the other formats.
            DiskFullError: The disk is full; no partial file is left.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            message = f"A reconstruction is saved as .npz, and the name is {path.name!r}."
            raise InputError(message, "Use human3r.export for other endings.")
        arrays = {name: getattr(self, name) for name in columns_of(Reconstruction) if getattr(self, name) is not None}
        facts = {
            "schema": np.array(SCHEMA),
            "meta": np.array(json.dumps(self.meta, sort_keys=True)),
            "fps": np.array(self.fps, dtype=np.float64),
        }
        if self.frame_name is not None:
            arrays["frame_name"] = self.frame_name
        with whole_or_absent(path) as temporary, temporary.open("wb") as stream:
            _write_archive(stream, {**facts, **arrays})

    @classmethod
    def load(cls, path: str | Path) -> Reconstruction:
        """Read and validate a file written by ``save``.

        Raises:
            FormatError: The file is not a reconstruction of a known schema, or holds impossible values.
        """
        path = Path(path)
        schema = str(read_arrays(path, {"schema": (_TEXT, ())}, ["schema"])["schema"])
        if schema not in _READABLE:
            raise FormatError(f"{path.name} has schema {schema[:40]!r}, expected {SCHEMA!r}.")
        columns = columns_of(cls)
        layout = {"meta": (_TEXT, ()), "fps": (np.dtype(np.float64), ()), "frame_name": (_TEXT, ("T",)), **columns}
        arrays = read_arrays(path, layout, layout.keys() - set(_OPTIONAL))
        result = cls(
            fps=float(arrays["fps"]),
            meta=parse_meta(str(arrays["meta"])),
            frame_name=arrays.get("frame_name"),
            **{name: arrays[name] for name in columns if name in arrays},
        )
        check_values(vars(result))
        return result


def _write_archive(stream: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write as ``numpy.savez_compressed``, at a lower compression level."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
