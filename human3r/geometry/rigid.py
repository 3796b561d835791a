"""Rotations and rigid transforms.

Rotations are matrices; axis-angle, six-dimensional and quaternion forms are converted at the edges. Transforms are
``4 4`` matrices ``T_a_b``. All functions broadcast over leading axes.
"""

from __future__ import annotations

import roma
import torch
from torch import Tensor
from torch.nn import functional


def rotation_from_6d(six_d: Tensor) -> Tensor:
    """Return the rotations ``... 3 3`` of ``... 6`` numbers, read row-major as a ``3 x 2`` matrix [a b].

    Gram-Schmidt: x along a, y along b without its part along x, z = x cross y.
    Source: On the Continuity of Rotation Representations (arXiv 1812.07035), eq. 15; the order of the six numbers is
    that of the released weights (columns interleaved), not Multi-HMR's (columns stacked).
    """
    first, second = six_d.unflatten(-1, (3, 2)).unbind(-1)
    x = functional.normalize(first, dim=-1, eps=1e-6)
    second = second - (x * second).sum(-1, keepdim=True) * x
    y = functional.normalize(second, dim=-1, eps=1e-6)
    return torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1)


def rotation_from_quaternion(quat_wxyz: Tensor) -> Tensor:
    """Return the rotations ``... 3 3`` of quaternions ``... 4``, real part first, of any length but 0."""
    w, x, y, z = quat_wxyz.unbind(-1)
    double = 2 / (quat_wxyz * quat_wxyz).sum(-1)
    rows = (
        1 - double * (y * y + z * z), double * (x * y - z * w), double * (x * z + y * w),
        double * (x * y + z * w), 1 - double * (x * x + z * z), double * (y * z - x * w),
        double * (x * z - y * w), double * (y * z + x * w), 1 - double * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def quaternion_from_rotation(rotation: Tensor) -> Tensor:
    """Return unit quaternions ``... 4``, real part first and not negative, of rotations ``... 3 3``."""
    quat_wxyz = roma.rotmat_to_unitquat(rotation).roll(1, dims=-1)
    return torch.where(quat_wxyz[..., :1] < 0, -quat_wxyz, quat_wxyz)


def rotation_from_axis_angle(axis_angle: Tensor) -> Tensor:
    """Return the rotations ``... 3 3`` of rotation vectors ``... 3``, radians."""
    if axis_angle.numel() == 0:
        return axis_angle.new_zeros((*axis_angle.shape, 3))
    return roma.rotvec_to_rotmat(axis_angle)


def axis_angle_from_rotation(rotation: Tensor) -> Tensor:
    """Return rotation vectors ``... 3`` with angles in [0, pi] of rotations ``... 3 3``."""
    if rotation.numel() == 0:
        return rotation.new_zeros(rotation.shape[:-1])
    return roma.rotmat_to_rotvec(rotation)


def rigid_transform(rotation: Tensor, translation: Tensor) -> Tensor:
    """Return ``... 4 4`` transforms from rotations ``... 3 3`` and translations ``... 3``."""
    upper = torch.cat((rotation, translation[..., None]), dim=-1)
    lower = torch.zeros_like(upper[..., :1, :])
    lower[..., 3] = 1
    return torch.cat((upper, lower), dim=-2)


def invert_rigid(T_a_b: Tensor) -> Tensor:
    """Return ``T_b_a``, exact for rigid transforms ``... 4 4``."""
    R_b_a = T_a_b[..., :3, :3].transpose(-1, -2)
    return rigid_transform(R_b_a, -(R_b_a @ T_a_b[..., :3, 3:])[..., 0])


def transform_points(T_a_b: Tensor, points_b: Tensor) -> Tensor:
    """Return points ``... 3`` in frame *a*; one transform ``4 4``, or ``B 4 4`` with points ``B ... 3``."""
    flat = points_b.reshape(*T_a_b.shape[:-2], -1, 3)
    moved = flat @ T_a_b[..., :3, :3].transpose(-1, -2) + T_a_b[..., None, :3, 3]
    return moved.reshape(points_b.shape)


def chain_segments(T_segment_camera: Tensor, has_reset: list[bool]) -> Tensor:
    """Return ``T 4 4`` cameras in the world of the first segment.

    After a frame that resets the network, the next segment's origin is that frame's camera.

    Args:
        T_segment_camera: ``T 4 4`` cameras, each relative to the first frame of its segment.
        has_reset: Per frame, whether the network was reset after it.
    """
    T_world_segment = torch.eye(4, dtype=T_segment_camera.dtype, device=T_segment_camera.device)
    chained = []
    for T_camera, is_last_of_segment in zip(T_segment_camera, has_reset, strict=True):
        chained.append(T_world_segment @ T_camera)
        if is_last_of_segment:
            T_world_segment = chained[-1]
    return torch.stack(chained) if chained else T_segment_camera
