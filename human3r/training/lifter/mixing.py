"""Batches of rendered people for the lifter: the pairs of ``rendered`` in the simulator's record, augmented.

People are mirrored, rolled about the optical axis, and resized: the same image shows a larger person farther away.
Sizes are drawn as in the simulator, because renders contain few distant people: trained on their own sizes, the lifter
estimates distant pedestrians as children. People whose sides the detector swapped are excluded: it reverses a quarter
of the rendered people who face away, far more than real ones; the simulator has the real rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.models.compact.people.lifting.body_points import MIRRORED_JOINTS, MIRRORED_KEYPOINTS, BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import VALID_SCORE, PersonKeypoints
from human3r.records import concatenate
from human3r.training.lifter.rendered import RenderedPeople
from human3r.training.simulation.rotations import RandomSource, axis_turn, mirror
from human3r.training.simulation.simulator import (
    STATURE_M,
    STATURE_M_PER_BETA,
    BodyMix,
    SimulatedPeople,
    draw_grown_up,
)

_SIDES = ((5, 6, 11, 12), (7, 8, 9, 10), (13, 14, 15, 16))
"""Keypoints whose sides the detector may exchange together: torso, arms, legs."""
_NEAR_BORDER = 0.03
"""Keypoints within this share of the long side may have been pulled to the border, which does not roll with them."""


@dataclass(frozen=True)
class RenderedMix:
    """Share and augmentation of rendered people in the batches."""

    pairs: str = ""
    """Folder of pairs, from ``python -m human3r.training.lifter.rendered``; empty: simulated people only."""
    held_out: str = ""
    """The same for held-out clips, for the validation table."""
    share: float = 0.4
    """Share of every batch."""
    least_visible: float = 0.1
    """People of whom a smaller share is visible are excluded."""
    full_weight_visible: float = 0.6
    """People of whom a smaller share is visible have a proportionally smaller weight."""
    roll_deg: float = 5.0
    """Standard deviation of the roll."""
    keeps_exchanged: bool = False
    """Keep people whose sides the detector swapped."""


def rendered_people(pairs: RenderedPeople, points: BodyPoints, mix: RenderedMix) -> SimulatedPeople:
    """Return the usable pairs in the simulator's record."""
    people = _all_people(pairs, points)
    usable = torch.from_numpy(pairs.visible >= mix.least_visible) & ((people.people.scores > VALID_SCORE).sum(1) >= 5)
    if not mix.keeps_exchanged:
        usable &= ~is_exchanged(people)
    weight = torch.from_numpy(pairs.visible / mix.full_weight_visible).clamp(max=1.0)
    return replace(people, weight=weight).map(lambda values: values[usable])


def is_exchanged(people: SimulatedPeople) -> Tensor:
    """Return ``P`` bool: the detected torso, arms or legs fit the truth clearly better with left and right swapped."""
    exchanged = torch.zeros(len(people.weight), dtype=torch.bool)
    for group in map(list, _SIDES):
        truth, seen = _flat(people.keypoints_camera)[:, group], people.people.points[:, group]
        trusted = people.people.scores[:, group] > VALID_SCORE
        other = truth[:, [1, 0, 3, 2]]
        as_named, crosswise = (((seen - side).norm(dim=-1) * trusted).sum(1) for side in (truth, other))
        exchanged |= crosswise < 0.6 * as_named
    return exchanged


class RenderedSampler:
    """Draws from a fixed set of rendered people.

    Args:
        people: From ``rendered_people``.
        roll_deg: Standard deviation of the roll.
    """

    def __init__(self, people: SimulatedPeople, points: BodyPoints, bodies: BodyMix, roll_deg: float) -> None:
        self.people, self.points, self.bodies = people, points, bodies
        self.roll = math.radians(roll_deg)

    def __len__(self) -> int:
        return len(self.people.weight)

    def sample(self, rng: RandomSource, count: int) -> SimulatedPeople:
        """Draw ``count`` people, half of them mirrored."""
        chosen = rng.below(len(self), count)
        people = self.people.map(lambda values: values[chosen])
        people = resize_people(people, self.points, draw_grown_up(rng, self.bodies, count))
        people = _roll(people, rng.normal(self.roll, count) * ~_at_border(people.people))
        flips = rng.chance(0.5, count)
        return _choose(flips, mirror_people(people), people)


def resize_people(people: SimulatedPeople, points: BodyPoints, beta0: Tensor) -> SimulatedPeople:
    """Set beta 0 (``P``) and move people along their rays so that the image does not change."""
    betas = torch.cat([beta0[:, None], people.betas[:, 1:]], dim=1)
    farther = (STATURE_M + STATURE_M_PER_BETA * beta0) / (STATURE_M + STATURE_M_PER_BETA * people.betas[:, 0])
    root = people.root_camera * farther[:, None]
    posed = points(people.joint_rotations, betas)
    return replace(
        people,
        betas=betas,
        root_camera=root,
        joints=posed.joints,
        keypoints_camera=posed.keypoints + root[:, None],
    )


def mirror_people(people: SimulatedPeople) -> SimulatedPeople:
    """Reflect people, detections and truth, in the plane x = 0 of the camera."""
    sides, flip = torch.tensor(MIRRORED_KEYPOINTS), torch.tensor([-1.0, 1.0, 1.0])
    joints = torch.tensor(MIRRORED_JOINTS)
    left, top, right, bottom = people.people.borders.unbind(1)
    return replace(
        people,
        people=PersonKeypoints(
            people.people.points[:, sides] * flip[:2],
            people.people.scores[:, sides],
            torch.stack([-right, top, -left, bottom], dim=1),
        ),
        joint_rotations=mirror(people.joint_rotations, joints),
        root_camera=people.root_camera * flip,
        joints=people.joints[:, joints] * flip,
        keypoints_camera=people.keypoints_camera[:, sides] * flip,
    )


def _all_people(pairs: RenderedPeople, points: BodyPoints) -> SimulatedPeople:
    rotations = rotation_from_axis_angle(torch.from_numpy(pairs.rotvecs))
    betas, root = torch.from_numpy(pairs.betas), torch.from_numpy(pairs.root_camera)
    posed = points(rotations, betas)
    height, width = pairs.image_size.astype(np.float32).T
    # Principal point and single focal length as at inference.
    center = torch.from_numpy(np.stack([width // 2, height // 2], axis=1))
    focal = torch.from_numpy(pairs.focal_px.mean(1, keepdims=True))
    far_corner = torch.from_numpy(np.stack([width, height], axis=1))
    borders = torch.cat([(-0.5 - center) / focal, (far_corner - 0.5 - center) / focal], dim=1)
    seen = (torch.from_numpy(pairs.keypoints_px) - center[:, None]) / focal[:, None]
    return SimulatedPeople(
        people=PersonKeypoints(seen, torch.from_numpy(pairs.scores), borders),
        joint_rotations=rotations,
        betas=betas,
        root_camera=root,
        joints=posed.joints,
        keypoints_camera=posed.keypoints + root[:, None],
        weight=torch.ones(len(pairs)),
        kind=torch.zeros(len(pairs), dtype=torch.long),
    )


def _roll(people: SimulatedPeople, angle: Tensor) -> SimulatedPeople:
    """Turn people and detections about the optical axis by ``P`` radians; the image borders stay."""
    turn = axis_turn("z", angle)
    rotations = torch.cat([(turn @ people.joint_rotations[:, 0])[:, None], people.joint_rotations[:, 1:]], dim=1)
    seen = replace(people.people, points=people.people.points @ turn[:, :2, :2].transpose(1, 2))
    return replace(
        people,
        people=seen,
        joint_rotations=rotations,
        root_camera=(turn @ people.root_camera[..., None])[..., 0],
        joints=people.joints @ turn.transpose(1, 2),
        keypoints_camera=people.keypoints_camera @ turn.transpose(1, 2),
    )


def _at_border(seen: PersonKeypoints) -> Tensor:
    """``P`` bool: a trusted keypoint is at the image's border."""
    low, high = seen.borders[:, None, :2], seen.borders[:, None, 2:]
    room = torch.minimum(seen.points - low, high - seen.points).amin(-1)
    near = room < _NEAR_BORDER * (high - low).amax(-1)
    return (near & (seen.scores > VALID_SCORE)).any(1)


def _choose(where: Tensor, first: SimulatedPeople, second: SimulatedPeople) -> SimulatedPeople:
    """Take people of ``first`` where ``where`` (``P`` bool), of ``second`` elsewhere."""
    mixed = concatenate([first, second])
    count = len(where)
    rows = torch.arange(count) + torch.where(where, 0, count)
    return mixed.map(lambda values: values[rows])


def _flat(points_camera: Tensor) -> Tensor:
    return points_camera[..., :2] / points_camera[..., 2:].clamp_min(0.2)
