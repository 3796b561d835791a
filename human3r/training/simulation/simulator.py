"""Simulated input of the lifter: bodies in motion, cameras, and the detector's output.

Errors of the detector (noise, hidden limbs, swapped sides) have time constants from tenths of a second to the whole
sequence. Sequences are flat: all frames of the first person, then all of the second.
Nothing is stored: every batch is drawn anew, a few thousand people per second and core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.models.compact.people.lifting.body_points import BodyPoints, PosedPoints
from human3r.models.compact.people.lifting.keypoint_encoder import PersonKeypoints
from human3r.records import TensorRecord
from human3r.skeleton import Joint
from human3r.training.simulation.cameras import CameraMix, PlacedCameras, place_cameras
from human3r.training.simulation.correlated import CorrelatedSource, slow_factors, smooth_factors
from human3r.training.simulation.detector import DetectorMix, detect
from human3r.training.simulation.poses import MotionSampler, MovingPeople
from human3r.training.simulation.rotations import RandomSource, axis_turn

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


@dataclass(frozen=True)
class SequenceMix:
    """Length and speed of the sequences, and time constants of the detector's errors."""

    frames: int = 1
    """Frames that are trained on at once; 1 trains people of single frames, without memory."""
    windows: int = 4
    """Consecutive windows of so many frames in which one person is followed, the state carried over."""
    seconds_per_frame: tuple[float, float] = (0.033, 0.25)
    """Range of the frame distance, drawn logarithmically."""
    noise_shares: tuple[float, float, float] = (0.4, 0.47, 0.13)
    """Parts of the detector's variance that are constant, slow, and new in every frame. Source: MoveNet on real clips,
    prototype of the lifter."""
    noise_seconds: tuple[float, float] = (0.15, 3.0)
    """Time constants of the slow part."""
    forgetful: float = 0.3
    """Share of people of each window whose state is zeroed in a fifth of the frames: the network must also handle
    people who are seen for the first time, as in a single picture."""
    moving_camera: float = 0.3
    """Share of cameras that pan and sway."""

    @property
    def length(self) -> int:
        """Frames of one person in a row."""
        return self.frames * self.windows


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


class Simulator:
    """Draws people over time as flat ``SimulatedPeople``; people of single frames are sequences of length 1."""

    def __init__(
        self, points: BodyPoints, motions: MotionSampler, bodies: BodyMix, cameras: CameraMix, detector: DetectorMix,
        sequence: SequenceMix,
    ) -> None:  # fmt: skip
        self.points, self.motions, self.sequence = points, motions, sequence
        self.bodies, self.cameras, self.detector = bodies, cameras, detector

    def sample(self, rng: RandomSource, count: int) -> SimulatedPeople:
        """Draw ``count`` people over ``sequence.length`` frames each: ``count * length`` rows."""
        length = self.sequence.length
        low, high = (math.log(bound) for bound in self.sequence.seconds_per_frame)
        seconds = rng.uniform(low, high, count, 1).exp() * torch.arange(length)
        moving = self.motions.sample(rng, seconds)
        people = draw_bodies(rng, self.points, self.bodies, moving.rotations.flatten(0, 1), length)
        place = self._on_floor(moving, people.posed.joints.unflatten(0, (count, length)))
        cameras = self._cameras(rng, seconds, people.points(), place)
        slow = CorrelatedSource(
            rng.generator, slow_factors(self.sequence.noise_shares, self.sequence.noise_seconds, rng, seconds)
        )
        kind, is_seated = moving.kind.repeat_interleave(length), moving.is_seated.flatten()
        return observe(slow, self.points, self.detector, people, cameras, kind, is_seated)

    @staticmethod
    def _on_floor(moving: MovingPeople, joints: Tensor) -> Tensor:
        """Put procedural poses on the floor; captured ones keep their motion. ``P T 3``."""
        lowest = -joints[..., 1].amin(-1)
        height = torch.where((moving.kind == 0)[:, None], moving.place[..., 1], lowest)
        return torch.stack([moving.place[..., 0], height, moving.place[..., 2]], dim=-1)

    def _cameras(self, rng: RandomSource, seconds: Tensor, points: Tensor, place: Tensor) -> PlacedCameras:
        """Put a camera in front of a random frame of every person, and let some of them move; flat.

        Args:
            seconds: ``P T`` time of every frame.
            points: ``P*T M 3`` of the bodies from the pelvis.
            place: ``P T 3`` of the pelvis.
        """
        count, length = seconds.shape
        shown = rng.below(length, count)
        people = torch.arange(count)
        placed = place_cameras(rng, self.cameras, points.unflatten(0, (count, length))[people, shown])
        turn = placed.R_camera_gravity[:, None]
        moved = place - place[people, shown][:, None]
        root = placed.root_camera[:, None] + (turn @ moved[..., None])[..., 0]
        sways = rng.chance(self.sequence.moving_camera, count)[:, None, None]
        smooth = CorrelatedSource(rng.generator, smooth_factors(seconds, 0.8))
        drawn = smooth.normal(1.0, count * length, 6).unflatten(0, (count, length)) * sways
        drawn = drawn - drawn[people, shown][:, None]
        angles = drawn[..., :3] * torch.tensor([0.05, 0.08, 0.02])
        pan = axis_turn("x", angles[..., 0]) @ axis_turn("y", angles[..., 1]) @ axis_turn("z", angles[..., 2])
        root = (pan @ (root + 0.1 * drawn[..., 3:])[..., None])[..., 0]
        borders, pixel = (values.repeat_interleave(length, 0) for values in (placed.borders, placed.pixel))
        return PlacedCameras((pan @ turn).flatten(0, 1), root.flatten(0, 1), borders, pixel)


def draw_forgotten(rng: RandomSource, mix: SequenceMix, people: int) -> Tensor:
    """Draw the frames of a window before which states are zeroed: ``people * frames`` bool."""
    forgetful = rng.chance(mix.forgetful, people, 1)
    return (forgetful & rng.chance(0.2, people, mix.frames)).flatten()


def window_of(people: SimulatedPeople, mix: SequenceMix, index: int) -> SimulatedPeople:
    """Return the frames of window ``index`` of every sequence, flat."""

    def cut(values: Tensor) -> Tensor:
        return values.unflatten(0, (-1, mix.windows, mix.frames))[:, index].flatten(0, 1)

    return people.map(cut)


def undisturbed(people: SimulatedPeople) -> SimulatedPeople:
    """Return the same people with exact keypoints inside the image, as an ideal detector would report them."""
    camera = people.keypoints_camera
    exact = camera[..., :2] / camera[..., 2:].clamp_min(0.2)
    low, high = people.people.borders[:, None, :2], people.people.borders[:, None, 2:]
    is_inside = ((exact > low) & (exact < high)).all(-1, keepdim=True)
    points = torch.where(is_inside, exact, people.people.points)
    return replace(people, people=replace(people.people, points=points))
