"""The SMPL-X skeleton: joint names, parents, counts, size, and forward kinematics along any kinematic tree.

Rest axes are SMPL-X's: x to the body's left, y up, z forward; meters. No meshes and no files.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

ArrayT = TypeVar("ArrayT", np.ndarray, Tensor)


class Joint(IntEnum):
    """SMPL-X's joints of the body and face; the 15 joints of either hand follow, left before right."""

    PELVIS = 0
    LEFT_HIP = 1
    RIGHT_HIP = 2
    SPINE1 = 3
    LEFT_KNEE = 4
    RIGHT_KNEE = 5
    SPINE2 = 6
    LEFT_ANKLE = 7
    RIGHT_ANKLE = 8
    SPINE3 = 9
    LEFT_FOOT = 10
    RIGHT_FOOT = 11
    NECK = 12
    LEFT_COLLAR = 13
    RIGHT_COLLAR = 14
    HEAD = 15
    LEFT_SHOULDER = 16
    RIGHT_SHOULDER = 17
    LEFT_ELBOW = 18
    RIGHT_ELBOW = 19
    LEFT_WRIST = 20
    RIGHT_WRIST = 21
    JAW = 22
    LEFT_EYE = 23
    RIGHT_EYE = 24


FINGERS = ("index", "middle", "pinky", "ring", "thumb")
"""In the order of SMPL-X's hands, three joints each."""
JOINT_NAMES: tuple[str, ...] = (
    *(joint.name.lower() for joint in Joint if joint < Joint.LEFT_EYE),
    *("left_eye_smplhf", "right_eye_smplhf"),
    *(f"{side}_{finger}{knuckle}" for side in ("left", "right") for finger in FINGERS for knuckle in (1, 2, 3)),
)
"""All 55, as the smplx package spells them."""
PARENTS: tuple[int, ...] = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38),
    *(21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53),
)
NUM_JOINTS = 55
NUM_BODY_JOINTS = 22
"""The first joints: pelvis to wrists, without face and hands."""
NUM_JOINT_ROTATIONS = 53
"""Rotations of a ``People`` record: root, 21 body, 15 left hand, 15 right hand, jaw (no eyes)."""
BODY_PARENTS = PARENTS[:NUM_BODY_JOINTS]
SIZE_JOINTS = (
    *(Joint.LEFT_HIP, Joint.SPINE1, Joint.LEFT_KNEE, Joint.SPINE2, Joint.LEFT_ANKLE, Joint.SPINE3),
    *(Joint.NECK, Joint.HEAD),
)
"""Lower ends of the bones from head to ankle, whose summed length is a body's size in any pose."""
TRUNK_JOINTS = (
    *(Joint.PELVIS, Joint.LEFT_HIP, Joint.RIGHT_HIP, Joint.SPINE1, Joint.LEFT_KNEE, Joint.RIGHT_KNEE, Joint.SPINE2),
    *(Joint.SPINE3, Joint.NECK, Joint.HEAD, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER),
)
"""Joints whose mean is a body's position: trunk, head, hips, knees and shoulders; hands and feet move more."""

_MAX_BODIES_BY_DOUBLING = 64
"""Number of bodies up to which fewer operators are faster than less arithmetic."""


def parent_joints(joints: ArrayT, parents: tuple[int, ...] = PARENTS) -> ArrayT:
    """Return the parent of each of the joints ``... J 3``; the root is its own parent."""
    return joints[..., _parent_rows(parents[: joints.shape[-2]], joints), :]


def bone_vectors(rest_joints: ArrayT, parents: tuple[int, ...] = PARENTS) -> ArrayT:
    """Return ``... J 3`` vectors from each joint's parent; the root's is 0.

    Args:
        rest_joints: ``... J 3`` meters.
        parents: Of at least J joints, each before its children, -1 for the root.
    """
    return rest_joints - parent_joints(rest_joints, parents)


def body_size(bones: Tensor) -> Tensor:
    """Return ``...`` lengths from head to ankle along ``... J 3`` bones of SMPL-X, meters."""
    return bones[..., list(SIZE_JOINTS), :].norm(dim=-1).sum(-1)


def parent_rotations(rotations: ArrayT, parents: tuple[int, ...] = PARENTS) -> ArrayT:
    """Return the rotation of each joint's parent, given rotations ``... J 3 3``; the root is its own parent."""
    return rotations[..., _parent_rows(parents[: rotations.shape[-3]], rotations), :, :]


def to_local_rotations(global_rotations: ArrayT) -> ArrayT:
    """Return rotations ``... J 3 3`` relative to the parent; the root's stays global."""
    local = parent_rotations(global_rotations).swapaxes(-1, -2) @ global_rotations
    local[..., 0, :, :] = global_rotations[..., 0, :, :]  # pyright: ignore[reportArgumentType]
    return local  # pyright: ignore[reportReturnType]


def forward_kinematics(rotations: Tensor, bones: Tensor, parents: tuple[int, ...] = PARENTS) -> tuple[Tensor, Tensor]:
    """Multiply local rotations along a kinematic tree: by doubling for few bodies without gradients, else by levels.

    Args:
        rotations: ``P J 3 3`` relative to the parent.
        bones: ``P J 3`` from the parent's joint in the parent's axes, meters; the root's is its position.
        parents: Of at least J joints, each before its children, -1 for the root.

    Returns:
        Global rotations ``P J 3 3`` and positions ``P J 3``.
    """
    parents = parents[: rotations.shape[1]]
    if rotations.shape[0] <= _MAX_BODIES_BY_DOUBLING and not torch.is_grad_enabled():
        return kinematics_by_doubling(rotations, bones, parents)
    return kinematics_by_levels(rotations, bones, parents)


def kinematics_by_doubling(rotations: Tensor, bones: Tensor, parents: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Compute ``forward_kinematics`` in few operators: each product joins chains of twice the length."""
    count, num_joints = rotations.shape[:2]
    motions = torch.eye(4, dtype=rotations.dtype, device=rotations.device).repeat(count, num_joints + 1, 1, 1)
    motions[:, :num_joints, :3, :3] = rotations
    motions[:, :num_joints, :3, 3] = bones
    for row in _ancestors(parents, rotations.device):
        motions = motions.index_select(1, row) @ motions
    return motions[:, :num_joints, :3, :3], motions[:, :num_joints, :3, 3]


def kinematics_by_levels(rotations: Tensor, bones: Tensor, parents: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Compute ``forward_kinematics`` with the least arithmetic: all joints of one depth in one product."""
    levels, order = _levels(parents)
    orientations, positions = [rotations[:, :1]], [bones[:, :1]]
    for children, rows in levels:
        above = orientations[-1][:, rows]
        positions.append(positions[-1][:, rows] + (above @ bones[:, children, :, None])[..., 0])
        orientations.append(above @ rotations[:, children])
    return torch.cat(orientations, dim=1)[:, order], torch.cat(positions, dim=1)[:, order]


def _parent_rows(parents: tuple[int, ...], like: np.ndarray | Tensor) -> list[int] | Tensor:
    """Return the row of every joint's parent, to index ``like`` with; the root is its own parent."""
    rows = [max(parent, 0) for parent in parents]
    return _on_device(tuple(rows), like.device) if isinstance(like, Tensor) else rows


@cache
def _on_device(rows: tuple[int, ...], device: torch.device) -> Tensor:
    # Autograd cannot save tensors made in inference mode.
    with torch.inference_mode(mode=False):
        return torch.tensor(rows, device=device)


@cache
def _ancestors(parents: tuple[int, ...], device: torch.device) -> Tensor:
    """Return ``L J+1`` int64: the ancestor 1, 2, 4, ... steps up of every joint; row J is above the root."""
    above = len(parents)
    ancestors = torch.tensor([above if parent < 0 else parent for parent in parents] + [above])
    rows: list[Tensor] = []
    while bool((ancestors != above).any()):
        rows.append(ancestors)
        ancestors = ancestors[ancestors]
    return (torch.stack(rows) if rows else ancestors.new_zeros((0, above + 1))).to(device)


@cache
def _levels(parents: tuple[int, ...]) -> tuple[list[tuple[list[int], list[int]]], list[int]]:
    """Return, by depth, (joints, their parents' rows in the previous level), and the order that sorts all joints."""
    levels: list[tuple[list[int], list[int]]] = []
    visited = previous = [0]
    while children := [joint for joint, parent in enumerate(parents) if parent in previous]:
        levels.append((children, [previous.index(parents[joint]) for joint in children]))
        visited, previous = visited + children, children
    return levels, sorted(range(len(visited)), key=visited.__getitem__)
