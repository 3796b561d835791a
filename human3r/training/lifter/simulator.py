"""Simulated people as the lifter meets them: a body, a pose, a camera, and what the detector would say.

Nothing is stored: every batch is drawn anew, some thousand people per second and core.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.models.compact.body_points import BodyPoints
from human3r.models.compact.keypoint_encoder import PersonKeypoints
from human3r.records import TensorRecord
from human3r.training.lifter.cameras import CameraMix, place_cameras
from human3r.training.lifter.detector import DetectorMix, detect
from human3r.training.lifter.poses import SEATED, PoseSampler
from human3r.training.lifter.rotations import Dice

_OFFSET_SIGMA_M = torch.tensor([0.008] * 5 + [0.012] * 2 + [0.008] * 4 + [0.014] * 2 + [0.008] * 4)
"""Annotators differ between people: spread of the keypoint offsets, metres."""
_SCALE_RIDGE = 0.001
"""Square metres per squared beta."""
_LEG_JOINTS = (1, 2, 4, 5, 7, 8, 10, 11)


@dataclass(frozen=True)
class BodyMix:
    """Shapes and sizes of the simulated people."""

    beta_sigma: float = 0.9
    share_children: float = 0.12
    child_scale: tuple[float, float] = (0.52, 0.9)
    """Stature as a share of the mean adult's, before the shape space rounds it; 0.52 comes out at about 1 m."""


@dataclass(frozen=True)
class SimulatedPeople(TensorRecord):
    """P people with what the detector says of them and the truth; camera frame, metres."""

    people: PersonKeypoints
    """Detector output."""
    joint_rotations: Tensor
    """``P 22 3 3`` local, root in the camera frame."""
    betas: Tensor
    """``P 10``"""
    root_camera: Tensor
    """``P 3``"""
    joints: Tensor
    """``P 22 3`` from the pelvis."""
    keypoints_camera: Tensor
    """``P 17 3`` where the mean annotator would click, hidden ones included."""
    weight: Tensor
    """``P`` 0 for people of whom too little was detected, else 1."""
    kind: Tensor
    """``P`` index into ``poses.KINDS``."""


class Simulator:
    """Draws batches.

    Args:
        points: The body's tables.
        poses: The pose sampler.
        bodies: Shapes.
        cameras: Cameras.
        detector: Detector troubles.
    """

    def __init__(
        self, points: BodyPoints, poses: PoseSampler, bodies: BodyMix, cameras: CameraMix, detector: DetectorMix
    ) -> None:
        self.points, self.poses = points, poses
        self.bodies, self.cameras, self.detector = bodies, cameras, detector
        self.scale_betas = uniform_scale_betas(points)

    def sample(self, dice: Dice, count: int) -> SimulatedPeople:
        """Draw ``count`` people."""
        rotations, kind = self.poses.sample(dice, count)
        betas, rest, faces = self._bodies(dice, count)
        offsets = self.points.keypoint_offsets + dice.normal(1.0, count, 17, 3) * _OFFSET_SIGMA_M[:, None]
        upright = self.points.pose(rotations, rest, faces, offsets)
        everything = torch.cat([upright.joints, upright.keypoints], dim=1)
        low, high = everything.amin(dim=1), everything.amax(dim=1)
        placed = place_cameras(
            dice, self.cameras, low[:, 1] - 0.03, (low + high) / 2, (high - low).amax(dim=1).clamp_min(0.4)
        )
        turn = placed.R_camera_gravity
        root = placed.root_camera
        seen = upright.keypoints @ turn.transpose(1, 2) + root[:, None]
        head_forward = (turn @ upright.rotations[:, 15])[..., 2]
        observed, scores = detect(dice, self.detector, seen, head_forward, placed.borders, placed.pixel, kind == SEATED)
        mean_offsets = self.points.keypoint_offsets.expand(count, 17, 3)
        clean = self.points.pose(rotations, rest, faces, mean_offsets).keypoints
        in_front = everything @ turn.transpose(1, 2)
        weight = ((scores > 0.2).sum(1) >= 5) & ((in_front[..., 2] + root[:, None, 2]).amin(1) > 0.25)
        local = torch.cat([(turn @ rotations[:, 0])[:, None], rotations[:, 1:]], dim=1)
        return SimulatedPeople(
            people=PersonKeypoints(observed, scores, placed.borders),
            joint_rotations=local,
            betas=betas,
            root_camera=root,
            joints=upright.joints @ turn.transpose(1, 2),
            keypoints_camera=clean @ turn.transpose(1, 2) + root[:, None],
            weight=weight.float(),
            kind=kind,
        )

    def _bodies(self, dice: Dice, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw betas and rest skeletons; children get a child's proportions, which betas alone do not have."""
        betas = dice.normal(self.bodies.beta_sigma, count, 10).clamp(-2.5, 2.5)
        is_child = dice.chance(self.bodies.share_children, count)
        scale = torch.where(is_child, dice.uniform(*self.bodies.child_scale, count), torch.ones(count))
        betas = betas * scale[:, None] + (scale - 1)[:, None] * self.scale_betas
        joints, faces = self.points.rest(betas)
        # Relative to an adult a child's legs are shorter and the head larger. Source: growth tables, at about 1 m
        # of stature the head is 19 % of it instead of 13 % and the leg 46 % instead of 50 %.
        bones = joints - joints[:, self.points.parents]
        legs = list(_LEG_JOINTS)
        bones[:, legs] = bones[:, legs] * (1 - 0.18 * (1 - scale))[:, None, None]
        rest = torch.zeros_like(joints)
        for joint, parent in enumerate(self.points.parents.tolist()):
            rest[:, joint] = rest[:, parent] + bones[:, joint] if joint else 0.0
        return betas, rest, faces * (1 + 0.7 * (1 - scale))[:, None, None]


def uniform_scale_betas(points: BodyPoints) -> Tensor:
    """Betas ``10`` that make every bone longer by its own length, as well as few numbers can.

    One unit doubles the stature, so ``(s - 1)`` of it scales the mean body by ``s``. The ridge keeps them within
    what the body's shape space can bear: an exact fit would use ten times more of the late ones.
    """
    template = torch.cat([points.joint_template - points.joint_template[:1], points.face_template]).reshape(-1)
    joint_directions = points.joint_directions - points.joint_directions[:1]
    directions = torch.cat([joint_directions, points.face_directions]).reshape(-1, 10)
    ridge = _SCALE_RIDGE * torch.eye(10)
    return torch.linalg.solve(directions.T @ directions + ridge, directions.T @ template)
