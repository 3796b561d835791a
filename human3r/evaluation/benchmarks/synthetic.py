"""Our own rendered clips with exact truth: depth, camera path, people and their detection in one run.

Errors of people are against the embedded body, which the clips were made with.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from human3r.bodies import load_body
from human3r.evaluation.benchmarks.folders import list_files
from human3r.evaluation.bodies.people import PeopleScorer, project_people
from human3r.evaluation.protocol import Benchmark, PosedPeople, Protocol, Recording, ScoreGroup
from human3r.evaluation.reference import DEPTH_DEFECTS, PEOPLE_DEFECTS
from human3r.evaluation.scoring.camera_pose import camera_group
from human3r.evaluation.scoring.video_depth import depth_groups, valid_depths
from human3r.evaluation.whole_clip import WholeClipScorer
from human3r.geometry.rigid import inverse_transform_points
from human3r.inference.loading.profile import COMPACT_PROFILE
from human3r.records import FramePrediction
from human3r.refinement.finishing import FinishOptions
from human3r.training.clip import SyntheticClip, clip_folders, read_clip, read_times

NUM_SCORED_JOINTS = 22
"""Pelvis and 21 body joints; hands and face are not scored."""
MIN_CAMERA_PATH_M = 0.05
"""Camera paths shorter than this are not scored, since any prediction fits them after a similarity."""


def _find(root: Path, protocol: Protocol) -> list[Recording]:
    recordings = []
    for folder in clip_folders(root):
        images = _images(folder)[: protocol.num_frames]
        times_s = tuple(float(time_s) for time_s in read_times(folder)[: len(images)])
        recordings.append(Recording(folder.relative_to(root).as_posix(), folder, images, times_s=times_s))
    return recordings


def _images(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in list_files(folder, (".jpg",)) if path.name.startswith("rgb_"))


def _score(
    recording: Recording,
    protocol: Protocol,
    predictions: Iterator[FramePrediction],
    finishing: FinishOptions = COMPACT_PROFILE.finishing,
) -> tuple[ScoreGroup, ...]:
    clip = read_clip(recording.folder, tuple(range(len(recording.images))))
    people, pools, cameras = [PeopleScorer(protocol)], [], []
    # Only filtered streams change when they are finished.
    whole: WholeClipScorer | None = None
    if protocol.references:
        people.append(PeopleScorer(protocol, is_reference=True))
    for index, prediction in enumerate(predictions):
        pools.append(valid_depths(prediction, clip.depth[index], protocol.max_depth_m))
        cameras.append(prediction.camera.T_world_camera.double().numpy())
        truth = true_people(clip, index, protocol.min_visible_fraction)
        for scorer in people:
            scorer.add(predicted_people(prediction), truth)
        if index == 0 and prediction.people_unfiltered is not None:
            whole = WholeClipScorer(protocol, load_body(None), finishing)
        if whole is not None:
            whole.add(prediction, truth)
    groups = [*depth_groups(pools, protocol), *(group for scorer in people for group in scorer.groups())]
    groups += whole.groups() if whole is not None else ()
    path_m = np.linalg.norm(np.diff(clip.T_world_camera[:, :3, 3], axis=0), axis=-1).sum()
    if len(cameras) >= 3 and path_m >= MIN_CAMERA_PATH_M:
        groups.append(camera_group(np.stack(cameras), clip.T_world_camera))
    return tuple(groups)


def true_people(clip: SyntheticClip, frame: int, min_visible_fraction: float) -> PosedPeople:
    """Return people who are at least partly visible; those below ``min_visible_fraction`` are not required."""
    joints_px = clip.people.joints_uv_px[frame][:, :NUM_SCORED_JOINTS]
    visible = clip.people.visible_fraction[frame]
    candidates = np.flatnonzero((visible > 0) & np.isfinite(joints_px).all(-1).any(-1))
    T_world_camera = clip.T_world_camera[frame]
    joints_world = clip.people.joints_world[frame][candidates, :NUM_SCORED_JOINTS].astype(np.float64)
    return PosedPeople(
        joints_camera=inverse_transform_points(T_world_camera, joints_world),
        joints_px=_without_gaps(joints_px[candidates]),
        T_world_camera=T_world_camera,
        identity=candidates,
        is_required=visible[candidates] >= max(min_visible_fraction, 1e-9),
    )


def predicted_people(prediction: FramePrediction) -> PosedPeople:
    """Return the skeletons of a prediction."""
    T_world_camera = prediction.camera.T_world_camera.double().numpy()
    joints = inverse_transform_points(T_world_camera, prediction.joints_world[:, :NUM_SCORED_JOINTS].double().numpy())
    return PosedPeople(
        joints_camera=joints,
        joints_px=project_people(joints, prediction.camera.K.double().numpy()),
        T_world_camera=T_world_camera,
        identity=prediction.people.track_id.numpy(),
    )


def _without_gaps(points_px: np.ndarray) -> np.ndarray:
    """Place joints without a projection at the mean of the person's others, so that boxes and costs are finite."""
    is_known = np.isfinite(points_px).all(-1, keepdims=True)
    known = np.where(is_known, points_px, 0.0)
    mean = known.sum(1, keepdims=True) / np.maximum(is_known.sum(1, keepdims=True), 1)
    return np.where(is_known, points_px, mean)


SYNTHETIC = Benchmark(
    protocol=Protocol(
        name="synthetic",
        title="Rendered clips with exact truth",
        loader="resize",
        max_depth_m=70.0,
        alignments=("metric", "scale", "scale_shift"),
        min_visible_fraction=0.25,
        world_metrics=("w_mpjpe_mm", "wa_mpjpe_mm", "unaligned_mpjpe_mm"),
    ),
    layout="<clip>/{rgb_NN.jpg,depth_NN.png,people_NN.png,clip.npz}, as 'synth' writes them",
    find=_find,
    score=_score,
    scores_finished=True,
    headline=(
        *("metric.abs_rel", "metric.delta_1", "scale.abs_rel", "camera.ate_m", "people.mpjpe_mm"),
        *("people.pa_mpjpe_mm", "people.root_error_mm", "world.w_mpjpe_mm", "detection.f1"),
        *("clip_people.mpjpe_mm", "clip_world.w_mpjpe_mm", "clip_motion.identity_switches"),
    ),
    references=PEOPLE_DEFECTS + DEPTH_DEFECTS,
    worst_by=("people", "mpjpe_mm"),
)
"""Filters over people go by time, so the clips' own times are given to the model."""
