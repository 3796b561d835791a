"""The compact lens head: correct the focal length that the network reads by what straight edges say.

A picture is looked at when the segment is 1, 5, 17, 65, ... frames old: a clip has one lens, and a camera that moves
shows new edges. What the looks say is averaged, for pictures of one place repeat each other's errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from human3r.models.compact.camera.focal_posterior import with_focal
from human3r.models.compact.people.prompter import principal_point, prior_focal_px
from human3r.models.compact.scene.straight_edges import MAX_LOG_RATIO, find_edges, focal_evidence
from human3r.models.parts import DecodedFrame, ScenePoints
from human3r.records import TensorRecord

_LOOK_FACTOR = 4
_EVIDENCE_SHARE = 0.045
"""Of the logarithm of the likelihood: the pixels of one edge repeat each other. Source: of 198 held-out pictures the
one with which errors are as large as claimed."""
_STRAY_SHARE = 0.1
"""Probability that edges say nothing: of grass, trees and crowds they do not."""
_REACH, _NUM_STEPS = 1.5, 241
"""Largest logarithm of a focal length over the prior's that is weighed, and how finely."""


@dataclass(frozen=True)
class LensState(TensorRecord):
    """What the edges of the clip said so far."""

    evidence: Tensor
    """``F`` mean over the looks, from ``focal_evidence``."""
    num_frames: int
    """Frames before the next one."""
    num_looks: int


class StraightEdgeLensHead(nn.Module):
    """Join the network's focal length with the edges' evidence. No parameters."""

    def forward(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, state: LensState | None
    ) -> tuple[ScenePoints, LensState]:
        """Return the points as the corrected lens sees them, and the state for the next frame."""
        state = look(frame.image.pyramid[0][0, 0].float(), person_mask, state)
        assert points.focal_information is not None
        prior = prior_focal_px(frame.image_size)
        log_focal, information = join(state.evidence, (points.focal_px / prior).log(), points.focal_information)
        points = with_focal(points, prior * log_focal.exp())
        return replace(points, focal_information=information), state


def look(grey: Tensor, person_mask: Tensor, state: LensState | None) -> LensState:
    """Return the state after a picture (``H W`` in [-1, 1]), which is looked at if it is time to."""
    num_frames, num_looks = (0, 0) if state is None else (state.num_frames, state.num_looks)
    if state is not None and num_frames < _LOOK_FACTOR**num_looks:
        return replace(state, num_frames=num_frames + 1)
    image_size = (grey.shape[0], grey.shape[1])
    edges = find_edges(grey, person_mask, grey.new_tensor(principal_point(image_size)))
    evidence = focal_evidence(edges, grey.new_tensor(prior_focal_px(image_size)))
    if state is not None:
        evidence = state.evidence + (evidence - state.evidence) / (num_looks + 1)
    return LensState(evidence, num_frames + 1, num_looks + 1)


def join(evidence: Tensor, log_focal: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and information of the logarithm of the focal length (over the prior's), all scalars.

    Args:
        evidence: ``F`` from ``focal_evidence``.
        log_focal: Scalar that the network reads, over the prior's.
        information: Scalar, of the network's reading.
    """
    place = torch.linspace(-_REACH, _REACH, _NUM_STEPS, dtype=log_focal.dtype, device=log_focal.device)
    # Beyond the compared focal lengths the evidence stays what it is at their end.
    cell = ((place + MAX_LOG_RATIO) / (2 * MAX_LOG_RATIO) * (len(evidence) - 1)).clamp(0, len(evidence) - 1)
    low = cell.long().clamp(max=len(evidence) - 2)
    likelihood = torch.lerp(evidence[low], evidence[low + 1], cell - low)
    likelihood = torch.softmax(_EVIDENCE_SHARE * likelihood, dim=0)
    likelihood = (1 - _STRAY_SHARE) * likelihood + _STRAY_SHARE / len(place)
    weight = likelihood * torch.exp(-0.5 * information * (place - log_focal) ** 2)
    weight = weight / weight.sum()
    mean = (weight * place).sum()
    return mean, 1 / (weight * (place - mean) ** 2).sum()
