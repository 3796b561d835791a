"""Rotations and rigid transforms.

Rotations are matrices; axis-angle, six-dimensional and quaternion forms are converted at the edges. Transforms are
``4 4`` matrices ``T_a_b``. All functions broadcast over leading axes; points may be tensors or NumPy arrays.
"""

from __future__ import annotations

import roma
import torch
from torch import Tensor
from torch.nn import functional

from human3r.skeleton import ArrayT


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


def transform_points(T_a_b: ArrayT, points_b: ArrayT) -> ArrayT:
    """Return points ``... M 3`` of frame *b* in frame *a*; leading axes broadcast with those of ``... 4 4``."""
    return points_b @ T_a_b[..., :3, :3].swapaxes(-1, -2) + T_a_b[..., None, :3, 3]  # pyright: ignore[reportReturnType]


def inverse_transform_points(T_a_b: ArrayT, points_a: ArrayT) -> ArrayT:
    """Return points ``... M 3`` of frame *a* in frame *b*, exact for rigid transforms ``... 4 4``."""
    return (points_a - T_a_b[..., None, :3, 3]) @ T_a_b[..., :3, :3]
