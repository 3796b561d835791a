"""Fit the readout of fingers to rendered hands by ridge regression, and compare it with constant poses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from human3r.bodies import SmplxBody
from human3r.bodies.hands import relaxed_hands
from human3r.geometry.rigid import axis_angle_from_rotation, rotation_from_axis_angle
from human3r.models.compact.people.hands.finger_readout import FingerReadout, mirror_left
from human3r.skeleton import JOINT_NAMES
from human3r.training.hands.rendered_hands import RenderedHands

MIN_PRESENCE, MIN_OWN_SIDE = 0.6, 0.3
"""Thresholds of the runtime; see ``human3r.inference.hands``."""
_RIDGE_PER_HAND = 0.05
"""Weight of the squared map, for standardized features, per hand. Source: flat minimum over held-out scenes."""


def used_hands(hands: RenderedHands) -> RenderedHands:
    """Return the hands that the runtime would use."""
    kept = (hands.presence >= MIN_PRESENCE) & (hands.own_side >= MIN_OWN_SIDE)
    return RenderedHands(**{name: values[kept] for name, values in vars(hands).items()})


def fit_readout(hands: RenderedHands, body: SmplxBody) -> FingerReadout:
    """Fit the linear map; the palm is that of the body at rest."""
    readout = FingerReadout()
    names = ["right_wrist", *(f"right_{finger}1" for finger in ("index", "middle", "ring", "pinky"))]
    readout.palm.copy_(body.joint_template[[JOINT_NAMES.index(name) for name in names]])
    points, is_right, truth = _tensors(hands)
    features, truth = readout.features(points, is_right).double(), mirror_left(truth, is_right).flatten(1).double()
    mean, scale = features.mean(0), features.std(0).clamp_min(1e-4)
    standard = (features - mean) / scale
    gram = standard.T @ standard + _RIDGE_PER_HAND * len(standard) * torch.eye(standard.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, standard.T @ (truth - truth.mean(0))) / scale[:, None]
    with torch.no_grad():
        readout.map.weight.copy_(weights.T)
        readout.map.bias.copy_(truth.mean(0) - mean @ weights)
    return readout


def score(readout: FingerReadout, hands: RenderedHands) -> dict[str, np.ndarray]:
    """Return the mean angle to the true rotation of every joint, ``15`` degrees: the readout's, and of fixed poses."""
    points, is_right, truth = _tensors(hands)
    relaxed = relaxed_hands()[is_right.long()]
    with torch.inference_mode():
        poses = {"readout": readout(points, is_right), "relaxed hand": relaxed, "flat hand": torch.zeros_like(truth)}
    constant = mirror_left(mirror_left(truth, is_right).mean(0).expand_as(truth), is_right)
    poses["best constant pose"] = constant
    return {name: _degrees(pose, truth).mean(0).numpy() for name, pose in poses.items()}


def _tensors(hands: RenderedHands) -> tuple[Tensor, Tensor, Tensor]:
    points, fingers = (torch.from_numpy(values).float() for values in (hands.points, hands.fingers))
    return points, torch.from_numpy(hands.is_right), fingers


def _degrees(first: Tensor, second: Tensor) -> Tensor:
    """Return angles ``H 15`` between rotation vectors ``H 15 3``."""
    between = rotation_from_axis_angle(first).transpose(-1, -2) @ rotation_from_axis_angle(second)
    return torch.rad2deg(axis_angle_from_rotation(between).norm(dim=-1))
