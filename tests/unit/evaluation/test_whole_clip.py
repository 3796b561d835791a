"""Scoring a finished clip: identities that change hands, accelerations, and what finishing does to people."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from synthetic_scene import prediction_of

from human3r.bodies import load_body
from human3r.evaluation.protocol import PosedPeople, Protocol
from human3r.evaluation.whole_clip import WholeClipScorer, motion_group
from human3r.inference.loading.profile import COMPACT_PROFILE

_JOINTS = np.random.default_rng(0).normal(0, 0.3, (22, 3))
_K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
_FRAMES = 8


@dataclass(frozen=True)
class Finished:
    """The part of a reconstruction that motion is scored on."""

    person_frame: np.ndarray
    person_track: np.ndarray
    joints_world: np.ndarray
    joints_image_px: np.ndarray
    T_world_camera: np.ndarray
    time_s: np.ndarray


def _pixels(joints: np.ndarray) -> np.ndarray:
    return joints[..., :2] / joints[..., 2:] * _K[[0, 1], [0, 1]] + _K[:2, 2]


def _path(x: float, acceleration: float) -> np.ndarray:
    """Joints of somebody at ``x`` who starts to move away, ``T 22 3``."""
    time_s = np.arange(_FRAMES) / 10
    place = np.stack([np.full(_FRAMES, x), np.zeros(_FRAMES), 4 + 0.5 * acceleration * time_s**2], axis=1)
    return _JOINTS + place[:, None]


def _finished(paths: list[np.ndarray], tracks: list[list[int]]) -> Finished:
    count = len(paths)
    joints = np.stack(paths, axis=1).reshape(-1, 22, 3)
    return Finished(
        person_frame=np.repeat(np.arange(_FRAMES), count),
        person_track=np.array(tracks).T.ravel(),
        joints_world=joints,
        joints_image_px=_pixels(joints),
        T_world_camera=np.tile(np.eye(4), (_FRAMES, 1, 1)),
        time_s=np.arange(_FRAMES) / 10,
    )


def _truth(paths: list[np.ndarray]) -> list[PosedPeople]:
    return [
        PosedPeople(
            joints_camera=np.stack([path[frame] for path in paths]),
            joints_px=_pixels(np.stack([path[frame] for path in paths])),
            T_world_camera=np.eye(4),
            identity=np.arange(len(paths)),
        )
        for frame in range(_FRAMES)
    ]


def test_identity_switches_are_counted_once_per_person_and_change() -> None:
    paths = [_path(-1.0, 0.0), _path(1.0, 0.0)]
    exchanged = [[5] * 4 + [7] * 4, [7] * 4 + [5] * 4]
    kept = [[5] * _FRAMES, [7] * _FRAMES]
    assert motion_group(_finished(paths, exchanged), _truth(paths)).values["identity_switches"] == 2
    assert motion_group(_finished(paths, kept), _truth(paths)).values["identity_switches"] == 0


def test_accelerations_are_those_of_the_motion_and_their_difference() -> None:
    found, true = [_path(0.0, 3.0)], [_path(0.0, 1.0)]
    values = motion_group(_finished(found, [[0] * _FRAMES]), _truth(true)).values
    assert values["acceleration"] == pytest.approx(3.0)
    assert values["true_acceleration"] == pytest.approx(1.0)
    assert values["acceleration_error"] == pytest.approx(2.0)


def test_a_clip_without_three_frames_in_a_row_has_no_acceleration() -> None:
    paths = [_path(0.0, 1.0)]
    values = motion_group(_finished(paths, [[0, 1] * (_FRAMES // 2)]), _truth(paths)).values
    assert np.isnan(values["acceleration"])


def test_a_stream_is_finished_like_a_file_before_scoring(walk) -> None:
    scorer = WholeClipScorer(
        Protocol(name="people", title="People", loader="resize"), load_body(None), COMPACT_PROFILE.finishing
    )
    for frame in range(4):
        rows = np.flatnonzero(walk.person_frame == frame)
        T_world_camera = walk.T_world_camera[frame].astype(np.float64)
        joints = walk.joints_world[rows, :22].astype(np.float64)
        truth = PosedPeople(
            joints_camera=(joints - T_world_camera[:3, 3]) @ T_world_camera[:3, :3],
            joints_px=walk.joints_image_px[rows, :22].astype(np.float64),
            T_world_camera=T_world_camera,
            identity=walk.person_track[rows],
        )
        prediction = prediction_of(walk, frame)
        pointmap = torch.full((*prediction.pointmap_camera.shape[:2], 3), 3.0)
        scorer.add(replace(prediction, pointmap_camera=pointmap, people_unfiltered=prediction.people), truth)
    groups = {group.name: group.values for group in scorer.groups()}
    assert groups["clip_observations"]["true"] == (walk.person_frame < 4).sum()
    assert groups["clip_motion"]["identity_switches"] == 0
    assert {"clip_detection", "clip_people"} <= groups.keys()
