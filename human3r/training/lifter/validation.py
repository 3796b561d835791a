"""How good a lifter is on simulated people of motions it was never trained on, beside trivial baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from human3r.geometry.alignment import fit_similarity
from human3r.geometry.rigid import axis_angle_from_rotation
from human3r.models.compact.people.body_points import BodyPoints
from human3r.models.compact.people.keypoint_encoder import VALID_SCORE, keypoint_features
from human3r.models.compact.people.lifter import LiftedPeople
from human3r.skeleton import NUM_BODY_JOINTS
from human3r.training.lifter.losses import log_depth_error
from human3r.training.lifter.simulation.poses import SEATED
from human3r.training.lifter.simulation.simulator import SimulatedPeople


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

    def row(self) -> str:
        """One line of a table."""
        return (
            f"{self.people:6d} {self.mpjpe_mm:7.1f} {self.pa_mpjpe_mm:7.1f} {self.depth_mean_percent:7.1f}"
            f" {self.depth_median_percent:7.1f} {self.orientation_median_deg:7.1f}"
            f" {self.orientation_over_45_percent:7.1f}"
        )


HEADER = f"{'':25s} people   MPJPE      PA  depth%  median orient.    >45%"


@torch.no_grad()
def score_table(lifted: LiftedPeople, truth: SimulatedPeople, points: BodyPoints) -> dict[str, LifterScores]:
    """Score everyone, people in full view, seated people, and the trivial baseline on everyone."""
    seen = (truth.people.scores > VALID_SCORE).all(dim=1)
    counted = truth.weight > 0
    groups = {"all": counted, "all points seen": counted & seen, "seated": counted & (truth.kind == SEATED)}
    table = {name: _scores(lifted, truth, points, group) for name, group in groups.items()}
    table["baseline, all"] = _scores(upright_baseline(truth), truth, points, counted)
    return table


def upright_baseline(truth: SimulatedPeople) -> LiftedPeople:
    """The mean body, upright, facing the camera, at the depth that makes the detected box 1.5 m."""
    cues = keypoint_features(truth.people)
    count = len(cues.size)
    rotations = torch.eye(3).expand(count, NUM_BODY_JOINTS, 3, 3).clone()
    rotations[:, 0] = cues.R_camera_virtual @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    root = cues.R_camera_virtual[..., 2] * (1.5 / cues.size)[:, None]
    return LiftedPeople(rotations, torch.zeros(count, 10), root, torch.ones(count, NUM_BODY_JOINTS), torch.ones(count))


def _scores(lifted: LiftedPeople, truth: SimulatedPeople, points: BodyPoints, chosen: Tensor) -> LifterScores:
    lifted, truth = lifted.map(lambda field: field[chosen]), truth.map(lambda field: field[chosen])
    joints = points(lifted.joint_rotations, lifted.betas).joints
    depth = log_depth_error(lifted, truth).abs().exp() - 1
    between = lifted.joint_rotations[:, 0].mT @ truth.joint_rotations[:, 0]
    turn = axis_angle_from_rotation(between).norm(dim=-1).rad2deg()
    return LifterScores(
        people=len(turn),
        mpjpe_mm=1000 * float((joints - truth.joints).norm(dim=-1).mean()),
        pa_mpjpe_mm=1000 * _aligned_error(joints, truth.joints),
        depth_mean_percent=100 * float(depth.mean()),
        depth_median_percent=100 * float(depth.median()),
        orientation_median_deg=float(turn.median()),
        orientation_over_45_percent=100 * float((turn > 45).float().mean()),
    )


def _aligned_error(joints: Tensor, truth: Tensor) -> float:
    """Return the mean joint error after the best similarity transform of every person, meters."""
    source, target = joints.double().cpu().numpy(), truth.double().cpu().numpy()
    return float(np.linalg.norm(fit_similarity(source, target).apply(source) - target, axis=-1).mean())
