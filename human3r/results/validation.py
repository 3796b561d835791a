"""Checks of the values of a saved reconstruction, so that viewers and exporters need none.

Types, shapes and sizes are checked by ``array_archive`` before. Depth maps are not checked, because nothing computes
with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from human3r.errors import FormatError

MAX_IDENTITIES = 10_000
MAX_SIDE_PX = 65_535
"""Of a source frame."""
MAX_COORDINATE_M = 1e6
MAX_FPS = 100_000.0
MAX_TIME_S = 1e8
"""Three years."""
_MAX_RADIANS = 1e3
"""Of an axis-angle component; predictions are below 2 pi, but other programs may add turns."""
_MAX_COEFFICIENT = 1e3
"""Of shape and expression."""
_MAX_PIXELS = 1e12
"""Of a projected joint: one close to the camera's plane lies far outside."""
_MAX_FOCAL_PX = 1e7
_ORTHONORMAL = 0.1
"""Tolerance of R R^T - I; float32 paths of long clips and of earlier versions drift."""
_MAX_DEPTH = 32
"""Nesting of ``meta``."""
_MAX_NUMBER = 1e9
"""Of a shot's first frame and factors."""
_BENDS = (3, 5, 6)
"""Numbers of coefficients of a shot's bend; earlier versions have the smaller ones."""
_TEXTS = ("model", "model_sha256", "body", "version", "source", "device", "precision")
"""Optional entries of ``meta`` that are strings."""
_ANGLES = (-_MAX_RADIANS, _MAX_RADIANS)
_COEFFICIENTS = (-_MAX_COEFFICIENT, _MAX_COEFFICIENT)
_COORDINATES = (-MAX_COORDINATE_M, MAX_COORDINATE_M)
_RANGES: dict[str, tuple[float, float]] = {
    "fps": (1e-6, MAX_FPS),
    "frame_index": (0, 2**53),
    "time_s": (0, MAX_TIME_S),
    "image_size": (1, MAX_SIDE_PX),
    "K": (-_MAX_FOCAL_PX, _MAX_FOCAL_PX),
    "T_world_camera": _COORDINATES,
    "T_gravity_world": _COORDINATES,
    "person_track": (0, 2**53),
    "person_score": _COEFFICIENTS,
    "global_orient": _ANGLES,
    "body_pose": _ANGLES,
    "left_hand_pose": _ANGLES,
    "right_hand_pose": _ANGLES,
    "jaw_pose": _ANGLES,
    "leye_pose": _ANGLES,
    "reye_pose": _ANGLES,
    "betas": _COEFFICIENTS,
    "expression": _COEFFICIENTS,
    "track_betas": _COEFFICIENTS,
    "transl": _COORDINATES,
    "joints_world": _COORDINATES,
    "joints_image_px": (-_MAX_PIXELS, _MAX_PIXELS),
    "points_world": _COORDINATES,
    "points_confidence": (0, float(np.finfo(np.float32).max)),
    "depth_crop": (-MAX_SIDE_PX, 2 * MAX_SIDE_PX),
    "foot_contact": (0, 1),
}
"""Smallest and largest value of a field."""
_REMEDY = "Run reconstruct again, or ask for another copy of the file."


def check_values(values: Mapping[str, Any]) -> None:
    """Check the fields of a result, by name.

    Raises:
        FormatError: A value is missing, out of range, not finite or contradicts another one; with value and limit.
    """
    num_frames = len(values["frame_index"])
    if num_frames == 0:
        raise FormatError("The reconstruction has 0 frames; it needs at least 1.", _REMEDY)
    for name, limits in _RANGES.items():
        if values[name] is not None:
            _check_range(name, np.asarray(values[name]), *limits)
    for name in ("person_frame", "points_frame"):
        _check_range(name, values[name], 0, num_frames - 1)
    for name in ("frame_index", "time_s"):
        rises = np.diff(values[name]) > 0
        if not rises.all():
            row = int(np.flatnonzero(~rises)[0])
            raise FormatError(f"{name} does not rise: {values[name][row + 1]} follows {values[name][row]}.", _REMEDY)
    _check_range("The first shot", values["shot"][:1], 0, 0)
    _check_range("The step from shot to shot", np.diff(values["shot"]), 0, 1)
    _check_cameras(values)
    _check_people(values)
    if values["depth_frame_index"] is not None:
        strays = np.setdiff1d(values["depth_frame_index"], values["frame_index"])
        if len(strays):
            raise FormatError(f"depth_frame_index names frame {strays[0]}, which was not processed.", _REMEDY)


def parse_meta(text: str) -> dict[str, Any]:
    """Return the ``meta`` of a result.

    Raises:
        FormatError: It is not a JSON object, nests deeply, or a known entry has another type.
    """
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise FormatError(f"The meta entry is not JSON ({error}).", _REMEDY) from error
    if not isinstance(meta, dict):
        raise FormatError(f"The meta entry is a {type(meta).__name__}, not an object.", _REMEDY)
    level: list[Any] = [meta]
    for _ in range(_MAX_DEPTH):
        items = (item for node in level for item in (node.values() if isinstance(node, dict) else node))
        level = [item for item in items if isinstance(item, (dict, list))]
    if level:
        raise FormatError(f"The meta entry nests deeper than {_MAX_DEPTH} levels.", _REMEDY)
    for name in _TEXTS:
        if not isinstance(meta.get(name, ""), str):
            raise FormatError(f"The meta entry {name!r} is a {type(meta[name]).__name__}, not a text.", _REMEDY)
    warnings = meta.get("warnings", [])
    if not isinstance(warnings, list) or not all(isinstance(each, str) for each in warnings):
        raise FormatError("The meta entry 'warnings' is not a list of texts.", _REMEDY)
    shots = meta.get("shots", [])
    if not isinstance(shots, list) or not all(_is_shot(shot) for shot in shots):
        raise FormatError("The meta entry 'shots' is not a list of objects with numbers.", _REMEDY)
    return meta


def _is_shot(shot: object) -> bool:
    """Return whether what is computed with of a shot is there: first frame, factors on its depth."""
    if not isinstance(shot, dict):
        return False
    lens: Any = shot.get("lens") or {}
    scale: Any = shot.get("scale") or {"value": 1.0}
    if not isinstance(lens, dict) or not isinstance(scale, dict):
        return False
    lists = lens.get("depth_growth", []), scale.get("bend", [0.0] * 3)
    if not all(isinstance(values, list) for values in lists) or len(lists[1]) not in _BENDS:
        return False
    numbers: list[Any] = [shot.get("first_frame", 0), scale.get("value"), *lists[0], *lists[1]]
    if "views" in shot:
        views: Any = shot["views"]
        if not isinstance(views, dict) or not _is_rectangle(views.get("log_depth"), views.get("frame")):
            return False
        numbers += [views.get("middle_m"), *views["frame"], *(number for row in views["log_depth"] for number in row)]
    return all(isinstance(number, (int, float)) and abs(number) < _MAX_NUMBER for number in numbers) and numbers[1] > 0


def _is_rectangle(rows: object, numbers: object) -> bool:
    """Return whether there are lists of one length, as many as numbers, at least one."""
    if not isinstance(rows, list) or not isinstance(numbers, list) or not 0 < len(rows) == len(numbers):
        return False
    return all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows)


def _check_cameras(values: Mapping[str, Any]) -> None:
    _check_range("The focal length in K", values["K"][:, (0, 1), (0, 1)], 1e-3, _MAX_FOCAL_PX)
    _check_range("The last row of K", values["K"][:, 2] - np.array([0, 0, 1]), -1e-6, 1e-6)
    for name in ("T_world_camera", "T_gravity_world"):
        T = values[name].reshape(-1, 4, 4)
        R = T[:, :3, :3].astype(np.float64)
        _check_range(f"R R^T - I in {name}", R @ R.swapaxes(1, 2) - np.eye(3), -_ORTHONORMAL, _ORTHONORMAL)
        _check_range(f"The determinant in {name}", np.linalg.det(R), 0.5, 2)
        _check_range(f"The last row of {name}", T[:, 3] - np.array([0, 0, 0, 1]), -1e-6, 1e-6)


def _check_people(values: Mapping[str, Any]) -> None:
    _check_range("The number of identities", np.array(len(values["track_id"])), 0, MAX_IDENTITIES)
    seen = np.unique(values["person_track"])
    if not np.array_equal(seen, np.sort(values["track_id"])):
        message = f"track_id lists {len(values['track_id'])} identities that are not the {len(seen)} of person_track."
        raise FormatError(message, _REMEDY)
    sightings = np.stack([values["person_frame"], values["person_track"]])
    num_repeated = sightings.shape[1] - np.unique(sightings, axis=1).shape[1]
    if num_repeated:
        raise FormatError(f"{num_repeated} people are in one frame twice.", _REMEDY)


def _check_range(name: str, values: np.ndarray, low: float, high: float) -> None:
    is_good = (values >= low) & (values <= high)  # NaN is neither
    if not is_good.all():
        worst = values[~is_good].flat[0]
        raise FormatError(f"{name} is {worst:.6g}; it must be from {low:.6g} to {high:.6g}.", _REMEDY)
