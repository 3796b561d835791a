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
from human3r.geometry.rigid import axis_angle_from_rotation, quaternion_from_rotation, rotation_from_axis_angle
from human3r.skeleton import Joint

_RELAXED = (
    ((0.0, -0.035, 0.31), (0.0, 0.0, 0.45), (0.0, 0.0, 0.24)),
    ((0.0, 0.0, 0.38), (0.0, 0.0, 0.52), (0.0, 0.0, 0.28)),
    ((0.0, 0.087, 0.52), (0.0, 0.0, 0.59), (0.0, 0.0, 0.31)),
    ((0.0, 0.035, 0.47), (0.0, 0.0, 0.56), (0.0, 0.0, 0.3)),
    ((0.1, -0.4, -0.35), (0.083, 0.113, 0.053), (0.083, 0.113, 0.053)),
)
"""Rotation vectors of a right hand, by finger: more bent toward the little finger, the thumb beside the index finger."""
ELBOW_SHARE = 0.5
"""Of the twist."""
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
        self._axes = torch.stack([axes * axes.new_tensor([-1.0, 1.0, 1.0]), axes])
        """``2 3 3``: rows are the axes of the turns; those of the left are a reflection, which rotations survive."""

    def split(self, elbow: Tensor) -> tuple[Tensor, Tensor]:
        """Return an elbow's rotation without twist, ``... 2 3 3``, and its twist ``... 2``."""
        twist = self._twist(self._axes @ elbow @ self._axes.mT)
        return elbow @ self._about_forearm(-twist), twist

    def turns(self, rotation: Tensor) -> Tensor:
        """Return the turns of hands, given their rotations relative to the forearm without twist."""
        rotation = self._axes @ rotation @ self._axes.mT
        twist = self._twist(rotation)
        bend = axis_angle_from_rotation(_about_x(-twist) @ rotation)
        return torch.cat([twist[..., None], bend[..., 1:]], dim=-1)

    def join(self, bent: Tensor, turns: Tensor, elbow_twist: Tensor) -> tuple[Tensor, Tensor]:
        """Return rotations of elbows and wrists.

        Args:
            bent: ``... 2 3 3`` elbows without twist.
            turns: ``... 2 3``
            elbow_twist: ``... 2``, the part of the twist that the elbow takes.
        """
        bend = rotation_from_axis_angle(torch.cat([torch.zeros_like(turns[..., :1]), turns[..., 1:]], dim=-1))
        wrist = _about_x(turns[..., 0] - elbow_twist) @ bend
        return bent @ self._about_forearm(elbow_twist), self._axes.mT @ wrist @ self._axes

    def _about_forearm(self, angle: Tensor) -> Tensor:
        return self._axes.mT @ _about_x(angle) @ self._axes

    @staticmethod
    def _twist(rotation: Tensor) -> Tensor:
        """Return the angle about the first axis, within half a turn of the middle of its range."""
        quat_wxyz = quaternion_from_rotation(rotation)
        middle = math.radians(sum(_LIMITS_DEG[0]) / 2)
        angle = 2 * torch.atan2(quat_wxyz[..., 1], quat_wxyz[..., 0]) - middle
        return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi + middle


def relaxed_hands() -> Tensor:
    """Return rotation vectors ``2 15 3`` of the joints of a relaxed left and right hand."""
    right = torch.tensor(_RELAXED).flatten(0, 1)
    return torch.stack([right * right.new_tensor([1.0, -1.0, -1.0]), right])


def limit_turns(turns: Tensor) -> Tensor:
    """Limit turns ``... 3`` to the ranges of the joints."""
    low, high = torch.deg2rad(turns.new_tensor(_LIMITS_DEG)).T
    return turns.clamp(low, high)


def _about_x(angle: Tensor) -> Tensor:
    return rotation_from_axis_angle(functional.pad(angle[..., None], (0, 2)))
