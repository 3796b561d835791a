"""Our own rendered clips with exact truth: depth, camera path, people and their detection in one run.

The layout belongs to the generator, whose reader is given from outside: evaluation and training do not know each
other. Errors of people are against the embedded body, which the clips were made with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol as Interface

import numpy as np

from human3r.evaluation.benchmarks.folders import list_files
from human3r.evaluation.camera_pose import camera_group
from human3r.evaluation.people import PeopleScorer, TruePeople
from human3r.evaluation.protocol import Benchmark, Protocol, Recording, ScoreGroup
from human3r.evaluation.video_depth import depth_groups, valid_depths
from human3r.records import FramePrediction

MIN_CAMERA_PATH_M = 0.05
"""Camera paths shorter than this are not scored: a similarity makes any prediction fit a point."""


class PeopleTruth(Interface):
    """The part of a clip's people that is scored."""

    joints_world: np.ndarray
    joints_uv_px: np.ndarray
    visible_fraction: np.ndarray


class ClipTruth(Interface):
    """The part of a clip that is scored."""

    depth: np.ndarray
    T_world_camera: np.ndarray

    @property
    def people(self) -> PeopleTruth: ...


ReadClip = Callable[[Path, tuple[int, ...]], ClipTruth]
"""Reads some frames of a clip; the first of them is the world."""


def synthetic_benchmark(clip_folders: Callable[[Path], list[Path]], read_clip: ReadClip) -> Benchmark:
    """Build the benchmark.

    Args:
        clip_folders: Lists the clips below a folder in a fixed order.
        read_clip: Reads one of them.
    """
    return Benchmark(
        protocol=Protocol(
            name="synthetic",
            title="Rendered clips with exact truth",
            loader="resize",
            max_depth_m=70.0,
            alignments=("metric", "scale", "scale_shift"),
            min_visible_fraction=0.25,
        ),
        layout="<clip>/{rgb_NN.jpg,depth_NN.png,people_NN.png,clip.npz}, as 'synth' writes them",
        find=partial(_find, clip_folders),
        score=partial(_score, read_clip),
        headline=(
            *("metric.abs_rel", "metric.delta_1", "scale.abs_rel", "camera.ate_m", "people.mpjpe_mm"),
            *("people.pa_mpjpe_mm", "people.root_error_mm", "world.w_mpjpe_mm", "detection.f1"),
        ),
    )


def _find(clip_folders: Callable[[Path], list[Path]], root: Path, protocol: Protocol) -> list[Recording]:
    return [
        Recording(folder.relative_to(root).as_posix(), folder, _images(folder)[: protocol.num_frames])
        for folder in clip_folders(root)
    ]


def _images(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in list_files(folder, (".jpg",)) if path.name.startswith("rgb_"))


def _score(
    read_clip: ReadClip, recording: Recording, protocol: Protocol, predictions: Iterator[FramePrediction]
) -> tuple[ScoreGroup, ...]:
    clip = read_clip(recording.folder, tuple(range(len(recording.images))))
    people, pools, cameras = PeopleScorer(protocol), [], []
    for index, prediction in enumerate(predictions):
        pools.append(valid_depths(prediction, clip.depth[index], protocol.max_depth_m))
        cameras.append(prediction.camera.T_world_camera.double().numpy())
        truth = TruePeople(
            joints_world=clip.people.joints_world[index],
            joints_px=clip.people.joints_uv_px[index],
            visible_fraction=clip.people.visible_fraction[index],
            T_world_camera=clip.T_world_camera[index],
        )
        people.add(prediction, truth)
    groups = [*depth_groups(pools, protocol), *people.groups()]
    path_m = np.linalg.norm(np.diff(clip.T_world_camera[:, :3, 3], axis=0), axis=-1).sum()
    if len(cameras) >= 3 and path_m >= MIN_CAMERA_PATH_M:
        groups.append(camera_group(np.stack(cameras), clip.T_world_camera))
    return tuple(groups)
