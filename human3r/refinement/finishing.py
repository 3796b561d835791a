"""Build a ``Reconstruction`` from the tables of a run, with the refinements that need the whole clip.

Motion without lag, one shape per identity, sizes and distances consistent with a common floor. Live streams only have
the causal filter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from human3r.bodies import SmplxBody
from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.refinement.certainty import describe
from human3r.refinement.facing import with_steady_facing
from human3r.refinement.false_people import without_buried, without_doublets, without_short_tracks
from human3r.refinement.identity_shapes import mean_shapes, shape_of_each, with_shapes
from human3r.refinement.keypoint_fit import fitted_again
from human3r.refinement.misread import without_misread
from human3r.refinement.offline_smoothing import OfflineSmoothingOptions, smooth_tracks
from human3r.refinement.one_world import rescaled, settle
from human3r.refinement.short_gaps import with_short_gaps_filled
from human3r.refinement.world.shots import (
    Cameras,
    Shot,
    anchor_of,
    in_world_of,
    join,
    split,
    with_one_lens,
    with_one_scale,
)
from human3r.results.person_table import PARAMETER_NAMES
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore

_MAX_STILL_CHANGE = 1.0
"""Mean difference of gray levels from the first frame, up to which a shot is a still picture."""


@dataclass(frozen=True)
class FinishOptions:
    """Refinements of a whole clip; by default none."""

    min_track_frames: int = 1
    """Identities with fewer frames, and less than .09 s, are dropped as false detections; clips shorter than twice
    this keep everyone."""
    one_lens: bool = False
    """Give all frames of a shot one focal length, to people and scene."""
    one_shape: bool = False
    """Give all observations of an identity its mean shape."""
    keypoint_body: BodyPoints | None = None
    """Skeleton of the lifter, with which people are fitted to their keypoints again; None keeps the stream's fit."""
    offline_smoothing: OfflineSmoothingOptions | None = None
    """Smooth the unfiltered people over past and future frames; None keeps the output of the causal filter."""
    one_world: tuple[str, ...] = ()
    """Evidence for the joint estimate of scale, floor and sizes (``world.fit.WITNESSES``); empty skips it."""
    agreeing_views: bool = False
    """Correct path and depth of a moving camera until its views agree; requires a store with views."""
    lock_feet: bool = False
    """Keep feet in contact still and on the floor; requires ``one_world``."""


def finish(
    store: ResultStore,
    fps: float,
    meta: Mapping[str, object],
    options: FinishOptions | None = None,
    body: SmplxBody | None = None,
) -> Reconstruction:
    """Build the result of everything in the store; its identities are numbered from 0, in order of the stream's.

    Args:
        store: At least one frame.
        fps: Processed frames per second.
        meta: Goes into the result's ``meta``, with ``shots`` and what is known about lens, scale and floor.
        options: Refinements.
        body: The people's body; without it shapes and distances stay as they are.
    """
    assert store.image_size is not None
    options = options or FinishOptions()
    cameras = Cameras(store.K, store.T_world_camera, store.time_s, store.shot, store.image_size)
    scene = store.scene()
    shots = split(cameras, store.people(), scene.points.astype(np.float64), scene.frame)
    log_scale = [store.log_scale[store.shot == shot.number] for shot in shots]
    # Shots are independent.
    shots = [with_one_scale(shot, of_frames) for shot, of_frames in zip(shots, log_scale, strict=True)]
    if options.one_lens:
        shots = [with_one_lens(shot) for shot in shots]
    if options.agreeing_views:
        shots = _with_agreeing_views(shots, store)
    shots = [_finish_shot(shot, options, body) for shot in shots]
    anchor = anchor_of(shots)
    placed = [in_world_of(anchor, shot) for shot in shots]
    cameras, people, points = join([shot for shot, _ in placed])
    # People who were dropped leave no holes in the numbers that users see.
    people = replace(people, person_track=np.unique(people.person_track, return_inverse=True)[1])
    is_card = _still_cards(store, shots)
    kept = ~np.repeat(is_card, [len(shot.points) for shot in shots])
    track_id, track_betas = mean_shapes(people, people.betas)
    return Reconstruction(
        fps=fps,
        frame_index=store.frame_index,
        time_s=cameras.time_s,
        image_size=np.array(cameras.image_size),
        K=cameras.K,
        T_world_camera=cameras.T_world_camera,
        T_gravity_world=anchor.T_gravity_world,
        person_frame=people.person_frame,
        person_track=people.person_track,
        person_score=people.person_score,
        joints_world=people.joints_world,
        joints_image_px=cameras.project(people.joints_world, people.person_frame),
        track_id=track_id,
        track_betas=track_betas,
        points_world=points[kept].astype(np.float32),
        points_color=scene.colors[kept].round().clip(0, 255),
        points_confidence=(scene.confidence / np.maximum(scene.weight, 1))[kept],
        points_frame=scene.frame[kept],
        shot=cameras.shot,
        frame_name=store.frame_name,
        foot_contact=np.concatenate([shot.contact for shot in shots]),
        meta={**meta, **describe(shots, [T for _, T in placed], is_card, store.focal_sigma)},
        **{name: getattr(people, name) for name in PARAMETER_NAMES},
        **_depth_fields(store, shots),
    )


def _with_agreeing_views(shots: list[Shot], store: ResultStore) -> list[Shot]:
    views = store.views()
    if len(views) == len({int(store.shot[view.row]) for view in views}):
        return shots
    # A camera that stands does without SciPy's transforms.
    from human3r.refinement.views.agreement import with_agreeing_views

    first_rows = [int(np.flatnonzero(store.shot == shot.number)[0]) for shot in shots]
    return [with_agreeing_views(shot, views, row) for shot, row in zip(shots, first_rows, strict=True)]


def _finish_shot(shot: Shot, options: FinishOptions, body: SmplxBody | None) -> Shot:
    shot = _refined(shot, options, body)
    if options.one_world and len(shot.people):
        shot = replace(shot, people=without_buried(shot.people, shot.cameras.time_s, shot.gravity()))
    return settle(shot, options.one_world, options.lock_feet, body)


def _still_cards(store: ResultStore, shots: Sequence[Shot]) -> list[bool]:
    """Return which shots are still pictures without people, beside others with people.

    Title cards are not scenes: their points are left out.
    """
    change = [store.change[store.shot == number].max() for number in np.unique(store.shot)]
    has_people = any(len(shot.people) for shot in shots)
    return [
        has_people and len(shot.people) == 0 and bool(most < _MAX_STILL_CHANGE)
        for shot, most in zip(shots, change, strict=True)
    ]


def _refined(shot: Shot, options: FinishOptions, body: SmplxBody | None) -> Shot:
    """Return the shot after refinement in the camera: false detections, motion, shapes."""
    people, cameras = shot.people, shot.cameras
    if options.offline_smoothing is not None:
        people = without_misread(people, cameras.time_s, cameras.T_world_camera)
    if len(cameras.K) >= 2 * options.min_track_frames:
        people = without_short_tracks(people, cameras.time_s, options.min_track_frames)
    if options.one_shape:
        people = without_doublets(people, cameras.time_s, cameras.T_world_camera[people.person_frame, :3, 3])
    if body is not None and options.offline_smoothing is not None:
        if options.keypoint_body is not None:
            people = with_steady_facing(people, cameras, shot.gravity()[1, :3])
            shapes = shape_of_each(people, people.unfiltered_betas)
            people = fitted_again(people, cameras, shapes, options.keypoint_body)
        people = with_short_gaps_filled(people, cameras.time_s, cameras.T_world_camera)
        time_s, T_world_camera = cameras.time_s[people.person_frame], cameras.T_world_camera[people.person_frame]
        betas = people.unfiltered_betas
        betas = shape_of_each(people, betas) if options.one_shape else betas
        people = smooth_tracks(people, time_s, T_world_camera, betas, body, options.offline_smoothing)
    elif body is not None and options.one_shape:
        position = cameras.T_world_camera[people.person_frame, :3, 3]
        people = with_shapes(people, body, position, shape_of_each(people, people.betas))
    return replace(shot, people=people)


def _depth_fields(store: ResultStore, shots: Sequence[Shot]) -> dict[str, np.ndarray]:
    maps = store.depth()
    if maps is None or store.image_size is None:
        return {}
    height, width = store.image_size
    depth = maps.depth
    if any(shot.fit is not None or shot.view_depth is not None or (shot.depth_growth != 1).any() for shot in shots):
        depth = np.concatenate([rescaled(shot, depth[store.shot == shot.number], maps.crop) for shot in shots])
    depth_fields = {"depth": depth, "depth_confidence": maps.confidence, "depth_frame_index": store.frame_index}
    if np.abs(np.subtract(maps.crop, (0.0, 0.0, width, height))).max() > 0.5:
        depth_fields["depth_crop"] = np.array(maps.crop)
    return depth_fields
