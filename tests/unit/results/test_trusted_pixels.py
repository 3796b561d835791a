"""Skeletons as masks: on the person, not beside it."""

from __future__ import annotations

import numpy as np
import torch

from human3r.bodies.placement import bodies_in_world
from human3r.records import Camera, FramePrediction, People, empty_people
from human3r.results.trusted_pixels import people_pixels

SIZE = (120, 160)


def prediction_of(small_body, head_camera, source_rect=(0.0, 0.0, 320.0, 240.0)):
    """People standing upright in front of a camera whose source frame is twice the network's size."""
    count = len(head_camera)
    rotations = torch.eye(3).expand(count, 53, 3, 3).clone()
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    head = torch.tensor(head_camera, dtype=torch.float32).reshape(count, 3)
    zeros = torch.zeros(count, 10)
    parameters = bodies_in_world(rotations, head, zeros, zeros, torch.eye(4), small_body)[0]
    people = People(torch.arange(count), torch.ones(count), torch.zeros(count, 2), rotations, zeros, zeros, head)
    K = torch.tensor([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]])
    return FramePrediction(
        frame_index=0,
        time_s=0.0,
        camera=Camera(K, torch.eye(4), (240, 320)),
        people=people if count else empty_people(),
        parameters_world=parameters,
        joints_world=small_body.joints(parameters),
        pointmap_camera=torch.zeros(*SIZE, 3),
        confidence=torch.ones(SIZE),
        person_mask=torch.zeros(SIZE),
        image=torch.zeros(*SIZE, 3, dtype=torch.uint8),
        source_rect_px=source_rect,
    )


def test_every_visible_joint_is_covered_and_far_corners_are_not(small_body):
    prediction = prediction_of(small_body, [(0.5, -0.8, 5.0)])
    covered = people_pixels(prediction)
    joints = prediction.joints_world[0, :22].numpy()
    pixels = (joints[:, :2] / joints[:, 2:] * 300 + (159.5, 119.5) + 0.5) / 2 - 0.5
    columns, rows = pixels.round().astype(int).T
    assert covered[rows, columns].all()
    assert not covered[:, :40].any()
    assert 0.01 < covered.mean() < 0.25


def test_zero_people_cover_nothing(small_body):
    assert not people_pixels(prediction_of(small_body, [])).any()


def test_people_behind_the_camera_cover_nothing(small_body):
    assert not people_pixels(prediction_of(small_body, [(0.0, 0.0, -5.0)])).any()


def test_a_person_too_near_covers_the_frame_without_failing(small_body):
    covered = people_pixels(prediction_of(small_body, [(0.0, -0.5, 0.6)]))
    assert covered.mean() > 0.3


def test_a_crop_of_the_source_is_respected(small_body):
    whole = people_pixels(prediction_of(small_body, [(0.0, -0.8, 5.0)]))
    right_half = people_pixels(prediction_of(small_body, [(0.0, -0.8, 5.0)], (160.0, 0.0, 320.0, 240.0)))
    assert np.flatnonzero(whole.any(axis=0)).mean() > 60
    assert np.flatnonzero(right_half.any(axis=0)).max() < 80
