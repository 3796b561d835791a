"""The compact camera head: an explicit motion layer against an anchor frame that the recurrent state keeps.

Every frame is aligned to the anchor and not to its predecessor, so a camera that stands still cannot drift. Parallax
corrects the anchor's depth on the way, and turns tell the focal length. The anchor is replaced when too little of it is
in view, and its successor inherits what was learnt. No regression: what is learnt are depth and person mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from human3r.geometry.camera import sample_at_pixels
from human3r.models.compact.camera.alignment import Target, Unknowns, align_images, align_jointly, misfit, start_depth
from human3r.models.compact.camera.anchor import LEVELS, FrameView, build_surfaces, build_targets, describe_frame
from human3r.models.compact.camera.depth_belief import DepthBelief, inherit, prior_belief
from human3r.models.compact.camera.focal_belief import (
    FocalBelief,
    no_evidence,
    points_through,
    start_focal,
    stretch,
    stretched,
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
"""Of ``LEVELS``, where motions are compared."""
_JOINT_LEVEL = 2
"""Of ``LEVELS``, from which on depth is corrected together with the motion."""
_MATCH_RADIUS = (12, 4)
"""Half side of the window in cells at 16 and at 8 pixels: first half the image around the prediction, then near."""
_MIN_OVERLAP = 0.7
"""Share of the anchor's weight that must stay in view."""
_MAX_FLOW = 0.12
"""Mean motion of the anchor's points, as a share of the long side, beyond which the anchor is replaced."""
_MATCH_MARGIN = 0.97
"""Matches replace the aligned motion only if they lower the misfit to this share of it."""
_GOOD_MISFIT = 0.06
"""Below it a motion is good, and nothing is matched."""
_WORSE_MISFIT = 1.25
"""Times the previous frame's misfit: as good as that is good, too."""
_MAX_STIFFNESS = 400.0
"""Of an estimate of depth; beyond it, depth stays as it is."""
_MIN_TURN_RAD = 0.01
"""Turn since the anchor below which errors of the pictures speak louder about the focal length than the turn does."""
_MAX_CHAIN_LOG_SCALE = 0.4
_MAX_CHAIN_LOG_STEP = 0.6
"""Beyond it the two anchors show different things: one hides the other."""


@dataclass(frozen=True)
class CameraState(TensorRecord):
    """The frame that motion is measured against, and where the camera went since."""

    view: FrameView
    surfaces: tuple[Surface, ...]
    """At every level of ``LEVELS``, as the network sees them: the belief's correction comes on top."""
    belief: DepthBelief
    focal: FocalBelief
    misfit: Tensor
    """Scalar, of the previous frame."""
    T_segment_anchor: Tensor
    """``4 4``"""
    T_previous_anchor: Tensor
    """``4 4`` anchor to the previous frame's camera."""
    T_step: Tensor
    """``4 4`` motion from the frame before the previous one to the previous one."""


class MotionCameraHead(nn.Module):
    """Estimate ``T_segment_camera`` by aligning each frame to the anchor. No parameters."""

    def forward(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, state: CameraState | None
    ) -> tuple[Tensor, CameraState]:
        """Locate one frame; the first frame of a segment is the identity and the first anchor."""
        return advance(describe_frame(frame, points, person_mask), state, frame.image_size)

    def refine_focal(self, points: ScenePoints, state: CameraState | None) -> ScenePoints:
        """Return the points as they are with the focal length that motion and picture agree on."""
        if state is None:
            return points
        assert points.focal_information is not None
        return points_through(points, state.focal.with_picture(points.focal_px, points.focal_information))


def advance(here: FrameView, state: CameraState | None, image_size: tuple[int, int]) -> tuple[Tensor, CameraState]:
    """Locate one described frame; returns ``T_segment_camera`` and the state for the next one."""
    center_px = here.depth.new_tensor(principal_point(image_size))
    if state is None:
        state = first_anchor(here, Lens(here.focal_px, center_px, image_size))
        return state.T_segment_anchor, state
    # A state that was written to a file and read again has lost its layout.
    state = replace(state, surfaces=tuple(surface.by_coordinate() for surface in state.surfaces))
    state = refocused(state, here.focal_px)
    lens = Lens(here.focal_px, center_px, image_size)
    T_camera_anchor, cost, unknowns = estimate_motion(state, here, lens)
    focal = state.focal
    if unknowns.focal is not None:
        focal = focal.gather(*unknowns.focal.evidence(lens, unknowns.eliminated()))
    belief = state.belief if unknowns.depth is None else unknowns.depth.absorbed()
    T_camera_anchor = orthonormal(T_camera_anchor)
    T_segment_camera = orthonormal(state.T_segment_anchor @ inverse(T_camera_anchor))
    step = T_camera_anchor @ inverse(state.T_previous_anchor)
    state = replace(state, belief=belief, focal=focal, misfit=cost, T_previous_anchor=T_camera_anchor, T_step=step)
    if _needs_new_anchor(state, lens):
        state = next_anchor(state, here, lens, T_segment_camera)
    return T_segment_camera, state


def first_anchor(view: FrameView, lens: Lens) -> CameraState:
    """Return the anchor of a new segment."""
    identity = torch.eye(4, dtype=view.depth.dtype, device=view.depth.device)
    return CameraState(
        view=view,
        surfaces=build_surfaces(view, lens),
        belief=prior_belief(view.depth, 2),
        focal=no_evidence(view.focal_px),
        misfit=view.depth.new_zeros(()),
        T_segment_anchor=identity,
        T_previous_anchor=identity,
        T_step=identity,
    )


def refocused(state: CameraState, focal_px: Tensor) -> CameraState:
    """Return the state as it would be had the anchor been seen with that focal length."""
    ratio = focal_px / state.view.focal_px
    path = torch.cat([stretch(ratio), torch.ones_like(ratio)[None]])[:, None]
    T_previous_anchor = torch.cat([state.T_previous_anchor[:, :3], state.T_previous_anchor[:, 3:] * path], dim=1)
    return replace(
        state,
        view=replace(state.view, depth=state.view.depth * ratio, focal_px=focal_px),
        surfaces=tuple(stretched(surface, ratio) for surface in state.surfaces),
        T_previous_anchor=T_previous_anchor,
    )


def estimate_motion(anchor: CameraState, here: FrameView, lens: Lens) -> tuple[Tensor, Tensor, Unknowns]:
    """Return ``T_camera_anchor`` (``4 4``), the misfit, and what was found out about depth and focal length.

    Args:
        anchor: The anchor, with the previous frame's motion as the start.
        here: The current frame.
        lens: Intrinsics of both.
    """
    targets = build_targets(here)
    surfaces = [corrected(surface, anchor.belief, lens) for surface in anchor.surfaces[:_JOINT_LEVEL]]
    good = (_WORSE_MISFIT * anchor.misfit).clamp(min=_GOOD_MISFIT)
    best, cost = anchor.T_previous_anchor, _cost(surfaces, targets, anchor.T_previous_anchor, lens)
    if bool(cost > good):
        best, cost = _better(surfaces, targets, lens, (best, cost), anchor.T_step @ best)
    best, cost = _align_coarsely(surfaces, targets, lens, (best, cost))
    if bool(cost > good):
        matched = _match(anchor, here, surfaces, best, lens)
        start = matched, _cost(surfaces, targets, matched, lens)
        other, other_cost = _align_coarsely(surfaces, targets, lens, start)
        if bool(other_cost < _MATCH_MARGIN * cost):
            best, cost = other, other_cost
    for level in range(_CHECK_LEVEL + 1, _JOINT_LEVEL):
        best = align_images(surfaces[level], targets[level], best, lens, LEVELS[level][1])
    # The camera may have stayed at the anchor, or where it was before.
    stays = torch.stack([torch.eye(4).to(best), anchor.T_previous_anchor])
    start = start_depth(anchor.belief, surfaces[_CHECK_LEVEL], best, lens)
    # Where the camera stands there is nothing to learn about depth, and half of the time is saved.
    unknowns = Unknowns(
        start if bool(start.stiffness < _MAX_STIFFNESS) else None,
        start_focal(anchor.focal, here.focal_information, start.parallax) if _has_turned(best) else None,
    )
    for level in range(_JOINT_LEVEL, len(LEVELS)):
        prior = stays if level == len(LEVELS) - 1 else None
        surface = (
            anchor.surfaces[level]
            if unknowns.depth is not None
            else corrected(anchor.surfaces[level], anchor.belief, lens)
        )
        best, unknowns = align_jointly(surface, unknowns, targets[level], best, lens, LEVELS[level][1], prior)
    return best, cost, unknowns


def _has_turned(T_camera_anchor: Tensor) -> bool:
    return bool(torch.linalg.vector_norm(twists_of(T_camera_anchor[None])[0, :3]) > _MIN_TURN_RAD)


def corrected(surface: Surface, belief: DepthBelief, lens: Lens) -> Surface:
    """Return the surface with the belief's correction."""
    block = belief.block_of(lens.project(surface.points)[0])
    return replace(surface, points=surface.points * belief.correction.exp()[block, None])


def _cost(surfaces: list[Surface], targets: list[Target], T_camera_anchor: Tensor, lens: Lens) -> Tensor:
    return misfit(surfaces[_CHECK_LEVEL], targets[_CHECK_LEVEL], T_camera_anchor, lens)


def _better(
    surfaces: list[Surface], targets: list[Target], lens: Lens, best: tuple[Tensor, Tensor], other: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the motion and the misfit of the better one."""
    cost = _cost(surfaces, targets, other, lens)
    return (other, cost) if bool(cost < best[1]) else best


def _align_coarsely(
    surfaces: list[Surface], targets: list[Target], lens: Lens, start: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Refine a motion and its misfit; coarse pictures of fine patterns can lead astray, so only what helps is kept."""
    for level in range(_CHECK_LEVEL + 1):
        refined = align_images(surfaces[level], targets[level], start[0], lens, LEVELS[level][1])
        start = _better(surfaces, targets, lens, start, refined)
    return start


def _match(anchor: CameraState, here: FrameView, surfaces: list[Surface], start: Tensor, lens: Lens) -> Tensor:
    """Return the motion that feature matches around a start tell."""
    pairs = (anchor.view.coarse_features, here.coarse_features), (anchor.view.features, here.features)
    for level, (radius, (there, now)) in enumerate(zip(_MATCH_RADIUS, pairs, strict=True)):
        stride_px = LEVELS[level][0]
        pixels, _ = lens.project(transform(start, surfaces[level].points))
        targets, trust = match_features(there, now, pixels, radius, stride_px)
        start = align_matches(surfaces[level], targets, trust, start, lens, steps=6, cell_px=stride_px)
    return start


def next_anchor(state: CameraState, here: FrameView, lens: Lens, T_segment_camera: Tensor) -> CameraState:
    """Return the anchor that follows; its depth takes the scale of the old one's, and what was learnt of its shape.

    What one anchor says wrongly about a place, the next one repeats, and a path whose anchors agree bends less.
    """
    surface = corrected(state.surfaces[_CHECK_LEVEL], state.belief, lens)
    moved = transform(state.T_previous_anchor, surface.points)
    pixels, inside = lens.project(moved)
    ratio = moved[:, 2].clamp(min=0.05).log() - sample_at_pixels(here.depth.log()[None], pixels, lens.image_size)[:, 0]
    chosen = inside & (surface.weight > 0.3)
    scale = ratio[chosen].median() if bool(chosen.any()) else ratio.new_zeros(())
    scale = scale.clamp(-_MAX_CHAIN_LOG_SCALE, _MAX_CHAIN_LOG_SCALE)
    chosen = chosen & ((ratio - scale).abs() < _MAX_CHAIN_LOG_STEP)
    view = replace(here, depth=here.depth * scale.exp())
    belief = prior_belief(view.depth, 2)
    old_block = state.belief.block_of(lens.project(surface.points[chosen])[0])
    belief = inherit(belief, state.belief, old_block, belief.block_of(pixels[chosen]), ratio[chosen] - scale)
    identity = torch.eye(4).to(T_segment_camera)
    return CameraState(
        view=view,
        surfaces=build_surfaces(view, lens),
        belief=belief,
        focal=state.focal.settle(),
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
