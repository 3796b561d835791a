"""SMPL-X's hands: the pose of relaxed ones, and the turns of wrists as angles with joint limits.

SMPL-X has no joint for the twist of a forearm: elbow and wrist share it, so that neither wrings the skin. Turns are
three angles of a right hand, smooth in time and limited one by one; left hands are mirrored.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from human3r.bodies.smplx import SmplxBody
from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.skeleton import Joint

_RELAXED = (
    ((0.0, -0.035, 0.31), (0.0, 0.0, 0.45), (0.0, 0.0, 0.24)),
    ((0.0, 0.0, 0.38), (0.0, 0.0, 0.52), (0.0, 0.0, 0.28)),
    ((0.0, 0.087, 0.52), (0.0, 0.0, 0.59), (0.0, 0.0, 0.31)),
    ((0.0, 0.035, 0.47), (0.0, 0.0, 0.56), (0.0, 0.0, 0.3)),
    ((0.1, -0.4, -0.35), (0.083, 0.113, 0.053), (0.083, 0.113, 0.053)),
)
"""Rotation vectors of a right hand, by finger: bent more toward the little finger, the thumb beside the index."""
_ELBOW_SHARE = 0.5
"""Of the twist. Source: skins looked at; at 80 degrees in one joint an arm begins to look wrung."""
_LIMITS_DEG = ((-165.0, 20.0), (-35.0, 25.0), (-70.0, 75.0))
"""Of twist (at 0 the palm is down if the elbow bends forward, which is full pronation; supination is negative),
deviation (to the little finger is negative), and flexion. Source: ranges of motion in anatomy textbooks."""


class WristTurns:
    """Converts rotations of elbows and wrists, ``... 2 3 3`` (left, right), to turns ``... 2 3`` and back.

    Turns are the twist between upper arm and hand about the forearm, the hand's deviation and its flexion, radians.
    """

    def __init__(self, body: SmplxBody) -> None:
        elbow, wrist = body.joint_template[[Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST]]
        twist = functional.normalize(elbow - wrist, dim=0)
        flexion = functional.normalize(torch.linalg.cross(twist, torch.tensor([0.0, 1.0, 0.0])), dim=0)
        axes = torch.stack([twist, torch.linalg.cross(flexion, twist), flexion])
        # Rows are the axes of the turns; those of the left are a reflection, under which rotations stay rotations.
        self._axes = torch.stack([axes * axes.new_tensor([-1.0, 1.0, 1.0]), axes])

    def turns(self, elbow: Tensor, wrist: Tensor) -> Tensor:
        """Return the turns of hands, twist within half a turn of the middle of its range."""
        wrist = self._axes @ wrist @ self._axes.mT
        middle = math.radians(sum(_LIMITS_DEG[0]) / 2)
        twist = torch.remainder(self._twist(elbow) + _twist(wrist) - middle + math.pi, 2 * math.pi) - math.pi + middle
        # A wrist is a twist after the smallest rotation that takes this row to the forearm.
        cosine, up, front = wrist[..., 0, :].unbind(-1)
        sine = torch.hypot(up, front)
        ratio = torch.atan2(sine, cosine) / sine.clamp_min(1e-6)
        return torch.stack([twist, front * ratio, -up * ratio], dim=-1)

    def turned(self, elbow: Tensor, turns: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rotations of elbows and wrists of hands that have other turns.

        Args:
            elbow: ``... 2 3 3``, which bend as before.
            turns: ``... 2 3``
            share: ``... 2``, 0 leaves the twist of the elbow, 1 makes it half of the whole.
        """
        own = self._twist(elbow)
        change = share * (_ELBOW_SHARE * turns[..., 0] - own)
        vectors = torch.zeros(*turns.shape[:-1], 3, 3, dtype=turns.dtype)
        vectors[..., 0, 0], vectors[..., 1, 0] = change, turns[..., 0] - own - change
        vectors[..., 2, 1:] = turns[..., 1:]
        more, twist, bent = rotation_from_axis_angle(vectors).unbind(-3)
        back = self._axes.mT
        return elbow @ back @ more @ self._axes, back @ twist @ bent @ self._axes

    def _twist(self, rotation: Tensor) -> Tensor:
        return _twist(self._axes @ rotation @ self._axes.mT)


def _twist(rotation: Tensor) -> Tensor:
    """Return the angles ``...`` in [-pi, pi] by which ``... 3 3`` turn about x."""
    # Four times the real part of the quaternion, times its x and itself.
    trace = rotation.diagonal(dim1=-2, dim2=-1).sum(-1)
    return 2 * torch.atan2(rotation[..., 2, 1] - rotation[..., 1, 2], 1 + trace)


def relaxed_hands() -> Tensor:
    """Return rotation vectors ``2 15 3`` of the joints of a relaxed left and right hand."""
    right = torch.tensor(_RELAXED).flatten(0, 1)
    return torch.stack([right * right.new_tensor([1.0, -1.0, -1.0]), right])


def limit_turns(turns: Tensor) -> Tensor:
    """Limit turns ``... 3`` to the ranges of the joints."""
    low, high = torch.deg2rad(turns.new_tensor(_LIMITS_DEG)).T
    return turns.clamp(low, high)
