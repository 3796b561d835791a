"""The compact lens head: fuse the predicted focal length with the evidence of straight edges.

Edges are evaluated in frames 1, 5, 17, 65, ... of a segment: a clip has one lens, and a moving camera sees new edges.
Log likelihoods are averaged over these frames, because errors of images of one place are correlated.
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

_INTERVAL_FACTOR = 4
_EVIDENCE_SHARE = 0.045
"""Factor on the log likelihood, because pixels of one edge are correlated. Source: calibrated on 198 held-out images,
so that errors are as large as predicted."""
_OUTLIER_SHARE = 0.1
"""Probability that the edges are uninformative, as those of grass, trees and crowds are."""
_MAX_LOG_RATIO, _NUM_STEPS = 1.5, 241
"""Range of log focal lengths relative to the prior's, and number of grid points."""


@dataclass(frozen=True)
class LensState(TensorRecord):
    """Evidence of the edges so far."""

    evidence: Tensor
    """``F`` mean of ``focal_evidence`` over the evaluated frames."""
    num_frames: int
    """Frames of the segment so far."""
    num_evaluated: int


class StraightEdgeLensHead(nn.Module):
    """A ``signatures.LensHead``. No parameters."""

    state_type = LensState

    def forward(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, state: LensState | None
    ) -> tuple[ScenePoints, LensState]:
        """Return the points under the corrected focal length, and the next state."""
        state = update_state(frame.image.pyramid[0][0, 0].float(), person_mask, state)
        assert points.focal_information is not None
        prior = prior_focal_px(frame.image_size)
        log_focal, information = fuse(state.evidence, (points.focal_px / prior).log(), points.focal_information)
        points = with_focal(points, prior * log_focal.exp())
        return replace(points, focal_information=information), state


def update_state(gray: Tensor, person_mask: Tensor, state: LensState | None) -> LensState:
    """Return the state after an image (``H W`` in [-1, 1]), which is evaluated if the interval has passed."""
    num_frames, num_evaluated = (0, 0) if state is None else (state.num_frames, state.num_evaluated)
    if state is not None and num_frames < _INTERVAL_FACTOR**num_evaluated:
        return replace(state, num_frames=num_frames + 1)
    image_size = (gray.shape[0], gray.shape[1])
    edges = find_edges(gray, person_mask, gray.new_tensor(principal_point(image_size)))
    evidence = focal_evidence(edges, gray.new_tensor(prior_focal_px(image_size)))
    if state is not None:
        evidence = state.evidence + (evidence - state.evidence) / (num_evaluated + 1)
    return LensState(evidence, num_frames + 1, num_evaluated + 1)


def fuse(evidence: Tensor, log_focal: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
    """Return scalar mean and information of the log focal length, relative to the prior's, on a grid.

    Args:
        evidence: ``F`` from ``focal_evidence``, extrapolated as constant.
        log_focal: Scalar prediction of the network, relative to the prior's.
        information: Scalar information of the prediction.
    """
    grid = torch.linspace(-_MAX_LOG_RATIO, _MAX_LOG_RATIO, _NUM_STEPS, dtype=log_focal.dtype, device=log_focal.device)
    cell = ((grid + MAX_LOG_RATIO) / (2 * MAX_LOG_RATIO) * (len(evidence) - 1)).clamp(0, len(evidence) - 1)
    low = cell.long().clamp(max=len(evidence) - 2)
    likelihood = torch.lerp(evidence[low], evidence[low + 1], cell - low)
    likelihood = torch.softmax(_EVIDENCE_SHARE * likelihood, dim=0)
    likelihood = (1 - _OUTLIER_SHARE) * likelihood + _OUTLIER_SHARE / len(grid)
    weight = likelihood * torch.exp(-0.5 * information * (grid - log_focal) ** 2)
    weight = weight / weight.sum()
    mean = (weight * grid).sum()
    return mean, 1 / (weight * (grid - mean) ** 2).sum()
