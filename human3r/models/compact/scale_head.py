"""Bring the scene to the scale of the people in it, in closed form.

A person's size is known to a few per cent, a room's is not. Per person: depth of the head joint over the scene's depth
at the visible face and shoulders. A causal robust mean of the logarithm over the clip keeps the scale steady.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from human3r.models.compact.prompter import KeypointDetections
from human3r.models.parts import DecodedFrame, PersonParameters, ScenePoints
from human3r.records import TensorRecord

_UPPER_BODY = slice(0, 7)
"""Nose, eyes, ears, shoulders: all within a hand's breadth of the head joint's depth."""
_PRIOR_WEIGHT = 0.3
"""Persons' worth of belief that the network's own scale is right."""
_MAX_WEIGHT = 60.0
"""Persons' worth of memory: older evidence fades, so that a wrong start is forgotten."""
_MAX_LOG_SCALE = 1.4
_SPREAD = 0.25
"""Logarithmic error at which a person counts half: bodies are known to 6 %, depth at a person less well."""


@dataclass(frozen=True)
class ScaleCue(TensorRecord):
    """What was learnt about the scale so far."""

    log_scale: Tensor
    """Scalar."""
    weight: Tensor
    """Scalar, persons' worth of evidence."""


class PersonScaleHead(nn.Module):
    """Multiply the scene by a slowly varying factor. No parameters."""

    def forward(
        self,
        frame: DecodedFrame,
        points: ScenePoints,
        person_mask: Tensor,
        people: PersonParameters,
        cue: ScaleCue | None,
    ) -> tuple[ScenePoints, ScaleCue]:
        """Scale one frame's points and update the belief."""
        depth = points.pointmap_camera[..., 2]
        if cue is None:
            cue = ScaleCue(depth.new_zeros(()), depth.new_full((), _PRIOR_WEIGHT))
        ratios, trust = log_depth_ratios(frame, depth, person_mask, people)
        cue = update_scale(cue, ratios, trust)
        scaled = points.pointmap_camera * cue.log_scale.exp()
        return replace(points, pointmap_camera=scaled), cue


def log_depth_ratios(
    frame: DecodedFrame, depth: Tensor, person_mask: Tensor, people: PersonParameters
) -> tuple[Tensor, Tensor]:
    """Return ``P`` logarithms of body depth over scene depth, and ``P`` trust in [0, 1].

    Args:
        frame: The frame; its detections carry keypoints.
        depth: ``H W`` metres.
        person_mask: ``H W`` in [0, 1].
        people: Bodies of the same people.
    """
    detections = frame.detections
    assert isinstance(detections, KeypointDetections)
    assert detections.keypoints is not None
    height, width = depth.shape
    points = detections.keypoints.keypoints_px[:, _UPPER_BODY]
    column = points[..., 0].round().long()
    row = points[..., 1].round().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    weight = detections.keypoints.keypoint_score[:, _UPPER_BODY] * inside * (person_mask[row, column] + 0.1)
    scene = (depth[row, column].clamp(min=0.05).log() * weight).sum(1) / weight.sum(1).clamp(min=1e-6)
    body = people.head_camera[:, 2].clamp(min=0.05).log()
    return body - scene, weight.amax(1).clamp(max=1.0) * detections.score


def update_scale(cue: ScaleCue, ratios: Tensor, trust: Tensor) -> ScaleCue:
    """Add one frame's evidence; a person who disagrees with the belief counts less, once there is one."""
    distance = (ratios - cue.log_scale) / _SPREAD
    belief = (cue.weight / (cue.weight + 5.0)).clamp(max=0.9)
    robust = (1 - belief) + belief / (1 + distance.square())
    weight = trust * robust
    total = cue.weight + weight.sum()
    mean = (cue.log_scale * cue.weight + (ratios * weight).sum()) / total
    return ScaleCue(mean.clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE), total.clamp(max=_MAX_WEIGHT))
