"""The synthetic SMPL-X file of the golden numbers: arrays of the licensed shapes, generated from a written rule."""

from __future__ import annotations

import functools
import zlib
from pathlib import Path

import numpy as np

from human3r.skeleton import PARENTS

V, J = 10475, 55


def normals(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normals seeded by the array's name."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(f"smplx/{name}".encode()))).standard_normal(shape)


@functools.cache
def synthetic_arrays() -> dict[str, np.ndarray]:
    """Every array of the file, keyed as in the released npz; do not write into them."""
    step = 0.12 * normals("u", (J, 3))
    anchors = np.zeros((J, 3))
    for joint in range(1, J):
        anchors[joint] = anchors[PARENTS[joint]] + step[joint]
    segment = np.arange(V) * J // V
    weights = np.zeros((V, J))
    weights[np.arange(V), segment] = np.where(segment == 0, 1.0, 0.7)
    weights[np.arange(V), np.maximum(np.array(PARENTS)[segment], 0)] += np.where(segment == 0, 0.0, 0.3)
    regressor = np.zeros((J, V))
    for joint in range(J):
        regressor[joint, 190 * joint + 20 * np.arange(8)] = 1 / 8
    index = np.arange(20908)
    bary = np.abs(normals("lmk_bary_coords", (51, 3)))
    dynamic = np.abs(normals("dynamic_lmk_bary_coords", (79, 17, 3)))
    return {
        "v_template": anchors[segment] + 0.05 * normals("v_template", (V, 3)),
        "shapedirs": 0.01 * normals("shapedirs", (V, 3, 400)),
        "posedirs": 0.002 * normals("posedirs", (V, 3, 486)),
        "J_regressor": regressor,
        "weights": weights,
        "f": np.stack([index % V, (7 * index + 1) % V, (13 * index + 2) % V], axis=1).astype(np.uint32),
        "kintree_table": np.stack([PARENTS, np.arange(J)]).astype(np.uint32),
        "hands_componentsl": 0.1 * normals("hands_componentsl", (45, 45)),
        "hands_componentsr": 0.1 * normals("hands_componentsr", (45, 45)),
        "hands_meanl": 0.1 * normals("hands_meanl", (45,)),
        "hands_meanr": 0.1 * normals("hands_meanr", (45,)),
        "lmk_faces_idx": 401 * np.arange(51) % 20908,
        "lmk_bary_coords": bary / bary.sum(axis=1, keepdims=True),
        "dynamic_lmk_faces_idx": (97 * np.arange(79 * 17) % 20908).reshape(79, 17),
        "dynamic_lmk_bary_coords": dynamic / dynamic.sum(axis=-1, keepdims=True),
    }


def write_synthetic(path: Path, **replaced: np.ndarray | None) -> Path:
    """Write the file; a keyword replaces an array, or drops it when None."""
    arrays = {**synthetic_arrays(), **replaced}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def write_small(path: Path, **replaced: np.ndarray | None) -> Path:
    """Write a file of the short layout, without pose correctives: quick to make, and as valid."""
    small = {
        "posedirs": np.zeros((V, 3, 486), dtype=np.float16),
        "shapedirs": synthetic_arrays()["shapedirs"][..., :20].astype(np.float32),
    }
    return write_synthetic(path, **{**small, **replaced})
