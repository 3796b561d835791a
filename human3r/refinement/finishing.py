"""From the tables of a run to a ``Reconstruction``: identities, one shape each, a common floor, gravity, metadata.

What only the whole clip tells is applied here, to all observations: motion without lag, sizes, distances. A live stream
has the causal filter only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from human3r.bodies import SmplxBody
from human3r.geometry.camera import project
from human3r.geometry.ground import GroundEvidence, estimate_gravity
from human3r.geometry.rigid import inverse_transform_points
from human3r.refinement.common_floor import Stances, fit_floor, is_standing
from human3r.refinement.identity_shapes import scaled_betas, with_shapes
from human3r.refinement.offline_smoothing import OfflineSmoothingOptions, smooth_tracks
from human3r.refinement.person_sizes import PersonSizes, StandingSoles, sizes_from_scene
from human3r.results.person_table import PARAMETER_NAMES, PersonTable
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore
from human3r.skeleton import NUM_BODY_JOINTS, Joint

_FEET = (Joint.LEFT_FOOT, Joint.RIGHT_FOOT)
_BORDER_SHARE = 0.01
_MIN_TRACK_S = 0.09
"""False detections in real clips last a single frame; at 10 frames per second and fewer a second one confirms."""
_NEAR_M = 0.05
"""Joints nearer than this, or behind the camera, are projected as if at this depth."""


@dataclass(frozen=True)
class FinishOptions:
    """What is made of a whole clip; the defaults leave everything as the stream gave it."""

    min_track_frames: int = 1
    """Identities seen in fewer frames, and for less than .09 s, are dropped as false alarms; clips shorter than twice
    this keep everyone."""
    one_shape: bool = False
    """Give all observations of an identity its mean shape."""
    offline_smoothing: OfflineSmoothingOptions | None = None
    """Smooth the unfiltered people over the frames before and after; None keeps the output of the causal filter."""
    scene_sizes: bool = False
    """Resize as children those whose bodies would stand behind the floor below their feet; requires
    ``offline_smoothing``."""
    common_floor: bool = False
    """Scale identities and correct distances so that standing feet share a floor."""


def finish(
    store: ResultStore,
    fps: float,
    meta: Mapping[str, object],
    options: FinishOptions | None = None,
    body: SmplxBody | None = None,
) -> Reconstruction:
    """Build the result of everything that was stored.

    Args:
        store: At least one frame.
        fps: Processed frames per second.
        meta: Goes into the result's ``meta``.
        options: What is made of the whole clip.
        body: The people's body; without it shapes and distances stay as they are.
    """
    assert store.image_size is not None
    options = options or FinishOptions()
    K, T_world_camera, time_s = store.K, store.T_world_camera, store.time_s
    people = store.people()
    if len(store) >= 2 * options.min_track_frames:
        people = _without_short_tracks(people, time_s, options.min_track_frames)
    frames = people.person_frame
    scene = store.scene()
    sizes = PersonSizes({}, 0.0)
    if options.scene_sizes and options.offline_smoothing is not None:
        soles = _standing_soles(people, store, T_world_camera, scene.points.astype(np.float64))
        sizes = sizes_from_scene(people.person_track, *people.scene_ratio.T, soles)
    scale = np.exp(sizes.log_scene)
    T_world_camera[:, :3, 3] *= scale
    points = scene.points.astype(np.float64) * scale
    if body is not None and options.offline_smoothing is not None:
        betas = people.unfiltered_betas
        betas = _mean_shapes(people, betas) if options.one_shape else betas
        betas = scaled_betas(body, betas, _factors(sizes.log_size, people))
        cameras = T_world_camera[frames]
        people = smooth_tracks(people, time_s[frames], cameras, betas, body, options.offline_smoothing)
    elif body is not None and options.one_shape:
        people = with_shapes(people, body, T_world_camera[frames, :3, 3], _mean_shapes(people, people.betas))
    gravity = _gravity(people, T_world_camera, points)
    if body is not None and options.common_floor and len(frames):
        people = _on_common_floor(people, store, T_world_camera, gravity, body)
        gravity = _gravity(people, T_world_camera, points)
    track_id, track_betas = _shapes_of_tracks(people, people.betas)
    joints = people.joints_world
    return Reconstruction(
        fps=fps,
        frame_index=store.frame_index,
        time_s=time_s,
        image_size=np.array(store.image_size),
        K=K,
        T_world_camera=T_world_camera,
        T_gravity_world=gravity,
        person_frame=frames,
        person_track=people.person_track,
        person_score=people.person_score,
        joints_world=joints,
        joints_image_px=project_joints(joints, K[frames], T_world_camera[frames]),
        track_id=track_id,
        track_betas=track_betas,
        points_world=points.astype(np.float32),
        points_color=scene.colors.round().clip(0, 255),
        points_confidence=scene.confidence / np.maximum(scene.weight, 1),
        points_frame=scene.frame,
        meta=dict(meta),
        **{name: getattr(people, name) for name in PARAMETER_NAMES},
        **_depth_fields(store, float(scale)),
    )


def _gravity(people: PersonTable, T_world_camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    joints = people.joints_world
    return estimate_gravity(
        GroundEvidence(
            camera_rotations=T_world_camera[:, :3, :3].astype(np.float64),
            camera_positions=T_world_camera[:, :3, 3].astype(np.float64),
            points=points,
            feet=joints[:, _FEET].astype(np.float64),
            spines=(joints[:, Joint.NECK] - joints[:, Joint.PELVIS]).astype(np.float64),
        )
    )


def _feet_in_image(people: PersonTable, store: ResultStore, T_world_camera: np.ndarray) -> np.ndarray:
    """Say of every observation which feet are in the image, ``N 2``; ``T_world_camera`` is ``T 4 4``."""
    assert store.image_size is not None
    frames = people.person_frame
    pixels = project_joints(people.joints_world[:, _FEET], store.K[frames], T_world_camera[frames])
    height, width = store.image_size
    # The last rows of an image show joints that lie below it.
    margin = _BORDER_SHARE * max(height, width)
    return ((pixels > margin) & (pixels < np.array([width, height]) - 1 - margin)).all(-1)


def _standing_soles(
    people: PersonTable, store: ResultStore, T_world_camera: np.ndarray, points: np.ndarray
) -> StandingSoles:
    """Return how high everybody's sole is along up, as the stream has them."""
    T = _gravity(people, T_world_camera, points).astype(np.float64)
    upright = people.joints_world[:, :NUM_BODY_JOINTS].astype(np.float64) @ T[:3, :3].T + T[:3, 3]
    feet = upright[:, _FEET, 1]
    lower = feet.argmin(axis=1)
    rows = np.arange(len(feet))
    stands = is_standing(upright) & _feet_in_image(people, store, T_world_camera)[rows, lower]
    camera = T_world_camera[people.person_frame, :3, 3] @ T[1, :3] + T[1, 3]
    return StandingSoles(np.where(stands, feet[rows, lower], np.nan), camera)


def _on_common_floor(
    people: PersonTable, store: ResultStore, T_world_camera: np.ndarray, gravity: np.ndarray, body: SmplxBody
) -> PersonTable:
    """Change sizes and distances as the standing feet of the clip agree."""
    frames, joints = people.person_frame, people.joints_world
    inside = _feet_in_image(people, store, T_world_camera)
    T_world_camera = T_world_camera[frames]
    fit = fit_floor(
        Stances(
            joints=joints[:, :NUM_BODY_JOINTS],
            camera=T_world_camera[:, :3, 3],
            track=people.person_track,
            time_s=store.time_s[frames],
            feet_in_image=inside,
        ),
        gravity,
    )
    betas = scaled_betas(body, people.betas, _factors(fit.log_size, people))
    return with_shapes(people, body, T_world_camera[:, :3, 3], betas, fit.log_distance)


def _factors(log_size: Mapping[int, float], people: PersonTable) -> np.ndarray:
    """Return ``N`` factors on the size of every observation."""
    return np.exp([log_size.get(int(one), 0.0) for one in people.person_track])


def _mean_shapes(people: PersonTable, betas: np.ndarray) -> np.ndarray:
    """Return ``N 10``: the mean of each row's identity."""
    identities, means = _shapes_of_tracks(people, betas)
    return means[np.searchsorted(identities, people.person_track)].astype(np.float32)


def project_joints(joints_world: np.ndarray, K: np.ndarray, T_world_camera: np.ndarray) -> np.ndarray:
    """Project ``N J 3`` joints with one camera per row (``N 3 3``, ``N 4 4``); returns ``N J 2`` pixels."""
    joints_camera = inverse_transform_points(T_world_camera, joints_world)
    joints_camera[..., 2] = np.maximum(joints_camera[..., 2], _NEAR_M)
    return project(joints_camera, K)


def _without_short_tracks(people: PersonTable, time_s: np.ndarray, min_frames: int) -> PersonTable:
    """Drop identities with too few frames in too short a time."""
    identities, inverse, counts = np.unique(people.person_track, return_inverse=True, return_counts=True)
    if len(identities) == 0 or counts.min() >= min_frames:
        return people
    seen_s = time_s[people.person_frame]
    first, last = np.full(len(identities), np.inf), np.full(len(identities), -np.inf)
    np.minimum.at(first, inverse, seen_s)
    np.maximum.at(last, inverse, seen_s)
    return people.select(((counts >= min_frames) | (last - first >= _MIN_TRACK_S))[inverse])


def _shapes_of_tracks(people: PersonTable, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``K`` identities and their score-weighted means of ``N 10`` betas."""
    identities, inverse = np.unique(people.person_track, return_inverse=True)
    weight = np.maximum(people.person_score.astype(np.float64), 1e-6)
    sums = np.zeros((len(identities), 10))
    np.add.at(sums, inverse, betas * weight[:, None])
    total = np.bincount(inverse, weight, minlength=len(identities))
    return identities, sums / np.maximum(total, 1e-12)[:, None]


def _depth_fields(store: ResultStore, scale: float) -> dict[str, np.ndarray]:
    maps = store.depth()
    if maps is None or store.image_size is None:
        return {}
    height, width = store.image_size
    whole = (0.0, 0.0, float(width), float(height))
    depth = maps.depth if scale == 1 else maps.depth * np.float16(scale)
    depth_fields = {"depth": depth, "depth_confidence": maps.confidence, "depth_frame_index": store.frame_index}
    if np.abs(np.subtract(maps.crop, whole)).max() > 0.5:
        depth_fields["depth_crop"] = np.array(maps.crop)
    return depth_fields
