"""Ground-truth and predicted bodies, and the assignment of people to patches of the padded square.

There is no matching: in training, prompts are placed at the true heads.
Source: Human3R (arXiv 2510.06219), sec. 3.3 and supplement A.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from human3r.bodies import SmplxBody, load_body
from human3r.bodies.joints import extended_joints
from human3r.bodies.loading import read_body_arrays
from human3r.bodies.placement import to_smplx_order
from human3r.geometry.camera import project
from human3r.records import TensorRecord
from human3r.skeleton import Joint
from human3r.training.paper.data.dataset import TruePeople


@dataclass(frozen=True)
class Bodies(TensorRecord):
    """P posed bodies in the camera frame, meters."""

    vertices: Tensor
    """``P V 3``"""
    joints: Tensor
    """``P 127 3``: the 55 joints, 21 vertices and 51 face landmarks of the ``smplx`` package, in its order."""


@dataclass(frozen=True)
class Assignment(TensorRecord):
    """Assignment of people to the patches that contain their heads."""

    cells: Tensor
    """``B N M 2`` int64 (row, column); (0, 0) in slots that own none."""
    is_owner: Tensor
    """``B N M`` bool: the slot holds a person who owns a patch. Not necessarily contiguous."""
    score_target: Tensor
    """``B N g g`` 1 where a patch is owned, else 0."""


def load_true_body(path: str, num_betas: int) -> SmplxBody:
    """Load the body of the truth, with up to ``num_betas`` shape directions, as many as the file has.

    A file with 20 components mixes shape and expression and has ten of each; the embedded body has ten.
    """
    body = load_body(path or None)
    if num_betas <= body.shape_directions.shape[-1] or not path:
        return body
    with np.load(path, allow_pickle=False) as file:
        directions = file["shapedirs"]
    if directions.shape[-1] <= 20:
        return body
    wider = np.ascontiguousarray(directions[..., :num_betas], dtype=np.float32)
    return SmplxBody(replace(read_body_arrays(Path(path)), shape_directions=wider))


def pose_truth(body: SmplxBody, people: TruePeople, selected: Tensor) -> Bodies:
    """Pose the P people of the slots that ``selected`` (``B N M`` bool) names, with a neutral face."""
    rotations, betas, transl = (
        values[selected] for values in (people.joint_rotations, people.betas, people.transl)
    )  # fmt: skip
    betas = betas[:, : body.shape_directions.shape[-1]]
    mesh = body.mesh(to_smplx_order(rotations), betas, betas.new_zeros(len(betas), 10), transl)
    return Bodies(mesh.vertices, extended_joints(body, mesh))


def true_heads(body: SmplxBody, people: TruePeople) -> Tensor:
    """Return ``B N M 3`` head joints in the camera frame, meters, without posing a mesh."""
    shape = people.is_present.shape
    rotations = people.joint_rotations.flatten(0, 2)
    betas = people.betas.flatten(0, 2)[:, : body.shape_directions.shape[-1]]
    rest = body.rest_joints(betas, betas.new_zeros(len(betas), 10))
    joints, _ = body.forward_kinematics(to_smplx_order(rotations), rest)
    return joints[:, Joint.HEAD].unflatten(0, shape) + people.transl


def pose_predicted(
    body: SmplxBody, joint_rotations: Tensor, betas: Tensor, expression: Tensor, head_camera: Tensor
) -> Bodies:
    """Pose P predicted bodies whose head joints stand at ``head_camera`` (``P 3``, meters, camera frame).

    The body is posed at the origin and then translated.
    """
    mesh = body.mesh(to_smplx_order(joint_rotations), betas, expression, torch.zeros_like(head_camera))
    shift = (head_camera - mesh.joints[:, Joint.HEAD])[:, None]
    return Bodies(mesh.vertices + shift, extended_joints(body, mesh) + shift)


def image_points_to_square(points_px: Tensor, side: int, image_size: tuple[int, int]) -> Tensor:
    """Map ``... 2`` (x, y) pixels of the image to pixels of the padded square: ``letterbox_points_to_image`` undone."""
    height, width = image_size
    longest = max(height, width)
    padding = points_px.new_tensor([(longest - width) // 2, (longest - height) // 2])
    return (points_px + padding) * (side / longest)


def assign_heads(
    heads: Tensor,
    is_present: Tensor,
    K: Tensor,
    image_size: tuple[int, int],
    side: int,
    patch: int,
    truncated: Literal["drop", "clamp"] = "drop",
) -> Assignment:
    """Find the patch of each head; of several heads in one patch the nearest person (lowest slot) owns it.

    Args:
        heads: ``B N M 3`` head joints in the camera frame, meters.
        is_present: ``B N M`` bool.
        K: ``B N 3 3`` pixels of the image.
        image_size: (height, width).
        side: Pixels of the padded square.
        patch: Pixels of a patch of it.
        truncated: Treatment of heads outside of the image, see ``VariantSettings``.
    """
    height, width = image_size
    in_front = heads[..., 2] > 0
    safe = torch.where(in_front[..., None], heads, torch.ones_like(heads))
    uv_px = project(safe, K)
    if truncated == "clamp":
        uv_px = torch.stack((uv_px[..., 0].clamp(0, width - 1), uv_px[..., 1].clamp(0, height - 1)), dim=-1)
    grid = side // patch
    cells = (image_points_to_square(uv_px, side, image_size) / patch).floor().long().flip(-1)
    is_inside = ((cells >= 0) & (cells < grid)).all(-1)
    is_candidate = is_present & in_front & is_inside
    index = torch.where(is_candidate, cells[..., 0] * grid + cells[..., 1], -1)
    same = index[..., :, None] == index[..., None, :]
    is_earlier = torch.ones(same.shape[-2:], dtype=torch.bool, device=same.device).tril(-1)
    is_owner = is_candidate & ~(same & is_earlier).any(-1)
    target = heads.new_zeros((*index.shape[:-1], grid * grid + 1))
    target.scatter_(-1, torch.where(is_owner, index, grid * grid), 1.0)
    return Assignment(
        cells=torch.where(is_owner[..., None], cells, 0),
        is_owner=is_owner,
        score_target=target[..., :-1].unflatten(-1, (grid, grid)),
    )
