"""People in motion: what comes in a row belongs together, and the detector errs slowly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.training.lifter import train as training
from human3r.training.lifter.config import LifterTraining
from human3r.training.motion import STANDARD_REST_JOINTS, Motion
from human3r.training.simulation.cameras import CameraMix
from human3r.training.simulation.correlated import CorrelatedSource, slow_factors
from human3r.training.simulation.detector import DetectorMix
from human3r.training.simulation.poses import MotionSampler, PoseMix
from human3r.training.simulation.rotations import RandomSource
from human3r.training.simulation.simulator import (
    BodyMix,
    SequenceMix,
    SimulatedPeople,
    Simulator,
    draw_forgotten,
    undisturbed,
    window_of,
)

MIX = SequenceMix(frames=6, windows=3)
FACE = [[0.0, 0.0, 0.12], [0.03, 0.04, 0.095], [-0.03, 0.04, 0.095], [0.073, 0.025, 0.01], [-0.073, 0.025, 0.01]]


def rng(seed: int = 0) -> RandomSource:
    return RandomSource(torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def points() -> BodyPoints:
    body = BodyPoints()
    body.joint_template.copy_(torch.from_numpy(STANDARD_REST_JOINTS))
    body.joint_directions[..., 0] = 0.06 * body.joint_template
    body.face_template.copy_(torch.tensor(FACE))
    return body


def walk() -> Motion:
    """Somebody who glides forwards at 1 m/s, 2 s long."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (60, 22, 1, 1))
    place = np.zeros((60, 3), np.float32)
    place[:, 1], place[:, 2] = 0.95, np.arange(60) / 30.0
    return Motion("walk", rotations, place, 30.0)


@pytest.fixture(scope="module")
def simulator(points: BodyPoints) -> Simulator:
    return Simulator(points, MotionSampler([walk()], PoseMix()), BodyMix(), CameraMix(), DetectorMix(), MIX)


@pytest.fixture(scope="module")
def people(simulator: Simulator) -> SimulatedPeople:
    return simulator.sample(rng(3), 120)


def in_time(values: torch.Tensor) -> torch.Tensor:
    return values.unflatten(0, (-1, MIX.length))


def test_a_sequence_shows_one_body(people: SimulatedPeople) -> None:
    betas, kind = in_time(people.betas), in_time(people.kind)

    assert torch.equal(betas, betas[:, :1].expand_as(betas))
    assert torch.equal(kind, kind[:, :1].expand_as(kind))


def test_bodies_move_as_fast_as_people_do(people: SimulatedPeople) -> None:
    joints = in_time(people.joints + people.root_camera[:, None])
    # At least .033 s from frame to frame, at most .25 s: 3 m is fast and far.
    step = (joints[:, 1:] - joints[:, :-1]).norm(dim=-1)

    assert step.median() < 0.15
    assert (step > 3.0).float().mean() < 0.01
    assert (step.amax((1, 2)) > 1e-3).all()


def test_truth_and_detection_belong_to_the_same_frame(people: SimulatedPeople) -> None:
    exact = people.keypoints_camera[..., :2] / people.keypoints_camera[..., 2:].clamp_min(0.2)
    torso = 0.5 / people.root_camera[:, None, 2].clamp_min(0.3)
    error = (people.people.points - exact).norm(dim=-1) / torso

    seen = (people.people.scores > 0.5) & (people.weight > 0)[:, None]
    assert error[seen].median() < 0.1


def test_the_detection_error_is_correlated_over_time(people: SimulatedPeople) -> None:
    exact = undisturbed(people).people.points
    torso = 0.5 / people.root_camera[:, None, 2:].clamp_min(0.3)
    error = in_time((people.people.points - exact) / torso)
    good = in_time(people.people.scores > 0.6).all(1)
    error = error.transpose(1, 2)[good]

    change = (error[:, 1:] - error[:, :-1]).norm(dim=-1).median()
    assert change < 0.8 * error.norm(dim=-1).median()


def test_correlated_random_numbers_have_the_distributions_of_independent_ones() -> None:
    seconds = torch.arange(MIX.length).expand(4000, -1) * 0.1
    slow = CorrelatedSource(
        torch.Generator().manual_seed(1), slow_factors(MIX.noise_shares, MIX.noise_seconds, rng(2), seconds)
    )
    rows = 4000 * MIX.length

    uniform, normal = slow.uniform(2.0, 4.0, rows), slow.normal(0.5, rows, 2)

    assert abs(uniform.mean() - 3) < 0.05
    assert abs(uniform.std() - 2 / 12**0.5) < 0.03
    assert abs(normal.std() - 0.5) < 0.02
    assert abs(slow.chance(0.2, rows).float().mean() - 0.2) < 0.03
    counts = torch.bincount(slow.choose(torch.tensor([1.0, 3.0]), rows), minlength=2) / rows
    assert abs(counts[1] - 0.75) < 0.03
    values = in_time(uniform)
    assert torch.corrcoef(torch.stack([values[:, 0], values[:, 1]]))[0, 1] > 0.6


def test_exact_points_replace_the_detected_ones_inside_of_the_image(people: SimulatedPeople) -> None:
    exact = people.keypoints_camera[..., :2] / people.keypoints_camera[..., 2:].clamp_min(0.2)
    low, high = people.people.borders[:, None, :2], people.people.borders[:, None, 2:]
    is_inside = ((exact > low) & (exact < high)).all(-1)

    points = undisturbed(people).people.points

    assert torch.equal(points[is_inside], exact[is_inside])
    assert torch.equal(points[~is_inside], people.people.points[~is_inside])


def test_windows_follow_one_another(people: SimulatedPeople) -> None:
    windows = [window_of(people, MIX, index).root_camera.unflatten(0, (-1, MIX.frames)) for index in range(MIX.windows)]

    assert torch.equal(torch.cat(windows, dim=1), in_time(people.root_camera))


def test_the_same_seed_draws_the_same_sequences(simulator: Simulator) -> None:
    first, second = simulator.sample(rng(7), 5), simulator.sample(rng(7), 5)

    assert torch.equal(first.people.points, second.people.points)
    assert torch.equal(first.joint_rotations, second.joint_rotations)


def test_some_states_are_reset() -> None:
    share = draw_forgotten(rng(), MIX, 2000).float().mean()

    assert abs(share - 0.2 * MIX.forgetful) < 0.02


def test_training_with_memory_lowers_the_loss_and_resumes(tmp_path, points: BodyPoints, monkeypatch) -> None:
    monkeypatch.setattr(training, "load_motions", lambda *_: [walk()])
    settings = LifterTraining(
        output=str(tmp_path), steps=8, batch=48, width=32, depth=1, memory_width=8, sequence=MIX,
        validation_people=180, use_bf16=False,
    )  # fmt: skip

    training.train(settings, points)
    weights = training.train(dataclasses.replace(settings, steps=40), points)

    reports = (tmp_path / "validation.txt").read_text().split("after ")[1:]
    errors = [float(report.splitlines()[2].split()[2]) for report in reports]
    assert weights.is_file()
    assert "state zeroed, all" in reports[-1]
    assert errors[-1] < errors[0]
