"""Losses of the lifter: joints, rotations, reprojection, depth, shape and predicted uncertainty.

Weights follow the prototype's recipe; the terms are those of the people losses of the full network (joints relative to
the pelvis, rotations, betas, projections), in units that suit people of any size in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import keypoint_features
from human3r.models.compact.people.lifting.lifter import LiftedPeople
from human3r.training.simulation.simulator import SimulatedPeople


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms. Source: prototype of the lifter, except the last."""

    joints: float = 4.0
    rotations: float = 0.25
    root_rotation: float = 0.35
    reprojection: float = 1.5
    log_depth: float = 1.5
    betas: float = 0.05
    sigma: float = 0.02
    motion: float = 2.0
    """Change of joints from frame to frame, sequences only."""
    log_depth_motion: float = 4.0
    """Change of the logarithm of the depth from frame to frame, sequences only."""


def lifter_losses(
    lifted: LiftedPeople, truth: SimulatedPeople, points: BodyPoints, weights: LossWeights, frames: int = 1
) -> tuple[Tensor, dict[str, float]]:
    """Return the weighted sum and the mean of every term.

    Args:
        lifted: Prediction for the P people of ``truth``.
        frames: Consecutive rows of one person.
    """
    posed = points(lifted.joint_rotations, lifted.betas)
    size = keypoint_features(truth.people).size
    predicted, target = posed.keypoints + lifted.root_camera[:, None], truth.keypoints_camera
    flat = predicted[..., :2] / predicted[..., 2:].clamp_min(0.2)
    clean = target[..., :2] / target[..., 2:].clamp_min(0.2)
    # Clamped to two boxes: projections of points near the camera plane would dominate the loss.
    offset = ((flat - clean) / size[:, None, None]).clamp(-2.0, 2.0)
    angle, depth_error = rotation_angles(lifted, truth), log_depth_error(lifted, truth)
    difference = (lifted.joint_rotations - truth.joint_rotations).abs()
    terms = {
        "joints": (posed.joints - truth.joints).norm(dim=-1).mean(1),
        "rotations": difference[:, 1:].mean((1, 2, 3)) * 3,
        "root_rotation": difference[:, 0].mean((1, 2)) * 3,
        "reprojection": offset.abs().sum(-1).mean(1),
        "log_depth": depth_error.abs(),
        "betas": (lifted.betas - truth.betas).abs().mean(1),
        "sigma": _laplace(angle.detach() / 3**0.5, lifted.rotation_sigma).mean(1)
        + _laplace(depth_error.detach().abs(), lifted.log_depth_sigma),
    }
    if frames > 1:
        error, pairs = posed.joints - truth.joints, truth.weight.unflatten(0, (-1, frames))
        # Both frames must have been seen; the first frame of a window has none before it.
        both = nn.functional.pad(pairs[:, 1:] * pairs[:, :-1], (1, 0)).flatten()
        terms["motion"] = both * _change(error, frames).norm(dim=-1).mean(1)
        terms["log_depth_motion"] = both * _change(depth_error, frames).abs()
    total_weight = truth.weight.sum().clamp_min(1.0)
    means = {name: (term * truth.weight).sum() / total_weight for name, term in terms.items()}
    total = sum((getattr(weights, name) * mean for name, mean in means.items()), torch.zeros(()))
    return total, {name: float(mean.detach()) for name, mean in means.items()}


def _change(values: Tensor, frames: int) -> Tensor:
    """Difference to the row before, 0 in the first of every ``frames`` rows."""
    rows = values.unflatten(0, (-1, frames))
    return torch.cat([torch.zeros_like(rows[:, :1]), rows[:, 1:] - rows[:, :-1]], dim=1).flatten(0, 1)


def rotation_angles(lifted: LiftedPeople, truth: SimulatedPeople) -> Tensor:
    """Angle between predicted and true local rotations, ``P 22`` radians."""
    product = (lifted.joint_rotations * truth.joint_rotations).sum((-1, -2))
    return torch.acos(((product - 1) / 2).clamp(-1 + 1e-6, 1 - 1e-6))


def log_depth_error(lifted: LiftedPeople, truth: SimulatedPeople) -> Tensor:
    """Difference of the logarithms of the pelvis depths, ``P``."""
    return lifted.root_camera[:, 2].clamp_min(0.05).log() - truth.root_camera[:, 2].clamp_min(0.05).log()


def _laplace(error: Tensor, sigma: Tensor) -> Tensor:
    """Negative log likelihood of absolute errors under a Laplace law of scale ``sigma``, constants dropped."""
    return error / sigma + sigma.log()
