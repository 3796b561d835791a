from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from human3r.errors import FormatError
from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.training.lifter import train as training
from human3r.training.lifter.config import LifterTraining
from human3r.training.lifter.losses import LossWeights, lifter_losses
from human3r.training.lifter.validation import score_table, upright_baseline
from human3r.training.motion import STANDARD_REST_JOINTS, Motion
from human3r.training.settings import read_settings
from human3r.training.simulation.cameras import CameraMix
from human3r.training.simulation.detector import DetectorMix, detect
from human3r.training.simulation.poses import SEATED, MotionSampler, PoseMix
from human3r.training.simulation.procedural import seated
from human3r.training.simulation.rotations import RandomSource
from human3r.training.simulation.simulator import BodyMix, SequenceMix, SimulatedPeople, Simulator

FACE = [[0.0, 0.0, 0.12], [0.03, 0.04, 0.095], [-0.03, 0.04, 0.095], [0.073, 0.025, 0.01], [-0.073, 0.025, 0.01]]


@pytest.fixture(scope="module")
def points() -> BodyPoints:
    body = BodyPoints()
    body.joint_template.copy_(torch.from_numpy(STANDARD_REST_JOINTS))
    body.joint_directions[..., 0] = 0.06 * body.joint_template
    body.face_template.copy_(torch.tensor(FACE))
    body.face_directions[..., 0] = 0.06 * body.face_template
    return body


@pytest.fixture(scope="module")
def simulator(points) -> Simulator:
    rest = np.tile(np.eye(3, dtype=np.float32), (40, 22, 1, 1))
    motion = Motion("rest", rest, np.zeros((40, 3), np.float32), 30.0)
    sampler, single = MotionSampler([motion], PoseMix()), SequenceMix(windows=1)
    return Simulator(points, sampler, BodyMix(), CameraMix(), DetectorMix(), single)


@pytest.fixture(scope="module")
def people(simulator) -> SimulatedPeople:
    return simulator.sample(RandomSource(torch.Generator().manual_seed(4)), 1500)


def _rng(seed: int = 0) -> RandomSource:
    return RandomSource(torch.Generator().manual_seed(seed))


def test_seated_people_have_level_thighs(points):
    posed = points(seated(_rng(), 600), torch.zeros(600, 10))

    thigh = posed.joints[:, 4] - posed.joints[:, 1]
    elevation = torch.asin(thigh[:, 1] / thigh.norm(dim=1)).rad2deg()
    assert (elevation.abs() < 35).float().mean() > 0.85
    assert (thigh[:, 2] > 0.2).float().mean() > 0.85


def test_good_scores_come_with_small_errors_and_poor_ones_with_large(people):
    torso = (people.keypoints_camera[:, 5:7].mean(1) - people.keypoints_camera[:, 11:13].mean(1)).norm(dim=1)
    scale = torso / people.root_camera[:, 2]
    clean = people.keypoints_camera[..., :2] / people.keypoints_camera[..., 2:].clamp_min(0.2)
    error = (people.people.points - clean).norm(dim=-1) / scale[:, None]

    good = error[people.people.scores > 0.7].median()
    poor = error[(people.people.scores > 0.2) & (people.people.scores < 0.3)].median()
    assert 0.03 < float(good) < 0.09
    assert float(poor) > 2 * float(good)


def test_points_far_outside_of_the_image_score_poorly_and_all_are_reported_inside(people):
    clean = people.keypoints_camera[..., :2] / people.keypoints_camera[..., 2:].clamp_min(0.2)
    low, high = people.people.borders[:, None, :2], people.people.borders[:, None, 2:]
    torso = 0.5 / people.root_camera[:, 2].clamp_min(0.3)
    beyond = torch.maximum(low - clean, clean - high).amax(-1) / torso[:, None]
    far_out, near_out = beyond > 1.3, (beyond > 0.1) & (beyond < 0.4)

    assert far_out.sum() > 40
    assert (people.people.scores[far_out] <= 0.5).float().mean() > 0.97
    assert (people.people.scores[near_out] > 0.35).float().mean() > 0.5
    reported = people.people.points
    slack = 0.35 * torso[:, None, None]
    is_inside = ((reported > low - slack) & (reported < high + slack)).all(-1)
    assert is_inside[far_out].float().mean() > 0.95


def test_cameras_stand_within_their_range_and_people_before_them(people):
    assert people.weight.mean() > 0.85
    assert people.root_camera[:, 2].median() > 1.0
    up = -people.joint_rotations[:, 0, 1, 1]
    assert (up[people.kind == 2] > 0.5).float().mean() > 0.9


def test_faces_from_behind_are_dropped_or_poor():
    count = 400
    body = torch.zeros(count, 17, 3)
    body[..., 2] = 4.0
    body[:, :5] = torch.tensor(FACE) * torch.tensor([1.0, -1.0, 1.0]) + torch.tensor([0.0, -0.6, 4.0])
    body[:, 5:7, 0] = torch.tensor([-0.18, 0.18])
    body[:, 5:7, 1] = -0.4
    away = torch.tensor([0.0, 0.0, 1.0]).expand(count, 3)
    borders = torch.tensor([-0.6, -0.4, 0.6, 0.4]).expand(count, 4)
    seated_nowhere = torch.zeros(count, dtype=torch.bool)

    _, scores = detect(_rng(), DetectorMix(), body, away, borders, torch.full((count,), 0.003), seated_nowhere)

    assert (scores[:, 0] < 0.2).float().mean() > 0.3
    assert (scores[:, 0] > 0.7).float().mean() < 0.1


def test_the_same_seed_draws_the_same_people(simulator):
    first, second = simulator.sample(_rng(7), 50), simulator.sample(_rng(7), 50)

    assert torch.equal(first.people.points, second.people.points)
    assert torch.equal(first.joint_rotations, second.joint_rotations)


def test_the_truth_has_no_joint_and_no_projection_error(people, points):
    exact = dataclasses.replace(
        upright_baseline(people), joint_rotations=people.joint_rotations, betas=people.betas,
        root_camera=people.root_camera,
    )  # fmt: skip

    _, terms = lifter_losses(exact, people, points, LossWeights())

    assert terms["joints"] < 1e-3
    assert terms["reprojection"] < 1e-3
    assert terms["log_depth"] < 1e-6


def test_the_upright_baseline_is_far_from_the_truth_and_the_truth_is_not(people, points):
    truth = dataclasses.replace(
        upright_baseline(people), joint_rotations=people.joint_rotations, betas=people.betas,
        root_camera=people.root_camera,
    )  # fmt: skip

    table = score_table(truth, people, points)

    assert table["all"].mpjpe_mm < 0.1
    assert table["baseline, all"].mpjpe_mm > 150
    assert table["seated"].people == int(((people.kind == SEATED) & (people.weight > 0)).sum())


def test_training_lowers_the_loss_and_a_second_call_resumes(tmp_path, points, monkeypatch):
    rest = np.tile(np.eye(3, dtype=np.float32), (40, 22, 1, 1))
    motion = Motion("rest", rest, np.zeros((40, 3), np.float32), 30.0)
    monkeypatch.setattr(training, "load_motions", lambda *_: [motion])
    settings = LifterTraining(
        output=str(tmp_path), steps=12, batch=64, width=32, depth=1, validation_people=64, use_bf16=False
    )

    training.train(settings, points)
    weights = training.train(dataclasses.replace(settings, steps=40), points)

    reports = (tmp_path / "validation.txt").read_text().split("after ")[1:]
    steps = [int(report.split()[0]) for report in reports]
    errors = [float(report.splitlines()[2].split()[2]) for report in reports]
    assert weights.is_file()
    assert steps == [1, 12, 13, 40]
    assert errors[-1] < errors[0]


def test_an_unknown_setting_is_refused_with_its_name(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[poses]\nmocaps = 0.5\n")

    with pytest.raises(FormatError, match="mocaps"):
        read_settings(LifterTraining, path)


def test_the_shipped_settings_are_readable():
    settings = read_settings(LifterTraining, training.Path(training.__file__).parents[1] / "configs" / "lifter.toml")

    assert settings.minutes >= 60
    assert math.isclose(sum(settings.poses.kinds().tolist()), 1.0, abs_tol=1e-6)
