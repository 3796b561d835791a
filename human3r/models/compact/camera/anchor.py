"""Maps of a frame for the camera head, and the surfaces sampled from its depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from human3r.models.compact.camera.alignment import Target, gradient, image_and_gradient
from human3r.models.compact.camera.motion import Lens, Surface
from human3r.models.compact.convnets.convolution import maximum_filter
from human3r.models.compact.people.prompter import KeypointDetections
from human3r.models.parts import DecodedFrame, ScenePoints
from human3r.records import TensorRecord

LEVELS = ((16, 8), (8, 6), (4, 5), (2, 3))
"""(pixels per cell, Gauss-Newton steps), coarse to fine."""
_MASK_GROWTH_PX = 4
"""Borders of person masks are soft."""
_DEPTH_EDGE = 0.15
"""Step of the log depth between neighboring cells at a depth edge."""


@dataclass(frozen=True)
class FrameView(TensorRecord):
    """Maps of a frame, at half resolution unless stated otherwise."""

    gray: Tensor
    """``h w`` in [-1, 1]."""
    depth: Tensor
    """``h w`` meters."""
    background: Tensor
    """``h w`` in [0, 1]; 0 on people."""
    features: Tensor
    """``C h/4 w/4`` unit features of stride 8."""
    coarse_features: Tensor
    """``C' h/8 w/8`` unit features of stride 16."""
    focal_px: Tensor
    """Scalar, full-image pixels."""
    focal_information: Tensor
    """Scalar inverse variance of the log focal length of the single image."""


def describe_frame(frame: DecodedFrame, points: ScenePoints, person_mask: Tensor) -> FrameView:
    """Compute the maps of a frame; ``person_mask`` is ``H W`` in [0, 1]."""
    assert points.focal_information is not None
    background = 1 - maximum_filter(person_mask, _MASK_GROWTH_PX)
    background = background * (1 - _inside_boxes(frame, person_mask))
    depth = points.pointmap_camera[..., 2].clamp(min=0.05)
    return FrameView(
        gray=_shrink(frame.image.pyramid[0][0, 0].float(), 2),
        depth=_shrink(depth.log(), 2).exp(),
        background=_shrink(background, 2),
        features=_unit(frame.image.pyramid[2][0]),
        coarse_features=_unit(frame.image.pyramid[3][0]),
        focal_px=points.focal_px,
        focal_information=points.focal_information,
    )


def build_targets(view: FrameView) -> list[Target]:
    """Return the targets of an alignment at every level of ``LEVELS``."""
    grays = [(_shrink(view.gray, stride_px // 2), stride_px) for stride_px, _ in LEVELS]
    return [Target(image_and_gradient(gray, stride_px), view.background) for gray, stride_px in grays]


def build_surfaces(view: FrameView, lens: Lens) -> tuple[Surface, ...]:
    """Return the surface at every level of ``LEVELS``; at the finest, every fourth point."""
    surfaces = [build_surface(view, stride_px, lens) for stride_px, _ in LEVELS]
    return (*surfaces[:-1], sharpest_points(surfaces[-1], view.gray.shape))


def sharpest_points(surface: Surface, shape: torch.Size) -> Surface:
    """Keep the cell of the steepest gradient of every 2 x 2 cells of an ``h w`` surface."""
    rows, columns = shape
    steepness = surface.slope.square().sum(-1) * surface.weight
    blocks = steepness.view(rows // 2, 2, columns // 2, 2).permute(1, 3, 0, 2).flatten(0, 1)
    best = blocks.argmax(0)
    row = torch.arange(rows // 2, device=best.device)[:, None] * 2 + best // 2
    column = torch.arange(columns // 2, device=best.device) * 2 + best % 2
    index = (row * columns + column).flatten()
    return surface.map(lambda values: values.mT.index_select(-1, index).mT if values.ndim == 2 else values[index])


def build_surface(view: FrameView, stride_px: int, lens: Lens) -> Surface:
    """Sample the surface at every ``stride_px`` full-image pixels."""
    factor = stride_px // 2
    gray = _shrink(view.gray, factor)
    log_depth = _shrink(view.depth.log(), factor)
    rows, columns = gray.shape
    x = (torch.arange(columns, device=gray.device) + 0.5) * stride_px - 0.5
    y = (torch.arange(rows, device=gray.device) + 0.5)[:, None] * stride_px - 0.5
    depth = log_depth.exp()
    across = (x - lens.center_px[0]) / lens.focal_px
    down = (y - lens.center_px[1]) / lens.focal_px
    points = torch.stack([across * depth, down * depth, depth])
    slope = gradient(gray) / stride_px
    edge = gradient(log_depth).square().sum(0)
    weight = _shrink(view.background, factor) / (1 + edge / _DEPTH_EDGE**2)
    return Surface(points.flatten(1).T, gray.flatten(), slope.flatten(1).T, weight.flatten())


def _inside_boxes(frame: DecodedFrame, person_mask: Tensor) -> Tensor:
    """Return ``H W``: 1 inside the box around the valid keypoints of each person, enlarged by a tenth."""
    detections = frame.detections
    if not isinstance(detections, KeypointDetections) or detections.keypoints is None or len(detections) == 0:
        return torch.zeros_like(person_mask)
    keypoints = detections.keypoints
    is_invalid = (keypoints.keypoint_score < 0.15)[..., None]
    low = keypoints.keypoints_px.masked_fill(is_invalid, torch.inf).amin(1)
    high = keypoints.keypoints_px.masked_fill(is_invalid, -torch.inf).amax(1)
    margin = 0.1 * (high - low).amax(1, keepdim=True) + 4.0
    low, high = low - margin, high + margin
    x = torch.arange(person_mask.shape[1], device=person_mask.device)
    y = torch.arange(person_mask.shape[0], device=person_mask.device)
    in_x = (x >= low[:, :1]) & (x <= high[:, :1])
    in_y = (y >= low[:, 1:]) & (y <= high[:, 1:])
    return (in_y[:, :, None] & in_x[:, None, :]).any(0).to(person_mask.dtype)


def _unit(features: Tensor) -> Tensor:
    """Subtract the mean over the cells of ``C h w`` features and scale each cell to unit length."""
    features = features.float()
    return functional.normalize(features - features.mean(dim=(1, 2), keepdim=True), dim=0)


def _shrink(image: Tensor, factor: int) -> Tensor:
    """Average ``h w`` over blocks."""
    return image if factor == 1 else functional.avg_pool2d(image[None], factor)[0]
