"""Bring the scene to the scale of the people in it, in closed form.

A person's size is known to a few per cent, a room's is not. Per person: depth of the feet over the scene's depth at the
ground below them, so that people stand on the floor; where no foot is seen, depth of the head over the scene's depth at
face and shoulders. A causal robust mean of the logarithm over the clip keeps the scale steady.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from human3r.models.compact.people.prompter import KeypointDetections
from human3r.models.parts import DecodedFrame, PersonParameters, ScenePoints
from human3r.records import TensorRecord

_UPPER_BODY = slice(0, 7)
"""Nose, eyes, ears, shoulders: all within a hand's breadth of the head joint's depth."""
_ANKLE_KEYPOINTS = [15, 16]
"""Left and right ankle among COCO's keypoints."""
_ANKLE_JOINTS = [7, 8]
"""The same among SMPL-X's joints."""
_ANKLE_HEIGHT_M = 0.09
"""Of the ankle joint above the sole of a standing person."""
_MIN_ANKLE_SCORE = 0.25
_HEAD_TRUST = 0.3
"""Of a person whose feet are hidden: the network's depth on people is worse than its depth on floors."""
_PRIOR_WEIGHT = 0.3
"""Persons' worth of belief that the network's own scale is right."""
_MAX_WEIGHT = 60.0
"""Persons' worth of memory: older evidence fades, so that a wrong start is forgotten."""
_MAX_LOG_SCALE = 1.4
_SPREAD = 0.25
"""Logarithmic error at which a person counts half: bodies are known to 6 %, depth at a person less well."""


@dataclass(frozen=True)
class ScaleState(TensorRecord):
    """What was learnt about the scale so far."""

    log_scale: Tensor
    """Scalar."""
    weight: Tensor
    """Scalar, persons' worth of evidence."""
    ratios: Tensor | None = None
    """``P`` what everybody of the latest frame says about ``log_scale``."""
    trust: Tensor | None = None
    """``P`` in [0, 1], of each of them."""


class PersonScaleHead(nn.Module):
    """Multiply the scene by a slowly varying factor. No parameters."""

    def forward(
        self,
        frame: DecodedFrame,
        points: ScenePoints,
        person_mask: Tensor,
        people: PersonParameters,
        state: ScaleState | None,
    ) -> tuple[ScenePoints, ScaleState]:
        """Scale one frame's points and update the belief."""
        depth = points.pointmap_camera[..., 2]
        if state is None:
            state = ScaleState(depth.new_zeros(()), depth.new_full((), _PRIOR_WEIGHT))
        ratios, trust = log_depth_ratios(frame, points, person_mask, people)
        state = replace(update_scale(state, ratios, trust), ratios=ratios, trust=trust)
        scaled = points.pointmap_camera * state.log_scale.exp()
        return replace(points, pointmap_camera=scaled), state


def log_depth_ratios(
    frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, people: PersonParameters
) -> tuple[Tensor, Tensor]:
    """Return ``P`` logarithms of body depth over scene depth, and ``P`` trust in [0, 1].

    Args:
        frame: The frame; its detections carry keypoints.
        points: The scene before scaling.
        person_mask: ``H W`` in [0, 1].
        people: Bodies of the same people, with joints.
    """
    detections = frame.detections
    assert isinstance(detections, KeypointDetections)
    assert detections.keypoints is not None
    assert people.joints_camera is not None
    log_depth = points.pointmap_camera[..., 2].clamp(min=0.05).log()
    keypoints, score = detections.keypoints.keypoints_px, detections.keypoints.keypoint_score
    head_scene, head_weight = _mean_at(log_depth, keypoints[:, _UPPER_BODY], score[:, _UPPER_BODY], person_mask + 0.1)
    head_body = people.head_camera[:, 2].clamp(min=0.05).log()
    ankles = people.joints_camera[:, _ANKLE_JOINTS, 2].clamp(min=0.05)
    drop = torch.stack([torch.zeros_like(ankles), points.focal_px * _ANKLE_HEIGHT_M / ankles], dim=-1)
    seen = (score[:, _ANKLE_KEYPOINTS] - _MIN_ANKLE_SCORE).clamp(min=0) / (1 - _MIN_ANKLE_SCORE)
    ground = keypoints[:, _ANKLE_KEYPOINTS] + drop
    foot_scene, foot_weight = _mean_at(log_depth, ground, seen, torch.ones_like(person_mask))
    foot_body = (ankles.log() * seen).sum(1) / seen.sum(1).clamp(min=1e-6)
    has_ground = foot_weight > 0.05
    ratios = torch.where(has_ground, foot_body - foot_scene, head_body - head_scene)
    trust = torch.where(has_ground, foot_weight.clamp(max=1.0), _HEAD_TRUST * head_weight.clamp(max=1.0))
    return ratios, trust * detections.score


def _mean_at(maps: Tensor, points_px: Tensor, score: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Average an ``H W`` map at ``P K 2`` pixels, weighted; returns ``P`` means and ``P`` largest weights."""
    height, width = maps.shape
    column, row = points_px.round().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    weight = score * inside * weight[row, column]
    return (maps[row, column] * weight).sum(1) / weight.sum(1).clamp(min=1e-6), weight.amax(1)


def update_scale(state: ScaleState, ratios: Tensor, trust: Tensor) -> ScaleState:
    """Add one frame's evidence; a person who disagrees with the belief counts less, once there is one."""
    distance = (ratios - state.log_scale) / _SPREAD
    belief = (state.weight / (state.weight + 5.0)).clamp(max=0.9)
    robust = (1 - belief) + belief / (1 + distance.square())
    weight = trust * robust
    total = state.weight + weight.sum()
    mean = (state.log_scale * state.weight + (ratios * weight).sum()) / total
    return ScaleState(mean.clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE), total.clamp(max=_MAX_WEIGHT))
