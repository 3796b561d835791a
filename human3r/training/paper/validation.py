"""Validation: loss terms and person metrics on held-out clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from human3r.bodies import SmplxBody
from human3r.skeleton import NUM_BODY_JOINTS, Joint
from human3r.training.paper.config import PaperTraining
from human3r.training.paper.criterion import posed_pairs, prepare_targets, true_mask, validation_terms
from human3r.training.paper.data.dataset import TrueClips
from human3r.training.paper.network import TrainedNetwork

NEAR_JOINT_M, NEAR_HEAD_M = 0.15, 0.5
"""A joint is right within 15 cm of the truth, pelvises aligned (3DPCK, arXiv 1611.09813); a head within 50 cm."""
_MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class Scores:
    """One line of the validation table."""

    terms: dict[str, float]
    """Median over the batches of each term; ``total`` chooses the best network."""
    mask_iou: float
    """Intersection over union of the person mask, all clips pooled."""
    joints_mm: float
    """Mean distance of 22 body joints, pelvises aligned, millimeters."""
    vertices_mm: float
    """Mean distance of the vertices, pelvises aligned, millimeters."""
    head_m: float
    """Mean distance of the head joint in the camera frame, meters."""
    right_joints: float
    """Share of body joints within 15 cm."""
    right_heads: float
    """Share of heads within half a meter."""


HEADER = "epoch  total  scene_m  camera_m  mask_iou_%  joints_mm  vertices_mm  joints<15cm_%  head_m  head<50cm_%"


def table_row(epoch: int, scores: Scores) -> str:
    """Return one line below ``HEADER``."""
    terms = scores.terms
    return (
        f"{epoch:5d} {terms['total']:6.3f} {terms['pointmap_m']:8.3f} {terms['camera_m']:9.3f} "
        f"{100 * scores.mask_iou:11.1f} {scores.joints_mm:10.1f} {scores.vertices_mm:12.1f} "
        f"{100 * scores.right_joints:14.1f} {scores.head_m:7.3f} {100 * scores.right_heads:12.1f}"
    )


@torch.no_grad()
def score_batch(
    trained: TrainedNetwork, clips: TrueClips, body: SmplxBody, settings: PaperTraining
) -> dict[str, float]:
    """Return the terms of one batch, and under names that begin with ``sum_`` what ``summarize`` adds up."""
    inputs, targets = prepare_targets(clips, body, trained.parts, settings.variant)
    predictions = trained(inputs)
    values = validation_terms(predictions, clips, targets, body, settings.losses, settings.variant)
    predicted, true = posed_pairs(predictions, clips, targets, body)
    selected = targets.assignment.is_owner
    joints, vertices = (
        ((left - predicted.joints[:, Joint.PELVIS, None]) - (right - true.joints[:, Joint.PELVIS, None])).norm(dim=-1)
        for left, right in (
            (predicted.joints[:, :NUM_BODY_JOINTS], true.joints[:, :NUM_BODY_JOINTS]),
            (predicted.vertices, true.vertices),
        )
    )
    heads = (predictions.head_camera[selected] - targets.heads[selected]).norm(dim=-1)
    truth = true_mask(clips, predictions, settings.variant) > 0
    found = predictions.mask > _MASK_THRESHOLD
    sums = {
        "people": len(heads),
        "joints_m": joints.mean(dim=1).sum(),
        "vertices_m": vertices.mean(dim=1).sum(),
        "head_m": heads.sum(),
        "right_joints": (joints < NEAR_JOINT_M).float().mean(dim=1).sum(),
        "right_heads": (heads < NEAR_HEAD_M).sum(),
        "intersection": (truth & found).sum(),
        "union": (truth | found).sum(),
    }
    return values | {f"sum_{name}": float(value) for name, value in sums.items()}


def summarize(batches: list[dict[str, float]]) -> Scores:
    """Return the line of the table that batches of ``score_batch`` make."""
    sums = {name: sum(batch[name] for batch in batches) for name in batches[0] if name.startswith("sum_")}
    people = max(sums["sum_people"], 1.0)
    terms = {
        name: float(np.median([batch[name] for batch in batches])) for name in batches[0] if not name.startswith("sum_")
    }
    return Scores(
        terms=terms,
        mask_iou=sums["sum_intersection"] / max(sums["sum_union"], 1.0),
        joints_mm=1000 * sums["sum_joints_m"] / people,
        vertices_mm=1000 * sums["sum_vertices_m"] / people,
        head_m=sums["sum_head_m"] / people,
        right_joints=sums["sum_right_joints"] / people,
        right_heads=sums["sum_right_heads"] / people,
    )
