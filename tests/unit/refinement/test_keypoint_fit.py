"""The second fit to the keypoints: distances and limbs become smooth along the view, projections stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.inference.loading.model import load_model
from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.refinement.keypoint_fit import fitted_again
from human3r.refinement.world.shots import Cameras
from human3r.results.person_table import PERSON_ROW, PersonTable
from human3r.skeleton import body_size, bone_vectors

_NUM_FRAMES = 12
_NOISE = 0.06 * np.where(np.arange(_NUM_FRAMES) % 2, 1.0, -1.0)
"""Errors of the logarithm of the distance."""


@pytest.fixture(scope="module")
def points() -> BodyPoints:
    skeleton = load_model("compact", device="cpu").profile.finishing.keypoint_body
    assert skeleton is not None
    return skeleton


@pytest.fixture(scope="module")
def cameras() -> Cameras:
    K = np.tile(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]], np.float32), (_NUM_FRAMES, 1, 1))
    poses = np.tile(np.eye(4, dtype=np.float32), (_NUM_FRAMES, 1, 1))
    return Cameras(K, poses, np.arange(_NUM_FRAMES) / 10, np.zeros(_NUM_FRAMES, np.int64), (480, 640))


def _person(points: BodyPoints, root: torch.Tensor, log_distance_error: np.ndarray) -> PersonTable:
    """Return an upright person at ``T 3`` with exact keypoints, seen at wrong distances."""
    rotations = torch.eye(3).repeat(_NUM_FRAMES, 22, 1, 1)
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    posed = points(rotations, torch.zeros(_NUM_FRAMES, 10))
    seen = (posed.keypoints + root[:, None]).numpy()
    table = PersonTable.from_rows(np.zeros(_NUM_FRAMES, PERSON_ROW))
    keypoints = np.ones((_NUM_FRAMES, 17, 3), np.float32)
    keypoints[..., :2] = 500 * seen[..., :2] / seen[..., 2:] + (320, 240)
    head = (root * torch.from_numpy(np.exp(log_distance_error)).float()[:, None] + posed.joints[:, 15]).numpy()
    frames = np.arange(_NUM_FRAMES)
    return replace(
        table, person_frame=frames, unfiltered_rotations=rotations.numpy(), unfiltered_head=head, keypoints=keypoints
    )


@pytest.fixture
def people(points: BodyPoints) -> PersonTable:
    """A standing person at 4 m, exact keypoints, whose distance shakes by 6 %."""
    return _person(points, torch.tensor([0.0, 0.1, 4.0]).repeat(_NUM_FRAMES, 1), _NOISE)


def test_who_stands_across_the_view_stands_along_it(points: BodyPoints, cameras: Cameras) -> None:
    slow = 0.05 * np.sin(2 * np.pi * np.arange(_NUM_FRAMES) / _NUM_FRAMES)
    people = _person(points, torch.tensor([0.0, 0.1, 4.0]).repeat(_NUM_FRAMES, 1), slow)

    fitted = fitted_again(people, cameras, people.unfiltered_betas, points)

    bends = [np.abs(np.diff(np.log(one.unfiltered_head[:, 2]), 2)).max() for one in (people, fitted)]
    assert bends[1] < 0.15 * bends[0]


def test_who_turns_across_the_view_may_turn_along_it(points: BodyPoints, cameras: Cameras) -> None:
    angle = 2 * torch.pi * torch.arange(_NUM_FRAMES) / 10
    root = torch.stack([0.5 * angle.sin(), torch.full_like(angle, 0.1), 4 - 0.5 * angle.cos()], dim=1)
    people = _person(points, root, np.zeros(_NUM_FRAMES))

    fitted = fitted_again(people, cameras, people.unfiltered_betas, points)

    off = np.log(fitted.unfiltered_head[:, 2] / people.unfiltered_head[:, 2])
    assert np.abs(off - off.mean()).max() < 0.04


def test_distances_are_smooth_and_keypoints_stay_in_their_places(
    people: PersonTable, points: BodyPoints, cameras: Cameras
) -> None:
    fitted = fitted_again(people, cameras, people.unfiltered_betas, points)

    shaking = [np.abs(np.diff(np.log(one.unfiltered_head[:, 2]))).mean() for one in (people, fitted)]
    assert shaking[1] < 0.25 * shaking[0]
    posed = points(torch.from_numpy(fitted.unfiltered_rotations), torch.from_numpy(fitted.unfiltered_betas))
    seen = (posed.keypoints - posed.joints[:, 15:16]).numpy() + fitted.unfiltered_head[:, None]
    pixels = 500 * seen[..., :2] / seen[..., 2:] + (320, 240)
    assert np.linalg.norm(pixels - people.keypoints[..., :2], axis=-1).mean() < 2.0


def test_an_arm_does_not_shake_along_the_view(people: PersonTable, points: BodyPoints, cameras: Cameras) -> None:
    shaking = people.unfiltered_rotations.copy()
    # About the vertical: an arm that is stretched aside moves to and fro.
    turns = torch.zeros(_NUM_FRAMES, 3)
    turns[:, 1] = 5 * torch.from_numpy(_NOISE).float()
    shaking[:, 18] = rotation_from_axis_angle(turns).numpy()

    fitted = fitted_again(replace(people, unfiltered_rotations=shaking), cameras, people.unfiltered_betas, points)

    wrists = [
        points(torch.from_numpy(rotations), torch.zeros(_NUM_FRAMES, 10)).joints[:, 20, 2]
        for rotations in (shaking, fitted.unfiltered_rotations)
    ]
    assert wrists[1].diff().abs().mean() < 0.3 * wrists[0].diff().abs().mean()


def test_shapes_follow_the_proportions_and_keep_their_size(
    people: PersonTable, points: BodyPoints, cameras: Cameras
) -> None:
    other = people.unfiltered_betas.copy()
    other[:, 1] = 1.5

    fitted = fitted_again(people, cameras, other, points)

    before, after = (torch.from_numpy(betas) for betas in (other, fitted.unfiltered_betas))
    sizes = [body_size(bone_vectors(points.rest(betas)[0])) for betas in (before, after)]
    torch.testing.assert_close(sizes[1], sizes[0], rtol=1e-3, atol=0)
    proportions = [
        points.rest(betas)[0] / size[:, None, None] for betas, size in zip((before, after), sizes, strict=True)
    ]
    true = points.rest(torch.zeros(1, 10))[0]
    true = true / body_size(bone_vectors(true))[:, None, None]
    assert (proportions[1] - true).norm() < 0.8 * (proportions[0] - true).norm()


def test_people_without_keypoints_are_left_alone(people: PersonTable, points: BodyPoints, cameras: Cameras) -> None:
    blind = replace(people, keypoints=np.zeros_like(people.keypoints))

    assert fitted_again(blind, cameras, blind.unfiltered_betas, points) is blind
