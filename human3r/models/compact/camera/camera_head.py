"""The compact camera head: alignment of each frame to an anchor frame in the recurrent state. No parameters.

Frames are aligned to the anchor and not to their predecessors, so a static camera cannot drift. Parallax corrects the
depth of the anchor, and rotations refine the focal length. When too little of the anchor is in view, the current frame
replaces it and takes over both posteriors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from human3r.geometry.camera import sample_at_pixels
from human3r.models.compact.camera.alignment import Target, Unknowns, align_images, misfit, start_depth
from human3r.models.compact.camera.anchor import LEVELS, FrameView, build_surfaces, build_targets, describe_frame
from human3r.models.compact.camera.depth_posterior import DepthPosterior, depth_prior, transfer
from human3r.models.compact.camera.focal_posterior import (
    FocalPosterior,
    no_focal_evidence,
    start_focal,
    stretch,
    stretched,
    with_focal,
)
from human3r.models.compact.camera.motion import (
    Lens,
    Surface,
    align_matches,
    inverse,
    match_features,
    orthonormal,
    transform,
    twists_of,
)
from human3r.models.compact.people.prompter import principal_point
from human3r.models.parts import DecodedFrame, ScenePoints
from human3r.records import TensorRecord

_CHECK_LEVEL = 1
"""Index in ``LEVELS`` at which motions are compared."""
_JOINT_LEVEL = 2
"""First index in ``LEVELS`` at which depth is corrected jointly with the motion."""
_MATCH_RADIUS = (12, 4)
"""Half side of the search window in cells of 16 and of 8 pixels."""
_MIN_OVERLAP = 0.7
"""Share of the anchor's weight that must stay in view."""
_MAX_FLOW = 0.12
"""Mean motion of the anchor's points, as a share of the long side, above which the anchor is replaced."""
_MATCH_MARGIN = 0.97
"""Share of the misfit to which matches must lower it to replace the aligned motion."""
_GOOD_MISFIT = 0.06
"""Misfit below which a motion is accepted without matching features."""
_WORSE_MISFIT = 1.25
"""The same, relative to the misfit of the previous frame."""
_MAX_STIFFNESS = 400.0
"""Stiffness above which depth is not corrected."""
_MIN_TURN_RAD = 0.01
"""Rotation since the anchor below which image noise dominates the focal length."""
_MAX_CHAIN_LOG_SCALE = 0.4
_MAX_CHAIN_LOG_STEP = 0.6
"""Log ratio of depths above which the two anchors show different surfaces (occlusion)."""


@dataclass(frozen=True)
class CameraState(TensorRecord):
    """The anchor frame, its posteriors, and the camera motion since."""

    view: FrameView
    surfaces: tuple[Surface, ...]
    """At every level of ``LEVELS``, without the corrections of ``depth``."""
    depth: DepthPosterior
    focal: FocalPosterior
    misfit: Tensor
    """Scalar, of the previous frame."""
    T_segment_anchor: Tensor
    """``4 4``"""
    T_previous_anchor: Tensor
    """``4 4`` anchor to the previous frame's camera."""
    T_step: Tensor
    """``4 4`` motion from the frame before the previous one to the previous one."""


class MotionCameraHead(nn.Module):
    """A ``signatures.CameraHead``."""

    state_type = CameraState

    def forward(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, state: CameraState | None
    ) -> tuple[Tensor, CameraState]:
        """Estimate ``T_segment_camera``; the first frame of a segment is the identity and the first anchor."""
        return advance(describe_frame(frame, points, person_mask), state, frame.image_size)

    def refine_focal(self, points: ScenePoints, state: TensorRecord | None) -> ScenePoints:
        """Return the points under the focal length fused from motion and image."""
        information = points.focal_information
        assert information is not None
        if not isinstance(state, CameraState):
            return replace(points, focal_sigma=information.rsqrt())
        fused = with_focal(points, state.focal.fused_with(points.focal_px, information))
        return replace(fused, focal_sigma=(information + state.focal.information()).rsqrt())


def advance(current: FrameView, state: CameraState | None, image_size: tuple[int, int]) -> tuple[Tensor, CameraState]:
    """Return ``T_segment_camera`` of the current frame and the next state."""
    center_px = current.depth.new_tensor(principal_point(image_size))
    if state is None:
        state = first_anchor(current, Lens(current.focal_px, center_px, image_size))
        return state.T_segment_anchor, state
    # Records read from a snapshot have lost their memory layout.
    state = replace(state, surfaces=tuple(surface.by_coordinate() for surface in state.surfaces))
    state = refocus_state(state, current.focal_px)
    lens = Lens(current.focal_px, center_px, image_size)
    T_camera_anchor, cost, unknowns = estimate_motion(state, current, lens)
    focal = state.focal
    if unknowns.focal is not None:
        focal = focal.updated(*unknowns.focal.likelihood(lens, unknowns.marginalized()))
    depth = state.depth if unknowns.depth is None else unknowns.depth.posterior()
    T_camera_anchor = orthonormal(T_camera_anchor)
    T_segment_camera = orthonormal(state.T_segment_anchor @ inverse(T_camera_anchor))
    step = T_camera_anchor @ inverse(state.T_previous_anchor)
    state = replace(state, depth=depth, focal=focal, misfit=cost, T_previous_anchor=T_camera_anchor, T_step=step)
    if _needs_new_anchor(state, lens):
        state = next_anchor(state, current, lens, T_segment_camera)
    return T_segment_camera, state


def first_anchor(view: FrameView, lens: Lens) -> CameraState:
    """Return the anchor of a new segment."""
    identity = torch.eye(4, dtype=view.depth.dtype, device=view.depth.device)
    return CameraState(
        view=view,
        surfaces=build_surfaces(view, lens),
        depth=depth_prior(view.depth, 2),
        focal=no_focal_evidence(view.focal_px),
        misfit=view.depth.new_zeros(()),
        T_segment_anchor=identity,
        T_previous_anchor=identity,
        T_step=identity,
    )


def refocus_state(state: CameraState, focal_px: Tensor) -> CameraState:
    """Return the state under another focal length."""
    ratio = focal_px / state.view.focal_px
    path = torch.cat([stretch(ratio), torch.ones_like(ratio)[None]])[:, None]
    T_previous_anchor = torch.cat([state.T_previous_anchor[:, :3], state.T_previous_anchor[:, 3:] * path], dim=1)
    return replace(
        state,
        view=replace(state.view, depth=state.view.depth * ratio, focal_px=focal_px),
        surfaces=tuple(stretched(surface, ratio) for surface in state.surfaces),
        T_previous_anchor=T_previous_anchor,
    )


def estimate_motion(anchor: CameraState, current: FrameView, lens: Lens) -> tuple[Tensor, Tensor, Unknowns]:
    """Return ``T_camera_anchor`` (``4 4``), the misfit, and the estimates of depth and focal length."""
    targets = build_targets(current)
    surfaces = [corrected_surface(surface, anchor.depth, lens) for surface in anchor.surfaces[:_JOINT_LEVEL]]
    good = (_WORSE_MISFIT * anchor.misfit).clamp(min=_GOOD_MISFIT)
    best, cost = anchor.T_previous_anchor, _cost(surfaces, targets, anchor.T_previous_anchor, lens)
    if bool(cost > good):
        best, cost = _better(surfaces, targets, lens, (best, cost), anchor.T_step @ best)
    best, cost = _align_coarsely(surfaces, targets, lens, (best, cost))
    if bool(cost > good):
        matched = _match(anchor, current, surfaces, best, lens)
        start = matched, _cost(surfaces, targets, matched, lens)
        other, other_cost = _align_coarsely(surfaces, targets, lens, start)
        if bool(other_cost < _MATCH_MARGIN * cost):
            best, cost = other, other_cost
    # The camera may rest at the anchor or at the previous frame.
    rest_poses = torch.stack([torch.eye(4).to(best), anchor.T_previous_anchor])
    start = start_depth(anchor.depth, surfaces[_CHECK_LEVEL], best, lens)
    # Without parallax depth is not observable; skipping it halves the time.
    unknowns = Unknowns(
        start if bool(start.stiffness < _MAX_STIFFNESS) else None,
        start_focal(anchor.focal, current.focal_information, start.parallax) if _has_turned(best) else None,
    )
    for level in range(_JOINT_LEVEL, len(LEVELS)):
        prior = rest_poses if level == len(LEVELS) - 1 else None
        surface = anchor.surfaces[level]
        if unknowns.depth is None:
            surface = corrected_surface(surface, anchor.depth, lens)
        best, unknowns = align_images(surface, targets[level], best, lens, LEVELS[level][1], unknowns, prior)
    return best, cost, unknowns


def _has_turned(T_camera_anchor: Tensor) -> bool:
    return bool(torch.linalg.vector_norm(twists_of(T_camera_anchor[None])[0, :3]) > _MIN_TURN_RAD)


def corrected_surface(surface: Surface, depth: DepthPosterior, lens: Lens) -> Surface:
    """Return the surface with the depth corrections applied."""
    block = depth.block_of(lens.project(surface.points)[0])
    return replace(surface, points=surface.points * depth.correction.exp()[block, None])


def _cost(surfaces: list[Surface], targets: list[Target], T_camera_anchor: Tensor, lens: Lens) -> Tensor:
    return misfit(surfaces[_CHECK_LEVEL], targets[_CHECK_LEVEL], T_camera_anchor, lens)


def _better(
    surfaces: list[Surface], targets: list[Target], lens: Lens, best: tuple[Tensor, Tensor], other: Tensor
) -> tuple[Tensor, Tensor]:
    """Return motion and misfit of the better of two motions."""
    cost = _cost(surfaces, targets, other, lens)
    return (other, cost) if bool(cost < best[1]) else best


def _align_coarsely(
    surfaces: list[Surface], targets: list[Target], lens: Lens, start: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Refine a motion level by level where it lowers the misfit: coarse images of fine patterns alias."""
    for level in range(_CHECK_LEVEL + 1):
        refined, _ = align_images(surfaces[level], targets[level], start[0], lens, LEVELS[level][1], Unknowns())
        start = _better(surfaces, targets, lens, start, refined)
    return start


def _match(anchor: CameraState, current: FrameView, surfaces: list[Surface], start: Tensor, lens: Lens) -> Tensor:
    """Return the motion from feature matches around a start."""
    pairs = (anchor.view.coarse_features, current.coarse_features), (anchor.view.features, current.features)
    for level, (radius, (there, now)) in enumerate(zip(_MATCH_RADIUS, pairs, strict=True)):
        stride_px = LEVELS[level][0]
        pixels, _ = lens.project(transform(start, surfaces[level].points))
        targets, trust = match_features(there, now, pixels, radius, stride_px)
        start = align_matches(surfaces[level], targets, trust, start, lens, steps=6, cell_px=stride_px)
    return start


def next_anchor(state: CameraState, current: FrameView, lens: Lens, T_segment_camera: Tensor) -> CameraState:
    """Return the state with the current frame as anchor, its depth brought to the scale and shape of the old anchor's.

    Anchors with consistent errors bend the path less than independent ones.
    """
    surface = corrected_surface(state.surfaces[_CHECK_LEVEL], state.depth, lens)
    moved = transform(state.T_previous_anchor, surface.points)
    pixels, inside = lens.project(moved)
    ratio = (
        moved[:, 2].clamp(min=0.05).log() - sample_at_pixels(current.depth.log()[None], pixels, lens.image_size)[:, 0]
    )
    chosen = inside & (surface.weight > 0.3)
    scale = ratio[chosen].median() if bool(chosen.any()) else ratio.new_zeros(())
    scale = scale.clamp(-_MAX_CHAIN_LOG_SCALE, _MAX_CHAIN_LOG_SCALE)
    chosen = chosen & ((ratio - scale).abs() < _MAX_CHAIN_LOG_STEP)
    view = replace(current, depth=current.depth * scale.exp())
    depth = depth_prior(view.depth, 2)
    old_block = state.depth.block_of(lens.project(surface.points[chosen])[0])
    depth = transfer(depth, state.depth, old_block, depth.block_of(pixels[chosen]), ratio[chosen] - scale)
    identity = torch.eye(4).to(T_segment_camera)
    return CameraState(
        view=view,
        surfaces=build_surfaces(view, lens),
        depth=depth,
        focal=state.focal.for_new_anchor(),
        misfit=torch.zeros_like(state.misfit),
        T_segment_anchor=T_segment_camera,
        T_previous_anchor=identity,
        T_step=state.T_step,
    )


def _needs_new_anchor(state: CameraState, lens: Lens) -> bool:
    surface = state.surfaces[_CHECK_LEVEL]
    before, _ = lens.project(surface.points)
    after, inside = lens.project(transform(state.T_previous_anchor, surface.points))
    total = surface.weight.sum().clamp(min=1e-6)
    overlap = (surface.weight * inside).sum() / total
    flow = (torch.linalg.vector_norm(after - before, dim=-1) * surface.weight * inside).sum()
    flow = flow / (overlap * total).clamp(min=1e-6)
    return bool((overlap < _MIN_OVERLAP) | (flow > _MAX_FLOW * max(lens.image_size)))
