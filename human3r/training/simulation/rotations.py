"""Random rotations and small conversions for the pose sampler; radians, rest axes x left, y up, z forward."""

from __future__ import annotations

import torch
from torch import Tensor

from human3r.geometry.rigid import rotation_from_axis_angle


class RandomSource:
    """Random tensors from one generator, so that a run can be resumed exactly."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in [low, high)."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, sigma: float, *shape: int) -> Tensor:
        """Zero-mean Gaussian."""
        return sigma * torch.randn(shape, generator=self.generator)

    def chance(self, probability: float | Tensor, *shape: int) -> Tensor:
        """True with the given probability."""
        return torch.rand(shape, generator=self.generator) < probability

    def choose(self, weights: Tensor, count: int) -> Tensor:
        """Indices drawn in proportion to ``weights``."""
        return torch.multinomial(weights, count, replacement=True, generator=self.generator)

    def below(self, limit: int, count: int) -> Tensor:
        """Whole numbers from 0 to ``limit`` - 1."""
        return torch.randint(limit, (count,), generator=self.generator)

    def sign(self, *shape: int) -> Tensor:
        """Plus or minus one."""
        return self.chance(0.5, *shape).float() * 2 - 1


def axis_turn(axis: str, angle: Tensor) -> Tensor:
    """Rotation by ``angle`` (any shape) about one axis: ``... 3 3``."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    turn = torch.zeros(*angle.shape, 3, 3)
    turn[..., "xyz".index(axis), "xyz".index(axis)] = 1.0
    turn[..., first, first] = turn[..., second, second] = angle.cos()
    turn[..., second, first] = angle.sin()
    turn[..., first, second] = -turn[..., second, first]
    return turn


def minimal_turn(start: Tensor, end: Tensor) -> Tensor:
    """Smallest rotation from direction ``start`` to ``end``, both ``... 3`` of unit length: ``... 3 3``."""
    axis = torch.linalg.cross(start.expand_as(end), end, dim=-1)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (start * end).sum(-1, keepdim=True))
    return rotation_from_axis_angle(axis / sine.clamp_min(1e-6) * angle)


def blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Weighted mean of rotation matrices ``... 3 3``, projected back by Gram-Schmidt."""
    mixed = first * (1 - share) + second * share
    x = torch.nn.functional.normalize(mixed[..., 0], dim=-1)
    y = mixed[..., 1] - (x * mixed[..., 1]).sum(-1, keepdim=True) * x
    y = torch.nn.functional.normalize(y, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y, dim=-1)], dim=-1)


def mirror(joint_rotations: Tensor, mirrored_joints: Tensor) -> Tensor:
    """Swap left and right of local rotations ``P 22 3 3``: reflect in x and exchange the sides."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    return joint_rotations[:, mirrored_joints] * (flip[:, None] * flip)
