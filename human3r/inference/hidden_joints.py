"""Calm motion of joints that the picture does not show, causally; over a whole clip: ``refinement/visibility.py``.

The lifter guesses the pose of hidden limbs anew in every frame. Here they rest in the mean of their recent poses, in
which those that were shown count most.
"""

from __future__ import annotations

import torch
from torch import Tensor

from human3r.geometry.rigid import axis_angle_from_rotation, rotation_from_axis_angle
from human3r.refinement.visibility import shown_joints

_CALM_S = 0.3
"""Time constant of the mean: as many observations as the two-sided window of finished clips has."""
_GUESS = 0.1
"""Weight of the pose of a hidden joint."""


def shown_in(keypoints: Tensor) -> Tensor:
    """Return ``P 22`` in [0, 1], how well ``P 17 3`` keypoints show the rotation of each joint."""
    return torch.from_numpy(shown_joints(keypoints.cpu().numpy())).to(keypoints)


def rest_weight(shown: Tensor) -> Tensor:
    """Return the weight ``P 22`` of one pose in the mean."""
    return shown.clamp_min(_GUESS)


def resting(local: Tensor, shown: Tensor, rest: Tensor, weight: Tensor, age_s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move hidden joints to their mean pose.

    Args:
        local: ``P 22 3 3`` rotations of one frame, relative to the parents.
        shown: ``P 22`` from ``shown_in``.
        rest: ``P 22 3 3`` mean before this frame.
        weight: ``P 22`` of that mean.
        age_s: ``P`` time since the frame before.

    Returns:
        The rotations, the new mean and its weight.
    """
    new = rest_weight(shown)
    weight = torch.exp(-age_s / _CALM_S)[:, None] * weight + new
    turn = axis_angle_from_rotation(rest.transpose(-1, -2) @ local)
    rest = rest @ rotation_from_axis_angle((new / weight)[..., None] * turn)
    turn = axis_angle_from_rotation(rest.transpose(-1, -2) @ local)
    calm = rest @ rotation_from_axis_angle(shown[..., None] * turn)
    return torch.where((shown < 1)[..., None, None], calm, local), rest, weight
