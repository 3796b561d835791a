"""The compact camera head: an explicit motion layer against an anchor frame that the recurrent state keeps.

Every frame is aligned to the anchor and not to its predecessor, so a camera that stands still cannot drift. The anchor
is replaced when too little of it is in view. No regression: what is learnt are depth and person mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.compact.motion import (
    Lens,
    Surface,
    align_images,
    align_matches,
    gradient,
    inverse,
    match_features,
    misfit,
    picture,
    sample,
    transform,
)
from human3r.models.compact.prompter import KeypointDetections, principal_point
from human3r.models.parts import DecodedFrame, ScenePoints
from human3r.records import TensorRecord

_LEVELS = ((16, 8), (8, 6), (4, 5), (2, 3))
"""(pixels per cell, Gauss-Newton steps), coarse to fine."""
_CHECK_LEVEL = 1
"""Of ``_LEVELS``, where starts are compared."""
_MATCH_LEVELS = ((16, 12), (8, 4))
"""(pixels per feature cell, radius of the window in cells): first half the image around the prediction, then near."""
_MIN_OVERLAP = 0.7
"""Share of the anchor's weight that must stay in view."""
_MAX_FLOW = 0.12
"""Mean motion of the anchor's points, as a share of the long side, beyond which the anchor is replaced."""
_MATCH_MARGIN = 0.97
"""Matches replace the predicted motion only if they lower the misfit to this share of it."""
_GOOD_MISFIT = 0.06
"""Below it the previous motion is start enough, and nothing is matched."""
_MASK_GROWTH_PX = 4
"""The borders of person masks are soft."""
_DEPTH_EDGE = 0.15
"""Step of the logarithm of the depth between neighbouring cells that counts as an edge."""
_MAX_CHAIN_LOG_SCALE = 0.4
_MAX_CHAIN_LOG_STEP = 0.6
"""Beyond it the two anchors show different things: one hides the other."""
_CHAIN_BLOCK = 8
"""Side of the blocks in which a new anchor's depth follows the old one's, cells."""
_CHAIN_SHARE, _CHAIN_POINTS = 0.5, 4
"""Trust in the old surface over that in the new depth, and the points of a block that earn it."""


@dataclass(frozen=True)
class AnchorCue(TensorRecord):
    """The frame that motion is measured against; all at half resolution unless said otherwise."""

    grey: Tensor
    """``h w`` in [-1, 1]."""
    depth: Tensor
    """``h w`` metres."""
    background: Tensor
    """``h w`` in [0, 1]; 0 shows people."""
    features: Tensor
    """``C h/4 w/4`` unit features of stride 8."""
    coarse_features: Tensor
    """``C' h/8 w/8`` unit features of stride 16."""
    focal_px: Tensor
    """Scalar, full-image pixels."""
    T_segment_anchor: Tensor
    """``4 4``"""
    T_previous_anchor: Tensor
    """``4 4`` anchor to the previous frame's camera."""
    T_step: Tensor
    """``4 4`` motion from the frame before the previous one to the previous one."""


class MotionCameraHead(nn.Module):
    """Estimate ``T_segment_camera`` by aligning each frame to the anchor. No parameters."""

    def forward(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, cue: AnchorCue | None
    ) -> tuple[Tensor, AnchorCue]:
        """Locate one frame; the first frame of a segment is the identity and the first anchor."""
        identity = torch.eye(4, device=person_mask.device)
        here = _describe(frame, points, person_mask, identity, identity)
        if cue is None:
            return identity, here
        lens = Lens(cue.focal_px, identity.new_tensor(principal_point(frame.image_size)), frame.image_size)
        surfaces = build_surfaces(cue, lens)
        T_camera_anchor = estimate_motion(cue, here, lens, surfaces)
        T_segment_camera = cue.T_segment_anchor @ inverse(T_camera_anchor)
        step = T_camera_anchor @ inverse(cue.T_previous_anchor)
        if _needs_new_anchor(surfaces[_CHECK_LEVEL], T_camera_anchor, lens):
            depth = chained_depth(surfaces[_CHECK_LEVEL], here, T_camera_anchor, lens)
            return T_segment_camera, replace(here, depth=depth, T_segment_anchor=T_segment_camera, T_step=step)
        return T_segment_camera, replace(cue, T_previous_anchor=T_camera_anchor, T_step=step)


def build_surfaces(anchor: AnchorCue, lens: Lens) -> list[Surface]:
    """Return the anchor's surface at every level of ``_LEVELS``."""
    surfaces = [build_surface(anchor, stride, lens) for stride, _ in _LEVELS]
    surfaces[-1] = sharpest_points(surfaces[-1], anchor.grey.shape)
    return surfaces


def estimate_motion(anchor: AnchorCue, here: AnchorCue, lens: Lens, surfaces: list[Surface] | None = None) -> Tensor:
    """Return ``T_camera_anchor`` (``4 4``).

    Args:
        anchor: The anchor, with the previous frame's motion as the start.
        here: The current frame, described in the same way.
        lens: Intrinsics of both.
        surfaces: From ``build_surfaces``, where the caller needs them as well.
    """
    surfaces = build_surfaces(anchor, lens) if surfaces is None else surfaces
    pictures = [picture(_shrink(here.grey, stride // 2), stride) for stride, _ in _LEVELS]
    checked = surfaces[_CHECK_LEVEL], pictures[_CHECK_LEVEL][0]
    best, cost = _best_start(anchor, here, *checked, lens)
    # The camera may have stayed at the anchor, or where it was before.
    stays = torch.stack([torch.eye(4).to(best), anchor.T_previous_anchor])
    for level, (_, steps) in enumerate(_LEVELS):
        prior = stays if level == len(_LEVELS) - 1 else None
        refined = align_images(surfaces[level], pictures[level], here.background, best, lens, steps, prior)
        if level > _CHECK_LEVEL:
            best = refined
            continue
        # Coarse pictures of fine patterns can lead astray.
        found = misfit(checked[0], checked[1], here.background, refined, lens)
        if bool(found < cost):
            best, cost = refined, found
    return best


def _best_start(
    anchor: AnchorCue, here: AnchorCue, surface: Surface, grey: Tensor, lens: Lens
) -> tuple[Tensor, Tensor]:
    """Choose between the previous motion, its continuation, and feature matches around them.

    Returns it and its misfit.
    """
    best = anchor.T_previous_anchor
    cost = misfit(surface, grey, here.background, best, lens)
    if bool(cost < _GOOD_MISFIT):
        return best, cost
    continued = anchor.T_step @ best
    if bool((other := misfit(surface, grey, here.background, continued, lens)) < cost):
        best, cost = continued, other
    matched = best
    pairs = ((anchor.coarse_features, here.coarse_features), (anchor.features, here.features))
    for (stride, radius), (there, now) in zip(_MATCH_LEVELS, pairs, strict=True):
        cells = build_surface(anchor, stride, lens)
        pixels, _ = lens.project(transform(matched, cells.points))
        targets, trust = match_features(there, now, pixels, radius, stride)
        matched = align_matches(cells, targets, trust, matched, lens, steps=6, cell_px=stride)
    other = misfit(surface, grey, here.background, matched, lens)
    return (matched, other) if bool(other < _MATCH_MARGIN * cost) else (best, cost)


def sharpest_points(surface: Surface, shape: torch.Size) -> Surface:
    """Keep of every 2 x 2 cells of an ``h w`` surface the one with the steepest grey values: a quarter of the work."""
    rows, columns = shape
    steepness = surface.slope.square().sum(-1) * surface.weight
    blocks = steepness.view(rows // 2, 2, columns // 2, 2).permute(1, 3, 0, 2).flatten(0, 1)
    best = blocks.argmax(0)
    row = torch.arange(rows // 2, device=best.device)[:, None] * 2 + best // 2
    column = torch.arange(columns // 2, device=best.device) * 2 + best % 2
    index = (row * columns + column).flatten()
    return surface.map(lambda values: values.mT.index_select(-1, index).mT if values.ndim == 2 else values[index])


def build_surface(anchor: AnchorCue, stride_px: int, lens: Lens) -> Surface:
    """Sample the anchor at every ``stride_px`` full-image pixels."""
    factor = stride_px // 2
    grey = _shrink(anchor.grey, factor)
    log_depth = _shrink(anchor.depth.log(), factor)
    rows, columns = grey.shape
    x = (torch.arange(columns, device=grey.device) + 0.5) * stride_px - 0.5
    y = (torch.arange(rows, device=grey.device) + 0.5)[:, None] * stride_px - 0.5
    depth = log_depth.exp()
    across = (x - lens.center_px[0]) / lens.focal_px
    down = (y - lens.center_px[1]) / lens.focal_px
    points = torch.stack([across * depth, down * depth, depth])
    slope = gradient(grey) / stride_px
    edge = gradient(log_depth).square().sum(0)
    weight = _shrink(anchor.background, factor) / (1 + edge / _DEPTH_EDGE**2)
    return Surface(points.flatten(1).T, grey.flatten(), slope.flatten(1).T, weight.flatten())


def chained_depth(surface: Surface, new: AnchorCue, T_new_old: Tensor, lens: Lens) -> Tensor:
    """Return the new anchor's ``h w`` depth, brought to the old one's surface.

    One scale takes out what the network changed between the frames, so that the path keeps its scale. Then every block
    moves part of the way to the old surface: what one anchor says wrongly about a place, the next one repeats, and a
    path whose anchors agree bends less.
    """
    moved = transform(T_new_old, surface.points)
    pixels, inside = lens.project(moved)
    ratio = moved[:, 2].clamp(min=0.05).log() - sample(new.depth.log()[None], pixels, lens.image_size)[:, 0]
    chosen = inside & (surface.weight > 0.3)
    if not bool(chosen.any()):
        return new.depth
    scale = ratio[chosen].median().clamp(-_MAX_CHAIN_LOG_SCALE, _MAX_CHAIN_LOG_SCALE)
    chosen = chosen & ((ratio - scale).abs() < _MAX_CHAIN_LOG_STEP)
    height, width = new.depth.shape
    rows, columns = (height + _CHAIN_BLOCK - 1) // _CHAIN_BLOCK, (width + _CHAIN_BLOCK - 1) // _CHAIN_BLOCK
    # The anchor's maps have half the resolution of the image.
    block = ((pixels[chosen] + 0.5) / (2 * _CHAIN_BLOCK)).long()
    index = block[:, 1].clamp(max=rows - 1) * columns + block[:, 0].clamp(max=columns - 1)
    count = ratio.new_zeros(rows * columns).index_add(0, index, torch.ones_like(ratio[chosen]))
    total = ratio.new_zeros(rows * columns).index_add(0, index, ratio[chosen] - scale)
    share = _CHAIN_SHARE * (count / _CHAIN_POINTS).clamp(max=1.0)
    share = share / (1 + share)
    correction = (share * total / count.clamp(min=1.0)).view(1, 1, rows, columns)
    correction = functional.interpolate(correction, size=(height, width), mode="bilinear", align_corners=False)
    return new.depth * (scale + correction[0, 0]).exp()


def _needs_new_anchor(surface: Surface, T_camera_anchor: Tensor, lens: Lens) -> bool:
    before, _ = lens.project(surface.points)
    after, inside = lens.project(transform(T_camera_anchor, surface.points))
    total = surface.weight.sum().clamp(min=1e-6)
    overlap = (surface.weight * inside).sum() / total
    flow = (torch.linalg.vector_norm(after - before, dim=-1) * surface.weight * inside).sum() / (overlap * total).clamp(
        min=1e-6
    )
    return bool((overlap < _MIN_OVERLAP) | (flow > _MAX_FLOW * max(lens.image_size)))


def _describe(
    frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, T_segment_anchor: Tensor, T_previous: Tensor
) -> AnchorCue:
    """Describe the frame as a possible anchor."""
    background = 1 - largest_nearby(person_mask, _MASK_GROWTH_PX)
    background = background * (1 - _inside_boxes(frame, person_mask))
    depth = points.pointmap_camera[..., 2].clamp(min=0.05)
    return AnchorCue(
        grey=_shrink(frame.image.pyramid[0][0, 0].float(), 2),
        depth=_shrink(depth.log(), 2).exp(),
        background=_shrink(background, 2),
        features=_unit(frame.image.pyramid[2][0]),
        coarse_features=_unit(frame.image.pyramid[3][0]),
        focal_px=points.focal_px,
        T_segment_anchor=T_segment_anchor,
        T_previous_anchor=T_previous,
        T_step=T_previous,
    )


def _inside_boxes(frame: DecodedFrame, person_mask: Tensor) -> Tensor:
    """Return ``H W``: 1 inside the box around anyone's trusted keypoints, grown by a tenth."""
    detections = frame.detections
    if not isinstance(detections, KeypointDetections) or detections.keypoints is None or len(detections) == 0:
        return torch.zeros_like(person_mask)
    keypoints = detections.keypoints
    untrusted = (keypoints.keypoint_score < 0.15)[..., None]
    low = keypoints.keypoints_px.masked_fill(untrusted, torch.inf).amin(1)
    high = keypoints.keypoints_px.masked_fill(untrusted, -torch.inf).amax(1)
    margin = 0.1 * (high - low).amax(1, keepdim=True) + 4.0
    low, high = low - margin, high + margin
    x = torch.arange(person_mask.shape[1], device=person_mask.device)
    y = torch.arange(person_mask.shape[0], device=person_mask.device)
    in_x = (x >= low[:, :1]) & (x <= high[:, :1])
    in_y = (y >= low[:, 1:]) & (y <= high[:, 1:])
    return (in_y[:, :, None] & in_x[:, None, :]).any(0).to(person_mask.dtype)


def largest_nearby(image: Tensor, radius: int) -> Tensor:
    """Return, for every cell of ``h w``, the largest value within ``radius`` cells along both axes.

    As max-pooling, but by rows, then by columns, in whole-image operations: a tenth of the time on a CPU.
    """
    side = 2 * radius + 1
    image = functional.pad(image, (radius, radius, radius, radius), value=-torch.inf)
    for axis in (0, 1):
        width = 1
        while width < side:
            step = min(width, side - width)
            size = image.shape[axis] - step
            image = torch.maximum(image.narrow(axis, 0, size), image.narrow(axis, step, size))
            width += step
    return image


def _unit(features: Tensor) -> Tensor:
    """Scale ``C h w`` features to unit length per cell, after taking out what all cells share."""
    features = features.float()
    return functional.normalize(features - features.mean(dim=(1, 2), keepdim=True), dim=0)


def _shrink(image: Tensor, factor: int) -> Tensor:
    """Average ``h w`` over blocks."""
    return image if factor == 1 else functional.avg_pool2d(image[None], factor)[0]
