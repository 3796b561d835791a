"""Rotations and joints along a kinematic tree, for few bodies at once: the deepest chain in four products.

The plain twins go level by level, ``posed_chain`` of the compact body points and ``SmplxBody``'s forward kinematics:
they compute less, in many more operators, and win where there are many bodies or gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_MOST_BODIES = 64
"""Up to which fewer operators are faster than less arithmetic."""


def is_few(rotations: Tensor) -> bool:
    """Whether ``multiply_chain`` is the faster way for ``P J 3 3`` rotations."""
    return rotations.shape[0] <= _MOST_BODIES and not torch.is_grad_enabled()


def ancestor_table(parents: Sequence[int]) -> Tensor:
    """Return ``L J+1`` int64: the ancestor 1, 2, 4, ... steps up of every joint; place J is above the root.

    Args:
        parents: Of every joint; negative for the root.
    """
    above = len(parents)
    ancestors = torch.tensor([above if parent < 0 else int(parent) for parent in parents] + [above])
    rows = []
    while bool((ancestors != above).any()):
        rows.append(ancestors)
        ancestors = ancestors[ancestors]
    return torch.stack(rows) if rows else ancestors.new_zeros((0, above + 1))


def multiply_chain(rotations: Tensor, offsets: Tensor, ancestors: Tensor) -> tuple[Tensor, Tensor]:
    """Multiply rotations along the tree; what is still to come doubles with every product.

    Args:
        rotations: ``P J 3 3`` relative to the parent.
        offsets: ``P J 3`` from the parent, in the parent's axes, metres; the root's is its place.
        ancestors: From ``ancestor_table``.

    Returns:
        Rotations ``P J 3 3`` and places ``P J 3`` in the root's frame of reference.
    """
    count, num_joints = rotations.shape[:2]
    motions = torch.eye(4, dtype=rotations.dtype, device=rotations.device).repeat(count, num_joints + 1, 1, 1)
    motions[:, :num_joints, :3, :3] = rotations
    motions[:, :num_joints, :3, 3] = offsets
    for row in ancestors:
        motions = motions.index_select(1, row) @ motions
    return motions[:, :num_joints, :3, :3], motions[:, :num_joints, :3, 3]
