"""The scene takes its scale from people, robustly and slowly."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch

from human3r.geometry.camera import intrinsics, unproject
from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.prompter import KeypointDetections
from human3r.models.compact.scene.scale_head import ScaleState, log_depth_ratios, update_scale
from human3r.models.parts import PersonParameters, ScenePoints

SIZE = (200, 200)
FOCAL_PX = 200.0


def fresh() -> ScaleState:
    return ScaleState(torch.tensor(0.0), torch.tensor(0.3))


def test_the_first_person_sets_most_of_the_scale() -> None:
    state = update_scale(fresh(), torch.tensor([0.5]), torch.tensor([1.0]))

    assert 0.35 < state.log_scale < 0.5


def test_no_people_change_nothing() -> None:
    state = update_scale(fresh(), torch.zeros(0), torch.zeros(0))

    assert state.log_scale == 0
    torch.testing.assert_close(state.weight, torch.tensor(0.3))


def test_a_clip_of_agreeing_people_converges() -> None:
    state = fresh()
    for _ in range(50):
        state = update_scale(state, torch.tensor([0.4, 0.4]), torch.tensor([0.9, 0.7]))

    torch.testing.assert_close(state.log_scale, torch.tensor(0.4), atol=0.01, rtol=0)


def test_one_wrong_person_hardly_moves_an_established_scale() -> None:
    state = fresh()
    for _ in range(30):
        state = update_scale(state, torch.tensor([0.2]), torch.tensor([1.0]))

    after = update_scale(state, torch.tensor([1.2]), torch.tensor([1.0]))

    assert (after.log_scale - state.log_scale).abs() < 0.01


def test_memory_is_bounded() -> None:
    state = fresh()
    for _ in range(500):
        state = update_scale(state, torch.tensor([0.1]), torch.tensor([1.0]))

    assert state.weight <= 60


def scene_with_person(ankle_score: float):
    """Return a scene with a person at 4 m, predicted depth 2 m on the person and 5 m elsewhere."""
    depth = torch.full(SIZE, 5.0)
    depth[40:160, 80:120] = 2.0
    mask = (depth == 2.0).float()
    keypoints = torch.full((1, 17, 2), 100.0)
    keypoints[0, :5, 1] = 50.0
    keypoints[0, 15:, 1] = 158.0
    score = torch.full((1, 17), 0.9)
    score[0, 15:] = ankle_score
    people = ImageKeypoints(keypoints, score, torch.ones(1), torch.zeros(1, 4), torch.zeros(1, 2))
    detections = KeypointDetections(
        torch.ones(1), torch.zeros(1, 2), torch.zeros(1, 24), torch.zeros(1, 8), torch.zeros(1, 2), keypoints=people
    )
    joints = torch.zeros(1, 22, 3)
    joints[..., 2] = 4.0
    parameters = PersonParameters(
        torch.zeros(1, 53, 3, 3), torch.zeros(1, 10), torch.zeros(1, 10), torch.tensor([[0.0, -0.8, 4.0]]), joints
    )
    points = ScenePoints(unproject(depth, intrinsics(FOCAL_PX, SIZE)), torch.ones(SIZE), torch.tensor(FOCAL_PX))
    frame = SimpleNamespace(detections=detections)
    return frame, points, mask, parameters


def test_people_stand_on_the_ground_below_their_feet() -> None:
    ratios, trust = log_depth_ratios(*scene_with_person(ankle_score=0.9))

    # The ground just below the ankles is at 5 m, the feet are at 4 m.
    torch.testing.assert_close(ratios, torch.tensor([math.log(4 / 5)]))
    assert trust > 0.5


def test_without_feet_the_head_gives_the_scale_with_less_weight() -> None:
    ratios, trust = log_depth_ratios(*scene_with_person(ankle_score=0.1))

    torch.testing.assert_close(ratios, torch.tensor([math.log(4 / 2)]))
    assert trust <= 0.3
