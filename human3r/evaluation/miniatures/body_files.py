"""Substitutes for the licensed body files in their formats, cut from the embedded body, for miniatures and tests."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
from scipy import sparse

from human3r.bodies.base import NUM_VERTICES, BodyArrays
from human3r.bodies.loading import EMBEDDED_BODY_PATH, read_body_arrays
from human3r.evaluation.bodies.body_kit import LSP14_ROWS
from human3r.evaluation.bodies.smpl_file import NUM_SMPL_JOINTS, NUM_SMPL_VERTICES
from human3r.evaluation.metrics import FOOT_VERTICES
from human3r.skeleton import BODY_PARENTS, Joint

GENDER_BETA = {"neutral": 0.0, "male": 0.7, "female": -0.7}
"""First shape coefficient of the substitute of each gender."""
SMPL_PARENTS = (*BODY_PARENTS, 20, 21)
_LEFT_HAND, _RIGHT_HAND = 22, 23
_MIDDLE_FINGERS = (28, 43)
"""SMPL-X joints at which SMPL has its hands."""
_LSP14_JOINTS = (8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20, 12, 15)
"""SMPL joints in place of the fourteen of the H36M regressor."""
_NUM_NEIGHBORS = 150
"""Number of vertices that a joint is regressed from."""


def write_body_files(folder: Path) -> None:
    """Write the bodies of three genders in both formats, the transfer matrix and the H36M regressor."""
    folder.mkdir(parents=True, exist_ok=True)
    body = read_body_arrays(EMBEDDED_BODY_PATH)
    kept = _kept_vertices(body)
    regressor = _joint_regressor(body, kept)
    for gender, beta in GENDER_BETA.items():
        _write_pickle(folder / f"SMPL_{gender.upper()}.pkl", _smpl_content(body, kept, regressor, beta))
        _write_smplx(folder / f"SMPLX_{gender.upper()}.npz", beta)
    ones = np.ones(NUM_SMPL_VERTICES)
    matrix = sparse.csr_matrix((ones, (np.arange(NUM_SMPL_VERTICES), kept)), (NUM_SMPL_VERTICES, NUM_VERTICES))
    _write_pickle(folder / "smplx2smpl.pkl", {"matrix": matrix})
    h36m = np.zeros((17, NUM_SMPL_VERTICES))
    h36m[list(LSP14_ROWS)] = regressor[list(_LSP14_JOINTS)]
    np.save(folder / "J_regressor_h36m.npy", h36m)


def _write_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def _write_smplx(path: Path, beta: float) -> None:
    if beta == 0:
        shutil.copyfile(EMBEDDED_BODY_PATH, path)
        return
    with np.load(EMBEDDED_BODY_PATH, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["v_template"] = arrays["v_template"] + beta * arrays["shapedirs"][..., 0].astype(np.float32)
    np.savez(path, **arrays)


def _kept_vertices(body: BodyArrays) -> np.ndarray:
    """Choose 6890 of the vertices, with toes and heels at SMPL's indices."""
    kept = np.round(np.linspace(0, NUM_VERTICES - 1, NUM_SMPL_VERTICES)).astype(np.int64)
    owner, template = body.skinning_weights[kept].argmax(1), body.template[kept]
    for foot, ankle, slots in ((10, 7, FOOT_VERTICES[:2]), (11, 8, FOOT_VERTICES[2:])):
        rows = np.flatnonzero((owner == foot) | (owner == ankle))
        low = rows[template[rows, 1] < template[rows, 1].min() + 0.02]
        for slot, row in zip(slots, (low[template[low, 2].argmax()], low[template[low, 2].argmin()]), strict=True):
            kept[slot], kept[row] = kept[row], kept[slot]
    return kept


def _joint_regressor(body: BodyArrays, kept: np.ndarray) -> np.ndarray:
    """Fit ``24 6890`` weights that give the same joints as the whole body, in every shape."""
    blend = np.concatenate([body.template[..., None], body.shape_directions], -1).astype(np.float64)
    wanted = np.einsum("jv,vck->jck", body.joint_regressor.astype(np.float64), blend)
    rows = (*range(_LEFT_HAND), *_MIDDLE_FINGERS)
    regressor = np.zeros((NUM_SMPL_JOINTS, NUM_SMPL_VERTICES))
    for joint, row in enumerate(rows):
        distance = np.linalg.norm(body.template[kept] - wanted[row, :, 0], axis=1)
        near = np.argsort(distance)[:_NUM_NEIGHBORS]
        equations = np.concatenate([blend[kept[near]].reshape(len(near), -1).T, np.ones((1, len(near)))])
        regressor[joint, near] = np.linalg.lstsq(equations, np.append(wanted[row].ravel(), 1.0), rcond=None)[0]
    return regressor


def _smpl_content(body: BodyArrays, kept: np.ndarray, regressor: np.ndarray, beta: float) -> dict[str, object]:
    """Return the fields of an SMPL file; fingers and face belong to hands and head."""
    weights = np.zeros((NUM_SMPL_VERTICES, NUM_SMPL_JOINTS), np.float32)
    owners = [*range(_LEFT_HAND), *(Joint.HEAD,) * 3, *(_LEFT_HAND,) * 15, *(_RIGHT_HAND,) * 15]
    for joint, owner in enumerate(owners):
        weights[:, owner] += body.skinning_weights[kept, joint]
    directions = np.zeros((NUM_SMPL_VERTICES, 3, 9 * (NUM_SMPL_JOINTS - 1)), np.float32)
    if body.pose_directions is not None:
        count = 9 * (_LEFT_HAND - 1)
        directions[..., :count] = body.pose_directions[kept][..., :count]
    parents = np.array(SMPL_PARENTS)
    parents[0] = 2**32 - 1
    return {
        "v_template": (body.template + beta * body.shape_directions[..., 0])[kept].astype(np.float64),
        "shapedirs": body.shape_directions[kept],
        "posedirs": directions,
        "J_regressor": sparse.csc_matrix(regressor),
        "weights": weights,
        "kintree_table": np.stack([parents, np.arange(NUM_SMPL_JOINTS)]).astype(np.uint32),
        "f": np.arange(3 * (NUM_SMPL_VERTICES // 3), dtype=np.uint32).reshape(-1, 3),
    }
