"""``surface.npz``: the keyframes of a run beside its result, from which exporters build the surface later."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from human3r.atomic import whole_or_absent
from human3r.errors import FormatError
from human3r.results.array_archive import read_arrays
from human3r.surface.keyframes.collecting import MAX_KEYFRAMES, MAX_PICTURE_PX, Keyframe
from human3r.surface.people_colors import PeopleColors

if TYPE_CHECKING:
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import LazySurface

KEYFRAMES_NAME = "surface.npz"
_SCHEMA = "human3r-surface/1"
_LAYOUT = {
    "schema": (np.dtype("U"), ()),
    "result_frame_index": (np.dtype(np.int64), ("T",)),
    "result_path": (np.dtype(np.float32), ("T", 4, 4)),
    "frame_index": (np.dtype(np.int64), ("n",)),
    "rect_px": (np.dtype(np.float64), ("n", 4)),
    "picture_bytes": (np.dtype(np.int64), ("n",)),
    "pictures": (np.dtype(np.uint8), ("bytes",)),
    "depth": (np.dtype(np.float16), ("n", "h", "w")),
}
_PEOPLE_LAYOUT = {
    "track_id": (np.dtype(np.int64), ("p",)),
    "people_colors": (np.dtype(np.uint8), ("p", "vertices", 3)),
}
"""Only where the colors of people were kept."""
_SHAPE_LAYOUT = {"depth_shape": (np.dtype(np.int64), ("n", 2))}
"""Only where they differ: shots may cover different parts of the frame. Beyond it ``depth`` is 0."""
_REMEDY = "Reconstruct the clip again."


def save_keyframes(
    path: Path, keyframes: Sequence[Keyframe], reconstruction: Reconstruction, people_colors: PeopleColors | None = None
) -> None:
    """Write the keyframes of a result, and its people's colors where they were kept, whole or not at all.

    Raises:
        DiskFullError: The disk has no room.
    """
    sizes = [len(each.picture) for each in keyframes]
    shapes = [each.depth.shape for each in keyframes]
    height, width = (max((shape[axis] for shape in shapes), default=1) for axis in (0, 1))
    depth = np.zeros((len(keyframes), height, width), np.float16)
    for number, each in enumerate(keyframes):
        depth[number, : each.depth.shape[0], : each.depth.shape[1]] = each.depth
    arrays = {
        "schema": np.array(_SCHEMA),
        "result_frame_index": reconstruction.frame_index,
        "result_path": reconstruction.T_world_camera,
        "frame_index": np.array([each.frame_index for each in keyframes], dtype=np.int64),
        "rect_px": np.array([each.rect_px for each in keyframes], dtype=np.float64).reshape(-1, 4),
        "picture_bytes": np.array(sizes, dtype=np.int64),
        "pictures": np.frombuffer(b"".join(each.picture for each in keyframes), dtype=np.uint8),
        "depth": depth,
    }
    if len(set(shapes)) > 1:
        arrays["depth_shape"] = np.array(shapes, dtype=np.int64)
    if people_colors:
        arrays["track_id"] = np.array(list(people_colors), dtype=np.int64)
        arrays["people_colors"] = np.stack(list(people_colors.values()))
    with whole_or_absent(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def load_surface(path: Path | None, reconstruction: Reconstruction, *, kept_in: Path | None = None) -> LazySurface:
    """Return the surface of a result from its file; without the file, or where it is another result's, it is empty.

    Args:
        path: ``surface.npz`` of the same run.
        reconstruction: The result.
        kept_in: Where the sheets are kept once they are built; see ``LazySurface``.

    Raises:
        FormatError: The file is damaged.
    """
    from human3r.surface.meshing.sheets import LazySurface

    if path is None or not path.is_file():
        return LazySurface(reconstruction)
    return LazySurface(reconstruction, *_load(path, reconstruction), kept_in)


def load_keyframes(path: Path, reconstruction: Reconstruction) -> list[Keyframe]:
    """Read the keyframes of a result; none where they are another result's.

    Raises:
        FormatError: The file is damaged, or holds what no run writes.
    """
    return _load(path, reconstruction)[0]


def _load(path: Path, reconstruction: Reconstruction) -> tuple[list[Keyframe], PeopleColors]:
    arrays = read_arrays(path, _LAYOUT | _PEOPLE_LAYOUT | _SHAPE_LAYOUT, _LAYOUT)
    if str(arrays["schema"]) != _SCHEMA or len(arrays["frame_index"]) > MAX_KEYFRAMES:
        raise FormatError(f"{path.name} holds no keyframes of this version.", _REMEDY)
    # Of another run are other frames, or other cameras.
    if not np.array_equal(arrays["result_frame_index"], reconstruction.frame_index) or not np.array_equal(
        arrays["result_path"], reconstruction.T_world_camera
    ):
        return [], {}
    depth, content = arrays["depth"], arrays["pictures"].tobytes()
    sizes = [max(int(size), 0) for size in arrays["picture_bytes"]]
    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    shapes = arrays.get("depth_shape", np.broadcast_to(depth.shape[1:], (len(depth), 2)))
    if (
        (shapes < 1).any()
        or sum(sizes) != len(content)
        or not np.isfinite(arrays["rect_px"]).all()
        or not np.isfinite(depth).all()
    ):
        raise FormatError(f"{path.name} is damaged.", _REMEDY)
    keyframes = [
        Keyframe(
            frame_index=int(frame),
            depth=np.maximum(depth[number, : shapes[number, 0], : shapes[number, 1]], np.float16(0)),
            rect_px=tuple(arrays["rect_px"][number].tolist()),
            picture=_checked_picture(content[end - size : end]),
        )
        for number, (frame, size, end) in enumerate(zip(arrays["frame_index"], sizes, ends, strict=True))
    ]
    if "people_colors" not in arrays:
        return keyframes, {}
    return keyframes, dict(zip(arrays["track_id"].tolist(), arrays["people_colors"], strict=True))


def _checked_picture(picture: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(picture), formats=["JPEG"]) as image:
            if max(image.size) <= MAX_PICTURE_PX:
                return picture
            reason = f"is {image.width} x {image.height} pixels"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = f"cannot be read ({error})"
    raise FormatError(f"A picture in {KEYFRAMES_NAME} {reason}.", _REMEDY)
