"""The compact scale head: scale the scene to the size of the people in it. No parameters.

The size of a person is known to a few percent, that of a room is not. Each person gives a ratio of body depth to scene
depth: at the ground below the feet, or, without visible feet, at face and shoulders. The scale is a causal robust mean
of the log ratios.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from human3r.models.compact.people.prompter import KeypointDetections
from human3r.models.parts import DecodedFrame, PersonParameters, ScenePoints
from human3r.records import TensorRecord

_UPPER_BODY = slice(0, 7)
"""Nose, eyes, ears, shoulders: all within 10 cm of the depth of the head joint."""
_ANKLE_KEYPOINTS = [15, 16]
"""Left and right ankle among COCO's keypoints."""
_ANKLE_JOINTS = [7, 8]
"""The same among SMPL-X's joints."""
_ANKLE_HEIGHT_M = 0.09
"""Height of the ankle joint above the sole of a standing person."""
_MIN_ANKLE_SCORE = 0.25
_HEAD_TRUST = 0.3
"""Weight of a person without visible feet: the network's depth is worse on people than on floors."""
_PRIOR_WEIGHT = 0.3
"""Weight of the network's own scale, in people."""
_MAX_WEIGHT = 60.0
"""Maximum total weight, in people: older evidence decays, so that a wrong start is forgotten."""
_MAX_LOG_SCALE = 1.4
_SPREAD = 0.25
"""Log error at which the weight of a person halves: bodies are known to 6 %, depth at a person less well."""


@dataclass(frozen=True)
class ScaleState(TensorRecord):
    """The scale estimated so far."""

    log_scale: Tensor
    """Scalar."""
    weight: Tensor
    """Scalar, in people."""


class PersonScaleHead(nn.Module):
    """A ``signatures.ScaleHead``."""

    state_type = ScaleState

    def forward(
        self,
        frame: DecodedFrame,
        points: ScenePoints,
        person_mask: Tensor,
        people: PersonParameters,
        state: ScaleState | None,
    ) -> tuple[ScenePoints, ScaleState]:
        """Return the scaled points of one frame, and the next state."""
        depth = points.pointmap_camera[..., 2]
        if state is None:
            state = ScaleState(depth.new_zeros(()), depth.new_full((), _PRIOR_WEIGHT))
        state = update_scale(state, *log_depth_ratios(frame, points, person_mask, people))
        scaled = points.pointmap_camera * state.log_scale.exp()
        return replace(points, pointmap_camera=scaled, log_scale=state.log_scale), state


def log_depth_ratios(
    frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, people: PersonParameters
) -> tuple[Tensor, Tensor]:
    """Return ``P`` log ratios of body depth to the scene depth before scaling, and ``P`` weights in [0, 1]."""
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
    """Return the ``P`` weighted means of an ``H W`` map at ``P K 2`` pixels, and the ``P`` largest weights."""
    height, width = maps.shape
    column, row = points_px.round().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    weight = score * inside * weight[row, column]
    return (maps[row, column] * weight).sum(1) / weight.sum(1).clamp(min=1e-6), weight.amax(1)


def update_scale(state: ScaleState, ratios: Tensor, trust: Tensor) -> ScaleState:
    """Add the measurements of one frame; with growing weight of the state, outliers lose weight."""
    distance = (ratios - state.log_scale) / _SPREAD
    robustness = (state.weight / (state.weight + 5.0)).clamp(max=0.9)
    robust = (1 - robustness) + robustness / (1 + distance.square())
    weight = trust * robust
    total = state.weight + weight.sum()
    mean = (state.log_scale * state.weight + (ratios * weight).sum()) / total
    return ScaleState(mean.clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE), total.clamp(max=_MAX_WEIGHT))
