"""Rotations and rigid transforms.

Rotations are matrices; axis-angle, six-dimensional and quaternion forms are converted at the edges. Transforms are
``4 4`` matrices ``T_a_b``. All functions broadcast over leading axes; points may be tensors or NumPy arrays.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from human3r.skeleton import ArrayT

_SMALL_ANGLE = 1e-6
"""Radians; below, the axis of a rotation vector is lost in fp32 and its rotation is linear to rounding."""
_SERIES_ANGLE = 1e-2
"""Radians; below, the first neglected term of the series, 31 a^6 / 15120, is under 1e-14."""


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
    """Return unit quaternions ``... 4``, real part first and not negative, of rotations ``... 3 3``.

    Source: Markley, Unit Quaternion from Rotation Matrix (doi 10.2514/1.31730), eq. 7 to 9.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in rotation.unbind(-2))
    # Row i is 4 q_i q for the quaternion q = (x, y, z, w); the one with the largest q_i is the best conditioned.
    multiples = torch.stack(
        (
            1 + xx - yy - zz, xy + yx, xz + zx, zy - yz,
            xy + yx, 1 + yy - zz - xx, yz + zy, xz - zx,
            xz + zx, yz + zy, 1 + zz - xx - yy, yx - xy,
            zy - yz, xz - zx, yx - xy, 1 + xx + yy + zz,
        ), dim=-1,
    ).unflatten(-1, (4, 4))  # fmt: skip
    best = multiples.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    quat_xyzw = multiples.take_along_dim(best, dim=-2)[..., 0, :]
    quat_wxyz = (quat_xyzw / quat_xyzw.norm(dim=-1, keepdim=True)).roll(1, dims=-1)
    return torch.where(quat_wxyz[..., :1] < 0, -quat_wxyz, quat_wxyz)


def rotation_from_axis_angle(axis_angle: Tensor) -> Tensor:
    """Return the rotations ``... 3 3`` of rotation vectors ``... 3``, radians: Rodrigues' formula, linear near zero."""
    angle = axis_angle.norm(dim=-1, keepdim=True)
    is_small = angle < _SMALL_ANGLE
    # The linear form is Rodrigues' with sin(a) = a and 1 - cos(a) = 0, applied to the vector itself.
    x, y, z = torch.where(is_small, axis_angle, axis_angle / angle.clamp_min(_SMALL_ANGLE)).unbind(-1)
    sine = torch.where(is_small, 1, angle.sin())[..., 0]
    versine = torch.where(is_small, 0, 1 - angle.cos())[..., 0]
    xs, ys, zs = x * sine, y * sine, z * sine
    xx, yy, zz = x**2 * versine, y**2 * versine, z**2 * versine
    xy, xz, yz = x * y * versine, x * z * versine, y * z * versine
    rows = (
        1 - yy - zz, xy - zs, xz + ys,
        xy + zs, 1 - xx - zz, yz - xs,
        xz - ys, yz + xs, 1 - xx - yy,
    )  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def axis_angle_from_rotation(rotation: Tensor) -> Tensor:
    """Return rotation vectors ``... 3`` with angles in [0, pi] of rotations ``... 3 3``."""
    real, imaginary = quaternion_from_rotation(rotation).split((1, 3), dim=-1)
    half_angle = torch.atan2(imaginary.norm(dim=-1, keepdim=True), real)
    # half_angle / sin(half_angle), whose series is exact to rounding near zero
    near_zero = half_angle < _SERIES_ANGLE
    ratio = torch.where(
        near_zero,
        1 + half_angle**2 / 6 + 7 * half_angle**4 / 360,
        half_angle / torch.where(near_zero, 1, half_angle.sin()),
    )
    return 2 * ratio * imaginary


def axis_angle_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the smallest rotations ``n 3`` that turn the directions ``n 3`` into others, axis times radians."""
    start = start / np.linalg.norm(start, axis=1, keepdims=True)
    end = end / np.linalg.norm(end, axis=1, keepdims=True)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, (start * end).sum(1, keepdims=True))
    return axis / np.maximum(sine, 1e-12) * angle


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
