"""Read a released SMPL body: a pickle of Python 2 or 3, with or without Chumpy, parsed without unpickling.

The result has the layout of our own bodies, with 24 joints and no face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from human3r.assets.conversion.foreign_arrays import read_foreign_pickle
from human3r.bodies.base import NUM_BETAS, BodyArrays
from human3r.errors import AssetIntegrityError

NUM_SMPL_VERTICES = 6890
NUM_SMPL_JOINTS = 24
_SHAPES: dict[str, tuple[int, ...]] = {
    "v_template": (NUM_SMPL_VERTICES, 3),
    "shapedirs": (NUM_SMPL_VERTICES, 3, -1),
    "posedirs": (NUM_SMPL_VERTICES, 3, (NUM_SMPL_JOINTS - 1) * 9),
    "J_regressor": (NUM_SMPL_JOINTS, NUM_SMPL_VERTICES),
    "weights": (NUM_SMPL_VERTICES, NUM_SMPL_JOINTS),
    "f": (-1, 3),
    "kintree_table": (2, NUM_SMPL_JOINTS),
}
_REMEDY = "Give SMPL_NEUTRAL.pkl, SMPL_MALE.pkl and SMPL_FEMALE.pkl of https://smpl.is.tue.mpg.de."


def read_smpl_arrays(path: Path) -> BodyArrays:
    """Read and check a body of SMPL 1.0 or 1.1.

    Raises:
        FormatError: Not a pickle of arrays.
        AssetIntegrityError: An array is missing, or has a wrong shape or value.
    """
    content = read_foreign_pickle(path)
    arrays = {name: _array(path, content, name) for name in _SHAPES}
    weights, parents = arrays["weights"], arrays["kintree_table"][0].astype(np.int64)
    is_tree = (parents[1:] >= 0).all() and (parents[1:] < np.arange(1, NUM_SMPL_JOINTS)).all()
    if not is_tree or weights.min() < -1e-3 or np.abs(weights.sum(1) - 1).max() > 1e-2:
        raise AssetIntegrityError(f"{path.name} has a damaged skeleton or damaged skinning weights.", _REMEDY)
    parents[0] = -1
    floats = {name: np.array(array, np.float32) for name, array in arrays.items()}
    return BodyArrays(
        name=path.stem,
        template=floats["v_template"],
        shape_directions=floats["shapedirs"][..., :NUM_BETAS],
        expression_directions=np.zeros((NUM_SMPL_VERTICES, 3, 0), np.float32),
        pose_directions=floats["posedirs"] if floats["posedirs"].any() else None,
        joint_regressor=floats["J_regressor"],
        skinning_weights=floats["weights"],
        faces=arrays["f"].astype(np.int64),
        parents=parents,
        landmark_faces=np.zeros(0, np.int64),
        landmark_weights=np.zeros((0, 3), np.float32),
    )


def _array(path: Path, content: object, name: str) -> np.ndarray:
    value = content.get(name) if isinstance(content, dict) else None
    if value is not None and sparse.issparse(value):
        value = value.toarray()
    shape = _SHAPES[name]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.ndim != len(shape):
        raise AssetIntegrityError(f"{path.name} has no array {name!r}: it is not an SMPL body.", _REMEDY)
    fits = all(wanted in (-1, found) for wanted, found in zip(shape, value.shape, strict=True))
    if not fits or not np.isfinite(value).all() or (name == "shapedirs" and value.shape[-1] < NUM_BETAS):
        raise AssetIntegrityError(f"The array {name!r} of {path.name} is of shape {value.shape} or damaged.", _REMEDY)
    return value
