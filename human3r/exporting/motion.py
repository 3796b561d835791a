"""One person of a reconstruction as a skinned figure: rest mesh, skeleton, and a pose per seen frame.

Shared by the formats that animate bones (GLB, USDZ, viser, BVH). A person has one shape over time (the
track's); what bones alone cannot represent (face, pose correctives) is in ``corrections``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.bodies.smplx import local_rotations
from human3r.results.posing import parameters_of_rows

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.records import Track
    from human3r.results.reconstruction import Reconstruction

NUM_INFLUENCES = 4
"""Bones per vertex guaranteed by core glTF and read by viser."""
OPENCV_FROM_GL_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Cameras of glTF and USD look along -z with y up; ours along +z with y down."""


@dataclass(frozen=True)
class Skin:
    """The part of a figure common to all people."""

    faces: np.ndarray
    """``F 3`` uint32"""
    parents: np.ndarray
    """``55`` int64, -1 for the root."""
    joint_index: np.ndarray
    """``V 4`` uint8, bones of each vertex by decreasing weight."""
    joint_weight: np.ndarray
    """``V 4`` float32, renormalized to sum 1."""


@dataclass(frozen=True)
class PersonMotion:
    """One identity over the n frames in which it was seen."""

    track_id: int
    frames: np.ndarray
    """``n`` int64, rows into the processed frames, ascending."""
    rows: np.ndarray
    """``n`` int64, the matching rows of the person table."""
    betas: np.ndarray
    """``10`` the track's shape."""
    rest_vertices: np.ndarray
    """``V 3`` float32 unposed mesh in the body's own frame, meters, with the track's betas and mean expression."""
    rest_joints: np.ndarray
    """``55 3`` float32, the same for the joints."""
    R_parent_joint: np.ndarray
    """``n 55 3 3`` local rotations; the root's parent is the world."""
    bones_world: np.ndarray
    """``n 55 3`` float32 posed rest joints, meters: the joints where an observation has the shape of its track."""
    R_world_joint: np.ndarray
    """``n 55 3 3`` float32"""

    @property
    def quat_xyzw_parent_joint(self) -> np.ndarray:
        """``n 55 4`` float32 local rotations, sign-continuous over time."""
        return continuous_quat_xyzw(self.R_parent_joint)


def build_skin(body: SmplxBody) -> Skin:
    """Reduce the body's skinning to four bones per vertex that sum to one."""
    weights = body.skinning_weights.detach().cpu().numpy()
    order = np.argsort(-weights, axis=1, kind="stable")[:, :NUM_INFLUENCES]
    kept = np.take_along_axis(weights, order, axis=1).astype(np.float64)
    kept /= kept.sum(axis=1, keepdims=True)
    # glTF validators flag a bone index on an unused slot.
    order = np.where(kept > 0, order, 0)
    faces = body.faces.cpu().numpy().astype(np.uint32)
    return Skin(faces, np.array(body.parents), order.astype(np.uint8), kept.astype(np.float32))


def coarse_skin(skin: Skin, rest_vertices: np.ndarray, cell_m: float) -> tuple[np.ndarray, Skin]:
    """Merge the vertices within every cube of a grid into the one nearest to their mean.

    Args:
        skin: Of all vertices.
        rest_vertices: ``V 3`` of anybody, meters, in the bind pose.
        cell_m: Side of the cubes, meters.

    Returns:
        The vertices that are kept, and the skin of these.
    """
    cells = np.floor(rest_vertices / cell_m).astype(np.int64)
    _, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    cell = cell.reshape(-1)
    means = np.stack([np.bincount(cell, weights=axis) for axis in rest_vertices.T], axis=1) / count[:, None]
    by_distance = np.lexsort((np.linalg.norm(rest_vertices - means[cell], axis=1), cell))
    kept = by_distance[np.concatenate([[0], np.cumsum(count)[:-1]])]
    faces = cell[skin.faces.astype(np.int64)]
    is_whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return kept, Skin(faces[is_whole].astype(np.uint32), skin.parents, skin.joint_index[kept], skin.joint_weight[kept])


@torch.inference_mode()
def build_motion(reconstruction: Reconstruction, track: Track, body: SmplxBody) -> PersonMotion:
    """Turn one track (seen at least once) into a figure with a pose per seen frame."""
    rows = track.observations
    betas = torch.from_numpy(np.array(track.betas))[None]
    expression = torch.from_numpy(reconstruction.expression[rows].mean(axis=0))[None]
    rest_joints = body.rest_joints(betas, expression)
    parameters = parameters_of_rows(reconstruction, rows)
    R_parent_joint = local_rotations(parameters)
    observed_rest = body.rest_joints(parameters.betas, parameters.expression)
    joints, R_world_joint = body.forward_kinematics(R_parent_joint, observed_rest)
    # A bone rotates about the track's rest joint; if an observation's own shape has the joint elsewhere, the bone is
    # moved by the difference, so that the rest mesh of that observation is still placed correctly.
    shift = (R_world_joint @ (rest_joints - observed_rest)[..., None])[..., 0]
    bones = joints + parameters.transl[:, None] + shift
    return PersonMotion(
        track_id=track.track_id,
        frames=track.frames,
        rows=rows,
        betas=track.betas,
        rest_vertices=body.rest_vertices(betas, expression)[0].numpy(),
        rest_joints=rest_joints[0].numpy(),
        R_parent_joint=R_parent_joint.numpy(),
        bones_world=bones.numpy(),
        R_world_joint=R_world_joint.numpy(),
    )


def continuous_quat_xyzw(R: np.ndarray) -> np.ndarray:
    """Convert ``n ... 3 3`` rotations to ``n ... 4`` float32 quaternions without sign jumps along n."""
    from scipy.spatial.transform import Rotation

    quat = Rotation.from_matrix(R.reshape(-1, 3, 3)).as_quat().reshape(*R.shape[:-2], 4)
    flips = np.where((quat[1:] * quat[:-1]).sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    quat[1:] *= np.cumprod(flips, axis=0)
    return quat.astype(np.float32)
