"""People of a sequence against a truth that is known, and our own clips through the whole command."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from synthetic_scene import prediction_of

from human3r.cli import main
from human3r.evaluation.benchmarks.synthetic import SYNTHETIC, predicted_people, true_people
from human3r.evaluation.bodies.people import PeopleScorer
from human3r.evaluation.miniatures import scene_sets as miniatures
from human3r.evaluation.protocol import Protocol
from human3r.records import FramePrediction
from human3r.results.reconstruction import Reconstruction
from human3r.training.clip import ClipPeople, SyntheticClip, write_clip

PROTOCOL = Protocol(
    name="people",
    title="People",
    loader="resize",
    min_visible_fraction=0.25,
    world_metrics=("w_mpjpe_mm", "wa_mpjpe_mm", "unaligned_mpjpe_mm"),
)


@dataclass(frozen=True)
class Truth:
    """Everyone of one frame by identity."""

    joints_world: np.ndarray
    joints_px: np.ndarray
    visible_fraction: np.ndarray
    T_world_camera: np.ndarray


@dataclass(frozen=True)
class OneFrame:
    """A clip of one frame, as the benchmark reads it."""

    people: ClipPeople
    T_world_camera: np.ndarray


def truth_of(walk: Reconstruction, frame: int) -> Truth:
    """The people of a frame by identity; who is absent is invisible."""
    num_people = len(walk.track_id)
    joints, pixels = np.zeros((num_people, 55, 3)), np.full((num_people, 55, 2), np.nan)
    visible = np.zeros(num_people)
    for row in np.flatnonzero(walk.person_frame == frame):
        person = int(np.flatnonzero(walk.track_id == walk.person_track[row])[0])
        joints[person], pixels[person] = walk.joints_world[row], walk.joints_image_px[row]
        visible[person] = 1.0
    return Truth(joints, pixels, visible, walk.T_world_camera[frame].astype(np.float64))


def moved(prediction: FramePrediction, offset_m: tuple[float, float, float]) -> FramePrediction:
    return replace(prediction, joints_world=prediction.joints_world + torch.tensor(offset_m))


def scores_of(pairs: list[tuple[FramePrediction, Truth]]) -> dict[str, dict[str, float]]:
    scorer = PeopleScorer(PROTOCOL)
    for prediction, truth in pairs:
        clip = OneFrame(people_of([truth]), truth.T_world_camera[None])
        scorer.add(predicted_people(prediction), true_people(clip, 0, PROTOCOL.min_visible_fraction))
    return {group.name: group.values for group in scorer.groups()}


def test_the_true_people_have_no_error(walk) -> None:
    scores = scores_of([(prediction_of(walk, frame), truth_of(walk, frame)) for frame in range(walk.num_frames)])
    assert scores["detection"] == {"precision": 100.0, "recall": 100.0, "f1": 100.0}
    assert scores["observations"] == {"true": len(walk.person_frame), "missed": 0, "false": 0}
    for group in ("people", "world"):
        assert max(scores[group].values()) < 1e-2


def test_a_common_shift_is_only_a_root_error(walk) -> None:
    pairs = [
        (moved(prediction_of(walk, frame), (0.0, 0.03, 0.04)), truth_of(walk, frame))
        for frame in range(walk.num_frames)
    ]
    scores = scores_of(pairs)
    assert scores["people"]["root_error_mm"] == pytest.approx(50.0, abs=0.01)
    assert scores["world"]["unaligned_mpjpe_mm"] == pytest.approx(50.0, abs=0.01)
    assert scores["people"]["mpjpe_mm"] < 1e-2
    assert scores["world"]["w_mpjpe_mm"] < 1e-2


def test_misses_false_people_and_hardly_visible_ones_are_counted_apart(walk) -> None:
    prediction, truth = prediction_of(walk, 0), truth_of(walk, 0)
    nobody = replace(prediction, joints_world=prediction.joints_world[:0])
    far_away = moved(prediction, (500.0, 0.0, 0.0))
    hidden = replace(truth, visible_fraction=np.array([1.0, 0.1]))
    counts = scores_of([(nobody, truth)])["observations"]
    assert counts == {"true": 2, "missed": 2, "false": 0}
    assert scores_of([(far_away, truth)])["observations"] == {"true": 2, "missed": 2, "false": 2}
    assert scores_of([(prediction, hidden)])["observations"] == {"true": 1, "missed": 0, "false": 0}
    assert scores_of([(nobody, hidden)])["observations"] == {"true": 1, "missed": 1, "false": 0}


def test_joints_behind_the_camera_do_not_hide_a_person(walk) -> None:
    truth = truth_of(walk, 0)
    pixels = truth.joints_px.copy()
    pixels[:, 10] = np.nan
    scores = scores_of([(prediction_of(walk, 0), replace(truth, joints_px=pixels))])
    assert scores["observations"] == {"true": 2, "missed": 0, "false": 0}


def people_of(truths: list[Truth]) -> ClipPeople:
    """The people of a clip; only what is scored is not zero."""
    num_frames, count = len(truths), len(truths[0].visible_fraction)
    zeros = np.zeros((num_frames, count, 3))
    return ClipPeople(
        global_orient=zeros,
        transl=zeros,
        body_pose=np.zeros((num_frames, count, 21, 3)),
        left_hand_pose=np.zeros((num_frames, count, 15, 3)),
        right_hand_pose=np.zeros((num_frames, count, 15, 3)),
        jaw_pose=zeros,
        betas=np.zeros((count, 10)),
        expression=np.zeros((num_frames, count, 10)),
        joints_world=np.stack([truth.joints_world for truth in truths]),
        joints_uv_px=np.stack([truth.joints_px for truth in truths]),
        is_joint_visible=np.ones((num_frames, count, 55), bool),
        visible_fraction=np.stack([truth.visible_fraction for truth in truths]),
    )


def clip_of(walk: Reconstruction, num_frames: int = 4) -> SyntheticClip:
    """The walk's people in front of a plane, as the generator would store them."""
    people = people_of([truth_of(walk, frame) for frame in range(num_frames)])
    return SyntheticClip(
        image=np.stack([miniatures.picture(index) for index in range(num_frames)]),
        depth=np.full((num_frames, *miniatures.SIZE), 3.0, np.float32),
        person_index=np.zeros((num_frames, *miniatures.SIZE), np.uint8),
        K=walk.K[:num_frames].astype(np.float64),
        T_world_camera=walk.T_world_camera[:num_frames].astype(np.float64),
        T_gravity_world=walk.T_gravity_world.astype(np.float64),
        time_s=walk.time_s[:num_frames],
        people=people,
        seed=0,
        split="val",
        scene="room",
        is_static_camera=False,
    )


def test_a_perfect_prediction_of_a_clip_has_no_error(walk, tmp_path) -> None:
    write_clip(tmp_path / "clip_0", clip_of(walk))
    [recording] = SYNTHETIC.find(tmp_path, SYNTHETIC.protocol)
    predictions = []
    for frame in range(4):
        pointmap = torch.full((*miniatures.SIZE, 3), 3.0)
        predictions.append(replace(prediction_of(walk, frame), pointmap_camera=pointmap))
    groups = {group.name: group for group in SYNTHETIC.score(recording, SYNTHETIC.protocol, iter(predictions))}
    assert groups["metric"].values["abs_rel"] < 1e-4
    assert groups["metric"].weight == 4 * 24 * 32
    assert groups["detection"].values["f1"] == 100.0
    assert groups["people"].values["mpjpe_mm"] < 1e-2
    assert groups["people"].weight == (walk.person_frame < 4).sum()
    assert groups["world"].values["wa_mpjpe_mm"] < 1e-2
    assert "clip_people" not in groups


def test_the_frames_of_a_clip_keep_their_times(walk, tmp_path) -> None:
    write_clip(tmp_path / "clip_0", clip_of(walk))
    [recording] = SYNTHETIC.find(tmp_path, SYNTHETIC.protocol)
    assert recording.times_s == pytest.approx(walk.time_s[:4] - walk.time_s[0])


def test_a_clip_runs_through_the_whole_command(walk, tmp_path, capsys) -> None:
    write_clip(tmp_path / "set/clip_0", clip_of(walk))
    command = ["evaluate", "synthetic", "--data", str(tmp_path / "set"), "--model", "tiny", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "out"), "--json", "--reference", "all", "--report"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["num_frames"] == 4
    expected = {"metric.abs_rel", "scale.abs_rel", "scale_shift_adam.abs_rel", "observations_reference.true"}
    assert expected <= summary["scores"].keys()
    assert summary["scores"]["observations.true"] == (walk.person_frame < 4).sum()
    for name in ("report.md", "report.html"):
        assert "Rendered clips" in (tmp_path / "out" / name).read_text()
