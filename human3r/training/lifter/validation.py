"""Scores of a lifter on simulated people with held-out motions, next to trivial baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from human3r.geometry.alignment import fit_similarity
from human3r.geometry.rigid import axis_angle_from_rotation
from human3r.models.compact.people.lifting.body_points import KEYPOINT_JOINTS, BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import VALID_SCORE, keypoint_features
from human3r.models.compact.people.lifting.lifter import BodyLifter, LiftedPeople
from human3r.skeleton import NUM_BODY_JOINTS, Joint
from human3r.training.lifter.losses import log_depth_error
from human3r.training.simulation.poses import SEATED
from human3r.training.simulation.simulator import SimulatedPeople, undisturbed

_SIDES = (
    (Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW),
    (Joint.LEFT_WRIST, Joint.RIGHT_WRIST),
    (Joint.LEFT_KNEE, Joint.RIGHT_KNEE),
    (Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE),
)
_APART_M = 0.15
"""Limbs closer together than this do not count as swapped."""


@dataclass(frozen=True)
class LifterScores:
    """One row of the validation table."""

    people: int
    mpjpe_mm: float
    """Mean joint error, pelvis-aligned."""
    pa_mpjpe_mm: float
    """After the best similarity transform."""
    depth_mean_percent: float
    depth_median_percent: float
    orientation_median_deg: float
    orientation_over_45_percent: float
    """Share of people whose root is turned by more than 45 degrees."""
    hidden_mm: float
    """Mean error, pelvis-aligned, of the limb joints whose keypoint scores are below ``VALID_SCORE``."""
    exchanged_percent: float
    """Share of left and right limbs that fit the truth better when swapped, of those at least .15 m apart."""
    reversed_percent: float
    """Share of people with front and back swapped: forward directions more than 90 degrees apart."""

    def row(self) -> str:
        """One line of a table."""
        return (
            f"{self.people:6d} {self.mpjpe_mm:7.1f} {self.pa_mpjpe_mm:7.1f} {self.depth_mean_percent:7.1f}"
            f" {self.depth_median_percent:7.1f} {self.orientation_median_deg:7.1f}"
            f" {self.orientation_over_45_percent:7.1f} {self.hidden_mm:7.1f}"
            f" {self.exchanged_percent:7.2f} {self.reversed_percent:7.2f}"
        )


HEADER = f"{'':30s} people   MPJPE      PA  depth%  median orient.    >45%  hidden  l/r exc f/b rev"


@torch.no_grad()
def score_table(lifted: LiftedPeople, truth: SimulatedPeople, points: BodyPoints) -> dict[str, LifterScores]:
    """Score all people, fully visible people, seated people, ambiguous poses, and the trivial baseline on all."""
    counted = truth.weight > 0
    groups = {
        "all": counted,
        "all points seen": (truth.people.scores > VALID_SCORE).all(dim=1),
        "seated": truth.kind == SEATED,
        **ambiguous_poses(truth),
    }
    chosen = {name: counted & group for name, group in groups.items() if bool((counted & group).any())}
    table = {name: _scores(lifted, truth, points, group) for name, group in chosen.items()}
    table["baseline, all"] = _scores(upright_baseline(truth), truth, points, counted)
    return table


def ambiguous_poses(truth: SimulatedPeople) -> dict[str, Tensor]:
    """Return groups of people, ``P`` bool, whose sides or whose front and back are ambiguous; image y is down."""
    ray = torch.nn.functional.normalize(truth.root_camera, dim=1)
    forward = truth.joint_rotations[:, 0, :, 2]
    y = truth.joints[..., 1]
    ankles, knees = y[:, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]], y[:, [Joint.LEFT_KNEE, Joint.RIGHT_KNEE]]
    return {
        "back turned": (forward * ray).sum(1) > 0.5,
        "high kick": (ankles.amin(1) < 0) & (y[:, Joint.HEAD] < -0.2),
        "bent or upside down": (y[:, Joint.HEAD] > -0.2) & (knees.amax(1) > 0.1),
    }


def lift_every_way(lifter: BodyLifter, truth: SimulatedPeople, frames: int) -> dict[str, LiftedPeople]:
    """Lift with memory, with the state zeroed before every frame, and with memory and exact keypoints.

    Args:
        lifter: With or without memory; without memory, the result has one entry.
        truth: People of single frames, or sequences of ``frames`` rows.
        frames: Consecutive rows of one person.
    """
    if lifter.memory is None:
        return {"": lifter(truth.people)}
    rows = len(truth.weight)
    is_seen = truth.weight > 0
    start = lifter.memory.initial_state(rows // frames)
    return {
        "": lifter.follow(truth.people, start, frames=frames, is_seen=is_seen)[0],
        "state zeroed, ": lifter.follow(truth.people, lifter.memory.initial_state(rows))[0],
        "exact points, ": lifter.follow(undisturbed(truth).people, start, frames=frames, is_seen=is_seen)[0],
    }


def upright_baseline(truth: SimulatedPeople) -> LiftedPeople:
    """The mean body, upright, facing the camera, at the depth that makes the detected box 1.5 m."""
    features = keypoint_features(truth.people)
    count = len(features.size)
    rotations = torch.eye(3).expand(count, NUM_BODY_JOINTS, 3, 3).clone()
    rotations[:, 0] = features.R_camera_virtual @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    root = features.R_camera_virtual[..., 2] * (1.5 / features.size)[:, None]
    return LiftedPeople(rotations, torch.zeros(count, 10), root, torch.ones(count, NUM_BODY_JOINTS), torch.ones(count))


def _scores(lifted: LiftedPeople, truth: SimulatedPeople, points: BodyPoints, chosen: Tensor) -> LifterScores:
    lifted, truth = lifted.map(lambda field: field[chosen]), truth.map(lambda field: field[chosen])
    joints = points(lifted.joint_rotations, lifted.betas).joints
    limbs = list(KEYPOINT_JOINTS[5:])
    error = (joints - truth.joints).norm(dim=-1)
    hidden = error[:, limbs][truth.people.scores[:, 5:] <= VALID_SCORE]
    forward, true_forward = lifted.joint_rotations[:, 0, :, 2], truth.joint_rotations[:, 0, :, 2]
    is_reversed = (forward * true_forward).sum(1) < 0
    depth = log_depth_error(lifted, truth).abs().exp() - 1
    between = lifted.joint_rotations[:, 0].mT @ truth.joint_rotations[:, 0]
    turn = axis_angle_from_rotation(between).norm(dim=-1).rad2deg()
    return LifterScores(
        people=len(turn),
        mpjpe_mm=1000 * float(error.mean()),
        pa_mpjpe_mm=1000 * _aligned_error(joints, truth.joints),
        depth_mean_percent=100 * float(depth.mean()),
        depth_median_percent=100 * float(depth.median()),
        orientation_median_deg=float(turn.median()),
        orientation_over_45_percent=100 * float((turn > 45).float().mean()),
        hidden_mm=1000 * float(hidden.mean()),
        exchanged_percent=100 * float(_exchanged(joints, truth.joints).float().mean()),
        reversed_percent=100 * float(is_reversed.float().mean()),
    )


def _exchanged(joints: Tensor, truth: Tensor) -> Tensor:
    """Return whether elbows, wrists, knees and ankles fit the truth better when swapped, for pairs that are apart."""
    verdicts = []
    for left, right in _SIDES:
        apart = (truth[:, left] - truth[:, right]).norm(dim=-1) > _APART_M
        straight, crossed = (
            (joints[:, [left, right]] - truth[:, order]).norm(dim=-1).sum(1) for order in ([left, right], [right, left])
        )
        verdicts.append((crossed < straight)[apart])
    return torch.cat(verdicts)


def _aligned_error(joints: Tensor, truth: Tensor) -> float:
    """Return the mean joint error after the best similarity transform of every person, meters."""
    source, target = joints.double().cpu().numpy(), truth.double().cpu().numpy()
    return float(np.linalg.norm(fit_similarity(source, target).apply(source) - target, axis=-1).mean())
