"""Simulated input of the lifter: a body, a pose, a camera, and the detector's output.

Nothing is stored: every batch is drawn anew, a few thousand people per second and core.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.models.compact.people.lifting.body_points import BodyPoints, PosedPoints
from human3r.models.compact.people.lifting.keypoint_encoder import PersonKeypoints
from human3r.records import TensorRecord
from human3r.skeleton import Joint
from human3r.training.lifter.simulation.cameras import CameraMix, PlacedCameras, place_cameras
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
    """A larger share improves children and makes adults too small."""
    child_stature_m: tuple[float, float] = (0.9, 1.6)


@dataclass(frozen=True)
class SimulatedPeople(TensorRecord):
    """P people, the detector's output and the truth; camera frame, meters."""

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
    """``P`` 0 where too few keypoints were detected, else 1."""
    kind: Tensor
    """``P`` index into ``poses.KINDS``."""


@dataclass(frozen=True)
class UprightPeople(TensorRecord):
    """P posed people in a y-up frame at the pelvis, before any camera."""

    betas: Tensor
    """``P 10``"""
    joint_rotations: Tensor
    """``P 22 3 3`` local."""
    rest: Tensor
    """``P 22 3`` rest joints."""
    faces: Tensor
    """``P 5 3`` rest face points."""
    posed: PosedPoints
    """With the keypoints where one annotator would click."""

    def points(self) -> Tensor:
        """Return joints and keypoints, ``P 39 3``."""
        return torch.cat([self.posed.joints, self.posed.keypoints], dim=1)


class Simulator:
    """Draws batches."""

    def __init__(
        self, points: BodyPoints, poses: PoseSampler, bodies: BodyMix, cameras: CameraMix, detector: DetectorMix
    ) -> None:
        self.points, self.poses = points, poses
        self.bodies, self.cameras, self.detector = bodies, cameras, detector

    def sample(self, rng: RandomSource, count: int) -> SimulatedPeople:
        """Draw ``count`` people."""
        rotations, kind = self.poses.sample(rng, count)
        people = draw_bodies(rng, self.points, self.bodies, rotations)
        cameras = place_cameras(rng, self.cameras, people.points())
        return observe(rng, self.points, self.detector, people, cameras, kind, kind == SEATED)


def draw_bodies(
    rng: RandomSource, points: BodyPoints, bodies: BodyMix, rotations: Tensor, frames: int = 1
) -> UprightPeople:
    """Draw shapes and annotators for local rotations ``P 22 3 3``; ``frames`` consecutive rows are one person."""
    count = len(rotations) // frames
    betas = draw_betas(rng, bodies, count)
    rest, faces = points.rest(betas)
    # Where the annotator of this person clicks, in the axes of the offsets' carriers.
    offsets = points.keypoint_offsets + rng.normal(1.0, count, 17, 3) * _OFFSET_SIGMA_M[:, None]
    betas, rest, faces, offsets = (values.repeat_interleave(frames, 0) for values in (betas, rest, faces, offsets))
    return UprightPeople(betas, rotations, rest, faces, points.pose(rotations, rest, faces, offsets))


def observe(
    rng: RandomSource,
    points: BodyPoints,
    detector: DetectorMix,
    people: UprightPeople,
    cameras: PlacedCameras,
    kind: Tensor,
    is_seated: Tensor,
) -> SimulatedPeople:
    """Look at P people through P cameras with the simulated detector.

    Args:
        kind: ``P`` index into ``poses.KINDS``.
        is_seated: ``P`` bool.
    """
    R, root, rotations = cameras.R_camera_gravity, cameras.root_camera, people.joint_rotations

    def in_camera(values: Tensor) -> Tensor:
        return values @ R.transpose(1, 2) + root[:, None]

    head_forward = (R @ people.posed.rotations[:, Joint.HEAD])[..., 2]
    seen = in_camera(people.posed.keypoints)
    observed, scores = detect(rng, detector, seen, head_forward, cameras.borders, cameras.pixel, is_seated)
    weight = ((scores > 0.2).sum(1) >= 5) & (in_camera(people.points())[..., 2].amin(1) > 0.25)
    return SimulatedPeople(
        people=PersonKeypoints(observed, scores, cameras.borders),
        joint_rotations=torch.cat([(R @ rotations[:, 0])[:, None], rotations[:, 1:]], dim=1),
        betas=people.betas,
        root_camera=root,
        joints=people.posed.joints @ R.transpose(1, 2),
        keypoints_camera=in_camera(points.pose(rotations, people.rest, people.faces).keypoints),
        weight=weight.float(),
        kind=kind,
    )


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
    """Draw beta 0, the size, of adults: ``count``."""
    return rng.normal(bodies.beta_sigma, count).clamp(-2.5, 2.5) + bodies.adult_beta0
