"""Read and validate an SMPL-X-format npz without ever unpickling.

Only the named members are opened, and each header is checked before its data is read: the licensed file may contain
object arrays, and a hostile file may announce any size.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from human3r.bodies.base import (
    EMBEDDED_BODY_NAME,
    LICENSED_BODY_NAME,
    NUM_BETAS,
    NUM_EXPRESSION,
    NUM_VERTICES,
    BodyArrays,
)
from human3r.bodies.smplx import SmplxBody
from human3r.errors import AssetIntegrityError, AssetMissingError
from human3r.skeleton import NUM_JOINTS

EMBEDDED_BODY_PATH = Path(__file__).parent.parent / "assets" / "body" / "smplx_human3r.npz"
"""The embedded body; the smplx package requires file names that start with ``smplx_``."""

_LICENSED_FACES = 20908
_MAX_FACES = 4 * NUM_VERTICES
_SHAPE_COMPONENTS = {20: 10, 400: 300}
"""Number of blend shapes in the file -> index of the first expression. Source: SMPL-X v1.0 and v1.1 files."""
_REMEDY = (
    "Give the SMPLX_NEUTRAL.npz of https://smpl-x.is.tue.mpg.de, or leave the path empty to use the embedded body."
)

_Shape = tuple[int | None, ...]
_MEMBERS: dict[str, tuple[str, _Shape]] = {
    "v_template": ("f", (NUM_VERTICES, 3)),
    "shapedirs": ("f", (NUM_VERTICES, 3, None)),
    "posedirs": ("f", (NUM_VERTICES, 3, (NUM_JOINTS - 1) * 9)),
    "J_regressor": ("f", (NUM_JOINTS, NUM_VERTICES)),
    "weights": ("f", (NUM_VERTICES, NUM_JOINTS)),
    "hands_meanl": ("f", (45,)),
    "hands_meanr": ("f", (45,)),
    "f": ("iu", (None, 3)),
    "kintree_table": ("iu", (2, NUM_JOINTS)),
    "lmk_faces_idx": ("iu", (51,)),
    "lmk_bary_coords": ("f", (51, 3)),
}
MEMBER_NAMES = tuple(_MEMBERS)
"""Arrays that are read from a body file."""


def load_body(path: str | Path | None = None) -> SmplxBody:
    """Load a body model from an SMPL-X-format npz; without a path, the embedded one.

    Raises:
        AssetMissingError: There is no such file.
        AssetIntegrityError: The file is not an SMPL-X npz, or its arrays are not SMPL-X's.
    """
    return SmplxBody(read_body_arrays(EMBEDDED_BODY_PATH if path is None else Path(path)))


def read_body_arrays(path: Path) -> BodyArrays:
    """Read and check the required arrays.

    Raises:
        AssetMissingError: There is no such file.
        AssetIntegrityError: A member is missing, or has a wrong type, shape or value.
    """
    if not path.is_file():
        raise AssetMissingError(f"The body model {path.name} does not exist.", _REMEDY)
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            missing = sorted(name for name in _MEMBERS if f"{name}.npy" not in names)
            if missing:
                raise AssetIntegrityError(f"The body model {path.name} lacks {', '.join(missing)}.", _REMEDY)
            is_ours = "human3r_body.npy" in names
            # The pose correctives of the embedded body are 30 MB of zeros.
            wanted = {name: rule for name, rule in _MEMBERS.items() if not (is_ours and name == "posedirs")}
            arrays = {name: _read_member(archive, path, name, *rule) for name, rule in wanted.items()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise AssetIntegrityError(
            f"The body model {path.name} is not a readable npz file ({error}).", _REMEDY
        ) from error
    _check_values(path, arrays, is_ours=is_ours)
    return _to_body_arrays(arrays, EMBEDDED_BODY_NAME if is_ours else LICENSED_BODY_NAME)


def _read_member(archive: zipfile.ZipFile, path: Path, name: str, kinds: str, shape: _Shape) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        found_shape, dtype = read_array_header(stream)
    fits = len(found_shape) == len(shape) and all(
        expected in (None, found) for expected, found in zip(shape, found_shape, strict=True)
    )
    if name == "shapedirs":
        fits = fits and found_shape[-1] in _SHAPE_COMPONENTS
    if name == "f":
        fits = fits and 0 < found_shape[0] <= _MAX_FACES
    if dtype.kind not in kinds or not fits:
        expected = "x".join("n" if size is None else str(size) for size in shape)
        raise AssetIntegrityError(
            f"Array {name} of the body model {path.name} is {dtype} of shape {found_shape}, expected {expected} "
            f"of kind {'float' if kinds == 'f' else 'integer'}.",
            _REMEDY,
        )
    with archive.open(f"{name}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def read_array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of an npy stream, which is left at the data.

    Raises:
        ValueError: The stream is no npy of version 1 or 2.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"npy version {version} is not supported")
    return shape, dtype


def _check_values(path: Path, arrays: dict[str, np.ndarray], *, is_ours: bool) -> None:
    def refuse(what: str) -> None:
        raise AssetIntegrityError(f"The body model {path.name} has {what}.", _REMEDY)

    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            refuse(f"values in {name} that are not finite")
    faces = arrays["f"].astype(np.int64)
    if not is_ours and len(faces) != _LICENSED_FACES:
        refuse(f"{len(faces)} faces, expected {_LICENSED_FACES}")
    if faces.min() < 0 or faces.max() >= NUM_VERTICES:
        refuse(f"faces that point outside its {NUM_VERTICES} vertices")
    landmarks = arrays["lmk_faces_idx"].astype(np.int64)
    if landmarks.min() < 0 or landmarks.max() >= len(faces):
        refuse(f"landmarks that point outside its {len(faces)} faces")
    weights = arrays["weights"].astype(np.float64)
    if weights.min() < -1e-3 or np.abs(weights.sum(axis=1) - 1).max() > 1e-2:
        refuse("skinning weights that are negative or do not sum to 1")
    if np.abs(arrays["J_regressor"].astype(np.float64).sum(axis=1) - 1).max() > 1e-2:
        refuse("a joint regressor whose rows do not sum to 1")
    parents = arrays["kintree_table"][0].astype(np.int64)[1:]
    if (parents < 0).any() or (parents >= np.arange(1, NUM_JOINTS)).any():
        refuse("a kinematic tree in which a joint comes before its parent")


def _to_body_arrays(arrays: dict[str, np.ndarray], name: str) -> BodyArrays:
    def as_float(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array, dtype=np.float32)

    blend_shapes = arrays["shapedirs"]
    first_expression = _SHAPE_COMPONENTS[blend_shapes.shape[-1]]
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    pose_directions = arrays.get("posedirs")
    return BodyArrays(
        name=name,
        template=as_float(arrays["v_template"]),
        shape_directions=as_float(blend_shapes[..., :NUM_BETAS]),
        expression_directions=as_float(blend_shapes[..., first_expression : first_expression + NUM_EXPRESSION]),
        pose_directions=as_float(pose_directions) if pose_directions is not None and pose_directions.any() else None,
        joint_regressor=as_float(arrays["J_regressor"]),
        skinning_weights=as_float(arrays["weights"]),
        faces=arrays["f"].astype(np.int64),
        parents=parents,
        landmark_faces=arrays["lmk_faces_idx"].astype(np.int64),
        landmark_weights=as_float(arrays["lmk_bary_coords"]),
    )
