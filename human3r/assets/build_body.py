"""Build the embedded body: an SMPL-X-format file that anyone may ship, from Anny alone.

Run where this package and ``anny==0.6.2`` are installed (Anny is needed at build time only):

    python -m human3r.assets.build_body --anny anny_people.npz -o human3r/assets/body/smplx_human3r.npz

The ``--anny`` file caches Anny's sampled people; it is made on the first run (some minutes) and reused afterwards.
The same cache gives the same file.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from human3r.assets.body_build.decimate import decimate
from human3r.assets.body_build.hands import hand_components
from human3r.assets.body_build.rest_pose import rest_pose_rotations, skin
from human3r.assets.body_build.shape_space import ShapeSpace, fit_joint_regressor, fit_shape_space
from human3r.assets.body_build.skeleton import INDEX, PARENTS, joint_of_bone, joint_weights, place_joints
from human3r.assets.body_build.slots import find_slot_vertices, slot_order
from human3r.assets.body_build.source import AnnySource, sample_anny

NUM_VERTICES = 10475
"""SMPL-X's own count, so that code which hard-codes it keeps working."""
PELVIS = np.array([0.0, -0.351, 0.012])
"""Where SMPL-X's mean body has its pelvis: the origin of the body frame lies in the chest."""
_WEIGHT_STEPS = 1024
"""Skinning weights are multiples of 1/1024, exact in float16, and each row sums to exactly one."""

logger = logging.getLogger(__name__)


def build_body(source: AnnySource) -> dict[str, np.ndarray]:
    """Turn Anny's people into the arrays of an SMPL-X-format npz."""
    vertices, joints = _rest_people(source)
    num_adults = int(source.num_adults)
    mean, mean_joints = vertices[:num_adults].mean(axis=0), joints[:num_adults].mean(axis=0)
    owners = joint_of_bone(source.bone_names, source.bone_parents)
    weights = joint_weights(source.weights, owners, mean, mean_joints)
    slots = find_slot_vertices(source, mean, weights)
    kept, faces = _thin(source, mean, slots)
    renumber = np.full(len(mean), -1)
    renumber[kept] = np.arange(len(kept))
    order = slot_order(len(kept), {name: int(renumber[row]) for name, row in slots.items()})
    rows = kept[order]
    renumber[rows] = np.arange(len(rows))
    triangles = renumber[faces[:, 1:]]
    space = fit_shape_space(vertices[:, rows], joints, num_adults)
    expressions = np.moveaxis(source.expressions[:, rows], 0, -1)
    regressor = fit_joint_regressor(space, expressions, np.arange(len(rows)))
    _report(space, regressor, expressions)
    return _pack(source, space, expressions, regressor, weights[rows], triangles, faces, rows)


def _rest_people(source: AnnySource) -> tuple[np.ndarray, np.ndarray]:
    """Everyone in SMPL-X's rest pose, pelvis at SMPL-X's pelvis: vertices ``S N 3``, joints ``S 55 3``."""
    heads = source.bone_heads.astype(np.float64)
    rotations = rest_pose_rotations(source.bone_names, heads)
    vertices, heads = skin(source.vertices, source.weights, heads, source.bone_parents, rotations)
    joints = place_joints(source.bone_names, heads)
    shift = PELVIS - joints[:, :1]
    return vertices + shift.astype(np.float32), joints + shift


def _thin(source: AnnySource, mean: np.ndarray, slots: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Decimate the mean body, keeping texture seams and named vertices."""
    is_fixed = np.zeros(len(mean), dtype=bool)
    corners = np.unique(np.stack([source.faces.ravel(), source.uv_faces.ravel()], axis=1), axis=0)
    is_fixed[np.flatnonzero(np.bincount(corners[:, 0], minlength=len(mean)) > 1)] = True
    is_fixed[list(slots.values())] = True
    return decimate(mean.astype(np.float64), source.faces, NUM_VERTICES, is_fixed, source.is_interior)


def _pack(
    source: AnnySource,
    space: ShapeSpace,
    expressions: np.ndarray,
    regressor: np.ndarray,
    weights: np.ndarray,
    triangles: np.ndarray,
    faces: np.ndarray,
    rows: np.ndarray,
) -> dict[str, np.ndarray]:
    uv, uv_faces = _texture(source, faces, rows)
    arrays = {
        "v_template": space.mean.astype(np.float32),
        "shapedirs": np.concatenate([space.directions, expressions], axis=-1).astype(np.float16),
        "posedirs": np.zeros((NUM_VERTICES, 3, 486), dtype=np.float16),
        "J_regressor": regressor.astype(np.float32),
        "weights": _quantise(weights),
        "f": triangles.astype(np.uint32),
        "kintree_table": np.stack([np.array(PARENTS), np.arange(55)]).astype(np.uint32),
        "vt": uv.astype(np.float32),
        "ft": uv_faces.astype(np.uint32),
        "lmk_faces_idx": np.zeros(51, dtype=np.int64),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "dynamic_lmk_faces_idx": np.zeros((79, 17), dtype=np.int64),
        "dynamic_lmk_bary_coords": np.full((79, 17, 3), 1 / 3),
        "human3r_body": np.array("Derived from Anny 0.6.2 (code Apache-2.0, body data CC0). Free to ship."),
    }
    for side in ("left", "right"):
        components, mean = hand_components(side)
        arrays[f"hands_components{side[0]}"] = components.astype(np.float32)
        arrays[f"hands_mean{side[0]}"] = mean.astype(np.float32)
    return arrays


def _texture(source: AnnySource, faces: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates of the surviving corners.

    A corner that moved to another vertex takes that vertex's coordinate; seam vertices never move, so it has one.
    """
    coordinate = np.zeros(len(source.is_interior), dtype=np.int64)
    coordinate[source.faces.ravel()] = source.uv_faces.ravel()
    original = source.faces[faces[:, 0]]
    corners = np.where(original == faces[:, 1:], source.uv_faces[faces[:, 0]], coordinate[faces[:, 1:]])
    used, renumbered = np.unique(corners, return_inverse=True)
    return source.uv[used], renumbered.reshape(corners.shape)


def _quantise(weights: np.ndarray) -> np.ndarray:
    """Round to multiples of 1/1024 by largest remainder, so that every row still sums to one."""
    scaled = weights / weights.sum(axis=1, keepdims=True) * _WEIGHT_STEPS
    floor = np.floor(scaled)
    missing = (_WEIGHT_STEPS - floor.sum(axis=1)).astype(int)
    rank = np.argsort(np.argsort(floor - scaled, axis=1, kind="stable"), axis=1, kind="stable")
    return ((floor + (rank < missing[:, None])) / _WEIGHT_STEPS).astype(np.float16)


def _report(space: ShapeSpace, regressor: np.ndarray, expressions: np.ndarray) -> None:
    """Log how well the regressor follows the joints."""
    mean_error = np.linalg.norm(regressor @ space.mean - space.joint_mean, axis=1)
    shape_error = np.linalg.norm(np.einsum("jn,nic->jic", regressor, space.directions) - space.joint_directions, axis=1)
    drift = np.linalg.norm(np.einsum("jn,nic->jic", regressor, expressions), axis=1)
    logger.info(
        "joint regressor: mean %.2f mm, per shape unit %.2f mm", 1e3 * mean_error.max(), 1e3 * shape_error.max()
    )
    logger.info("joint regressor: %.2f mm per expression unit, body joints", 1e3 * drift[: INDEX["jaw"]].max())
    logger.info("joint regressor: weights in [%.2f, %.2f]", regressor.min(), regressor.max())


def main(arguments: list[str] | None = None) -> None:
    """Build the file named on the command line."""
    parser = argparse.ArgumentParser(description="Build the embedded body from Anny.")
    parser.add_argument("--anny", type=Path, required=True, help="cache of Anny's sampled people (.npz)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not options.anny.exists():
        sample_anny().save(options.anny)
    arrays = build_body(AnnySource.load(options.anny))
    temporary = options.output.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(options.output)
    logger.info("%s: %.2f MB", options.output.name, options.output.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
