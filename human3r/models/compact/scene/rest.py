"""A standing camera: between two frames that run through the whole network, scene and camera are those of the first.

People are new in every frame. Whether the camera stands is measured in the image: the smallest motion of the background
that explains the differences to the last whole frame. No parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from human3r.models.compact.camera.alignment import gradient
from human3r.models.compact.convnets.convolution import maximum_filter
from human3r.models.compact.matching import alike
from human3r.models.parts import DecodedFrame, Detections, FrameTokens, InferredFrame, RestScene, ScenePoints
from human3r.records import TensorRecord

_STRIDE_PX = 4
"""Of the images that are compared."""
_MASK_GROWTH = 2
"""Cells around people that are not compared."""
_MAX_MOTION_PX = 0.2
"""Motion of the image's corners between two whole frames, or a whole frame and this one, above which the camera moves.
Source: the median is .003 to .023 px for standing cameras of real clips, .50 for a moving one."""
_NOISE = 0.05
"""Difference of gray values at which a cell's weight halves."""
MIN_RESTING = 7
"""Whole frames in which the camera has stood before one is left out: scale and focal length are estimated by then."""
_MOVED = 4
"""Such frames that one in which the camera moves takes back."""
_MAX_LEFT_OUT = 4
"""Frames in a row after which an encoded frame is not left out: of a clip in groups of four, every second group has one
that runs through the whole network."""


@dataclass(frozen=True)
class RestState(TensorRecord):
    """The last frame that ran through the whole network."""

    gray: Tensor
    """``h w`` in [-1, 1]."""
    person_mask: Tensor
    """``H W`` in [0, 1]."""
    points: ScenePoints
    T_segment_camera: Tensor
    """``4 4``"""
    human_tokens: Tensor
    """``P D``"""
    track_features: Tensor
    """``P F`` of the same people."""
    resting: int = 0
    """Whole frames in which the camera has stood, see ``count_resting``."""
    left_out: int = 0
    """Frames left out since."""


class RestingScene:
    """A ``signatures.Rest``."""

    state_type = RestState

    def recall(self, tokens: FrameTokens, detections: Detections, state: TensorRecord | None) -> RestScene | None:
        """Return what holds for an encoded frame with these people, or None: it has to run through the network."""
        features, mask = detections.track_features, tokens.person_mask
        if not isinstance(state, RestState) or features is None or mask is None or detections.is_real is not None:
            return None
        if state.resting < MIN_RESTING or state.person_mask.shape != mask.shape:
            return None
        if not (self.may_leave_out(state) or isinstance(tokens.human, InferredFrame)):
            return None
        if not stands(shrunk(tokens.image.pyramid[0]), state.gray, torch.maximum(mask, state.person_mask)):
            return None
        rows = _rows_of(features, state.track_features)
        if rows is None:
            return None
        # What people have uncovered or covered since has no depth.
        is_same = (mask > 0.5) == (state.person_mask > 0.5)
        points = replace(state.points, confidence=state.points.confidence * is_same)
        return RestScene(points, state.T_segment_camera, state.human_tokens[rows])

    def may_leave_out(self, state: TensorRecord | None) -> bool:
        """Return whether an encoded frame may be left out, if the camera still stands."""
        return isinstance(state, RestState) and state.resting >= MIN_RESTING and state.left_out < _MAX_LEFT_OUT

    def left_out(self, state: TensorRecord | None) -> RestState:
        """Return the state after a frame that was left out."""
        assert isinstance(state, RestState)
        return replace(state, left_out=state.left_out + 1)

    def remember(
        self,
        frame: DecodedFrame,
        points: ScenePoints,
        person_mask: Tensor,
        T_segment_camera: Tensor,
        state: TensorRecord | None,
    ) -> RestState | None:
        """Return the state after a whole frame."""
        features, gray = frame.detections.track_features, shrunk(frame.image.pyramid[0])
        if features is None or frame.detections.is_real is not None:
            return None
        resting = 0
        if isinstance(state, RestState) and state.person_mask.shape == person_mask.shape:
            is_still = stands(gray, state.gray, torch.maximum(person_mask, state.person_mask))
            resting = count_resting(state.resting, 1, is_still=is_still)
        return RestState(gray, person_mask, points, T_segment_camera, frame.human_tokens, features, resting)


def shrunk(gray: Tensor) -> Tensor:
    """Return ``h w`` of the ``1 1 H W`` gray image, as ``stands`` compares it."""
    return functional.avg_pool2d(gray[0].float(), _STRIDE_PX)[0]


def _rows_of(features: Tensor, before: Tensor) -> Tensor | None:
    """Return the row of each of ``P F`` features among those ``before``, or None if one is not there."""
    rows = alike(features, before)
    return rows if bool((rows >= 0).all()) else None


def count_resting(before: int, frames: int, *, is_still: bool) -> int:
    """Return the count after more frames, up to what is needed: a single shake does not begin it anew."""
    return min(before + frames, MIN_RESTING) if is_still else max(before - _MOVED, 0)


def stands(gray: Tensor, before: Tensor, person_mask: Tensor) -> bool:
    """Test whether the camera stands between two images.

    Args:
        gray: One of them, from ``shrunk``.
        before: The other.
        person_mask: ``H W`` in [0, 1], the people of both.
    """
    return bool(_motion_px(gray, before, person_mask) < _MAX_MOTION_PX)


def _motion_px(gray: Tensor, before: Tensor, person_mask: Tensor) -> Tensor:
    """Return how far the corners of the background have moved, scalar pixels of the network image.

    One Gauss-Newton step for shift, roll and zoom, which is exact for the small motions that matter.
    """
    people = maximum_filter(functional.max_pool2d(person_mask[None], _STRIDE_PX)[0], _MASK_GROWTH)
    change = gray - before
    weight = (people < 0.5) / (1 + (change / _NOISE).square())
    slope_x, slope_y = gradient(before)
    rows, columns = gray.shape
    y = torch.linspace(-1, 1, rows, device=gray.device)[:, None] * rows / columns
    x = torch.linspace(-1, 1, columns, device=gray.device)
    moves = torch.stack([slope_x, slope_y, slope_y * x - slope_x * y, slope_x * x + slope_y * y]).flatten(1)
    weighted = moves * weight.flatten()
    damping = 1e-4 * torch.eye(4, device=gray.device)
    moved = torch.linalg.solve(weighted @ moves.T + damping, weighted @ change.flatten())
    return _STRIDE_PX * (torch.linalg.vector_norm(moved[:2]) + moved[2:].abs().sum())
