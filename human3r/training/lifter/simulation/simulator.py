"""Simulated people as the lifter meets them: a body, a pose, a camera, and what the detector would say.

Nothing is stored: every batch is drawn anew, some thousand people per second and core.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.models.compact.people.body_points import BodyPoints
from human3r.models.compact.people.keypoint_encoder import PersonKeypoints
from human3r.records import TensorRecord
from human3r.training.lifter.simulation.cameras import CameraMix, place_cameras
from human3r.training.lifter.simulation.detector import DetectorMix, detect
from human3r.training.lifter.simulation.poses import SEATED, PoseSampler
from human3r.training.lifter.simulation.rotations import RandomSource

_OFFSET_SIGMA_M = torch.tensor([0.008] * 5 + [0.012] * 2 + [0.008] * 4 + [0.014] * 2 + [0.008] * 4)
"""Annotators differ between people: spread of the keypoint offsets, meters."""
STATURE_M, STATURE_M_PER_BETA = 1.69, 0.1
"""Of the embedded body: mean stature, and what beta 0 adds to it. Its beta 9 makes proportions childlike at 4."""


@dataclass(frozen=True)
class BodyMix:
    """Shapes and sizes of the simulated people."""

    beta_sigma: float = 0.9
    adult_beta0: float = 0.3
    """Mean of beta 0 of adults: with shoes, people are a little taller than the embedded body's mean."""
    share_children: float = 0.12
    """More make children better and grown-ups too small: the network answers with what is likeliest."""
    child_stature_m: tuple[float, float] = (0.9, 1.6)


@dataclass(frozen=True)
class SimulatedPeople(TensorRecord):
    """P people with what the detector says of them and the truth; camera frame, meters."""

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

    def sample(self, rng: RandomSource, count: int) -> SimulatedPeople:
        """Draw ``count`` people."""
        rotations, kind = self.poses.sample(rng, count)
        betas = draw_betas(rng, self.bodies, count)
        rest, faces = self.points.rest(betas)
        offsets = draw_offsets(rng, self.points, count)
        upright = self.points.pose(rotations, rest, faces, offsets)
        everything = torch.cat([upright.joints, upright.keypoints], dim=1)
        low, high = everything.amin(dim=1), everything.amax(dim=1)
        placed = place_cameras(
            rng, self.cameras, low[:, 1] - 0.03, (low + high) / 2, (high - low).amax(dim=1).clamp_min(0.4)
        )
        turn = placed.R_camera_gravity
        root = placed.root_camera
        seen = upright.keypoints @ turn.transpose(1, 2) + root[:, None]
        head_forward = (turn @ upright.rotations[:, 15])[..., 2]
        observed, scores = detect(rng, self.detector, seen, head_forward, placed.borders, placed.pixel, kind == SEATED)
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


def draw_offsets(rng: RandomSource, points: BodyPoints, count: int) -> Tensor:
    """Draw where the annotators of ``count`` people click: ``P 17 3`` metres, in the axes of the offsets' carriers."""
    return points.keypoint_offsets + rng.normal(1.0, count, 17, 3) * _OFFSET_SIGMA_M[:, None]


def draw_betas(rng: RandomSource, bodies: BodyMix, count: int) -> Tensor:
    """Draw shapes ``P 10``; the smaller a child, the more childlike its proportions."""
    betas = rng.normal(bodies.beta_sigma, count, 10).clamp(-2.5, 2.5)
    betas[:, 0] = draw_grown_up(rng, bodies, count)
    betas[:, 9] *= 0.3
    stature = rng.uniform(*bodies.child_stature_m, count)
    childlike = 4.0 * ((STATURE_M - stature) / 0.4).clamp(0, 1) + rng.normal(0.4, count)
    is_child = rng.chance(bodies.share_children, count)
    betas[:, 0] = torch.where(is_child, (stature - STATURE_M) / STATURE_M_PER_BETA, betas[:, 0])
    betas[:, 9] = torch.where(is_child, childlike, betas[:, 9])
    return betas


def draw_grown_up(rng: RandomSource, bodies: BodyMix, count: int) -> Tensor:
    """Draw beta 0, the size, of grown-ups: ``count``."""
    return rng.normal(bodies.beta_sigma, count).clamp(-2.5, 2.5) + bodies.adult_beta0
