from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch

from human3r.models.compact.people.lifting.body_points import (
    MIRRORED_JOINTS,
    MIRRORED_KEYPOINTS,
    BodyPoints,
)
from human3r.models.compact.people.lifting.keypoint_encoder import (
    PersonKeypoints,
    keypoint_features,
    look_at,
    normalize_keypoints,
    without_imagined_legs,
)
from human3r.models.compact.people.lifting.lifter import BodyLifter, LiftedPeople
from human3r.models.compact.people.lifting.refine import RefineConfig, Refiner, decide_legs
from human3r.skeleton import parent_rotations
from human3r.training.motion import STANDARD_REST_JOINTS
from tests.reference_kinematics import joint_by_joint

FACE = [[0.0, 0.03, 0.12], [0.03, 0.06, 0.10], [-0.03, 0.06, 0.10], [0.07, 0.04, 0.01], [-0.07, 0.04, 0.01]]


@pytest.fixture
def points() -> BodyPoints:
    body = BodyPoints()
    body.joint_template.copy_(torch.from_numpy(STANDARD_REST_JOINTS))
    body.joint_directions[..., 0] = 0.05 * body.joint_template
    body.face_template.copy_(torch.tensor(FACE))
    body.keypoint_offsets[11] = torch.tensor([0.03, 0.02, 0.0])
    body.keypoint_offsets[12] = torch.tensor([-0.03, 0.02, 0.0])
    return body


def _people(points: BodyPoints, count: int, seed: int = 0) -> tuple[LiftedPeople, PersonKeypoints]:
    """Facing people with bent limbs and exact keypoints."""
    generator = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(count, 22, 3, generator=generator))
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotations[:, 0]
    betas = torch.randn(count, 10, generator=generator)
    root = torch.tensor([0.5, 0.1, 4.0]) + 0.5 * torch.randn(count, 3, generator=generator)
    keypoints = points(rotations, betas).keypoints + root[:, None]
    borders = torch.tensor([-0.6, -0.4, 0.6, 0.4])
    seen = PersonKeypoints(keypoints[..., :2] / keypoints[..., 2:], torch.full((count, 17), 0.9), borders)
    lifted = LiftedPeople(rotations, betas, root, torch.full((count, 22), 0.2), torch.full((count,), 0.1))
    return lifted, seen


def _projection_error(lifted: LiftedPeople, seen: PersonKeypoints, points: BodyPoints) -> torch.Tensor:
    keypoints = points(lifted.joint_rotations, lifted.betas).keypoints + lifted.root_camera[:, None]
    return (keypoints[..., :2] / keypoints[..., 2:] - seen.points).norm(dim=-1).mean(1)


@pytest.mark.parametrize(
    ("hip_y", "knee_score", "expected"),
    [(0.395, 0.5, (0.0, 0.0)), (0.395, 0.7, (0.7, 0.5)), (0.1, 0.5, (0.5, 0.5))],
    ids=["hips at the lower border", "a raised leg", "hips inside"],
)
def test_legs_below_the_lower_border_are_not_believed(points, hip_y, knee_score, expected):
    _, seen = _people(points, 2)
    seen.points[:, 11:13, 1], seen.points[:, 13:17, 1] = hip_y, 0.2
    seen.scores[:, 13:15], seen.scores[:, 15:17] = knee_score, 0.5
    scores = without_imagined_legs(seen).scores
    assert scores[:, (13, 15)].tolist() == [pytest.approx(expected)] * 2
    assert torch.equal(scores[:, :13], seen.scores[:, :13])


@pytest.mark.parametrize(("bottom", "knee"), [(0.5, 0.0), (1.5, 0.4)])
def test_legs_for_which_the_image_has_no_room_are_imagined(bottom: float, knee: float) -> None:
    keypoints = torch.zeros(1, 17, 2)
    keypoints[0, 11:13, 1], keypoints[0, 13:15, 1], keypoints[0, 15:, 1] = 0.3, 0.36, 0.4
    keypoints[0, 5:7, 1] = -0.3
    scores = torch.full((1, 17), 0.4)
    scores[0, 16] = 0.8
    borders = torch.tensor([-1.0, -1.0, 1.0, bottom])
    found = without_imagined_legs(PersonKeypoints(keypoints, scores, borders)).scores
    assert found[0, 13:].tolist() == pytest.approx([knee, knee, knee, 0.8])
    assert torch.equal(found[:, :13], scores[:, :13])


def test_unseen_legs_are_stretched_or_seated(points):
    lifted, _ = _people(points, 4)
    bend = torch.tensor([-5.0, 35.0, 60.0, 35.0]).deg2rad()
    lifted.joint_rotations[:, (1, 2, 4, 5)] = roma.rotvec_to_rotmat(torch.stack([-bend, 0 * bend, 0 * bend], dim=-1))[
        :, None
    ]
    scores = torch.full((4, 17), 0.9)
    scores[:3, 13:17] = 0.1
    after = decide_legs(lifted, scores).joint_rotations
    hip = -roma.rotmat_to_rotvec(after[:, 1])[:, 0].rad2deg()
    assert hip[0] == pytest.approx(-5, abs=0.1)
    assert hip[1] < 25
    assert hip[2] > 65
    assert torch.equal(after[3], lifted.joint_rotations[3])
    assert torch.equal(after[:, 6:], lifted.joint_rotations[:, 6:])
    nobody = lifted.map(lambda values: values[:0])
    assert len(decide_legs(nobody, scores[:0]).betas) == 0


def test_the_body_chain_agrees_with_the_numpy_reference(points):
    rotations = roma.random_rotmat((3, 22))

    posed = points(rotations, torch.zeros(3, 10))

    turned, joints = joint_by_joint(rotations.double().numpy(), STANDARD_REST_JOINTS)
    np.testing.assert_allclose(posed.joints.numpy(), joints, atol=1e-5)
    np.testing.assert_allclose(posed.rotations.numpy(), turned, atol=1e-5)


def test_mirrored_rotations_give_mirrored_keypoints(points):
    lifted, _ = _people(points, 4)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = lifted.joint_rotations[:, list(MIRRORED_JOINTS)] * (flip[:, None] * flip)

    keypoints = points(mirrored, lifted.betas).keypoints

    expected = points(lifted.joint_rotations, lifted.betas).keypoints[:, list(MIRRORED_KEYPOINTS)] * flip
    torch.testing.assert_close(keypoints, expected, atol=2e-4, rtol=0)


def test_keypoint_features_do_not_depend_on_the_rotation_of_the_camera(points):
    _, seen = _people(points, 5)
    rays = torch.nn.functional.pad(seen.points, (0, 1), value=1.0)
    turned = rays @ roma.rotvec_to_rotmat(torch.tensor([0.15, -0.2, 0.0])).T
    other = PersonKeypoints(turned[..., :2] / turned[..., 2:], seen.scores, seen.borders)

    first, second = keypoint_features(seen), keypoint_features(other)

    # The virtual camera's roll follows the turn, by a few hundredths of a radian here.
    torch.testing.assert_close(first.size, second.size, atol=0.02, rtol=0)
    torch.testing.assert_close(first.values[:, :34], second.values[:, :34], atol=0.06, rtol=0)


def test_the_axis_of_the_virtual_camera_is_the_ray():
    center = torch.tensor([[0.0, 0.0], [0.4, -0.7], [-1.5, 0.2]])

    rotation = look_at(center)

    rays = torch.nn.functional.normalize(torch.nn.functional.pad(center, (0, 1), value=1.0), dim=1)
    torch.testing.assert_close(rotation[..., 2], rays)
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(3, 3, 3), atol=1e-6, rtol=0)


def test_pixels_and_focal_length_give_the_normalized_plane():
    people = normalize_keypoints(
        torch.full((1, 17, 2), 100.0), torch.ones(1, 17), torch.tensor(200.0), torch.tensor([60.0, 80.0]), (160, 120)
    )

    torch.testing.assert_close(people.points[0, 0], torch.tensor([0.2, 0.1]))
    torch.testing.assert_close(people.borders, torch.tensor([-60.5, -80.5, 59.5, 79.5]) / 200)


def test_an_untrained_lifter_stands_people_upright_at_a_plausible_distance(points):
    _, seen = _people(points, 6)
    torch.manual_seed(0)
    lifter = BodyLifter(points)

    lifted = lifter(seen)

    up = lifted.joint_rotations[:, 0, :, 1]
    assert (up[:, 1] < -0.5).all()
    assert ((lifted.root_camera[:, 2] > 1.5) & (lifted.root_camera[:, 2] < 10)).all()


def test_a_new_token_connection_changes_nothing_until_it_is_trained(points):
    _, seen = _people(points, 3)
    torch.manual_seed(0)
    lifter = BodyLifter(points, token_dim=8)

    with_tokens, without = lifter(seen, torch.randn(3, 8)), lifter(seen)

    torch.testing.assert_close(with_tokens.joint_rotations, without.joint_rotations)
    torch.testing.assert_close(with_tokens.root_camera, without.root_camera)


def test_no_people_are_lifted_and_refined_to_no_people(points):
    seen = PersonKeypoints(torch.zeros(0, 17, 2), torch.zeros(0, 17), torch.tensor([-1.0, -1.0, 1.0, 1.0]))

    refined = Refiner()(BodyLifter(points)(seen), seen, points)

    assert refined.joint_rotations.shape == (0, 22, 3, 3)
    assert refined.root_camera.shape == (0, 3)


def test_a_person_with_only_poor_keypoints_stays_finite_and_is_left_alone(points):
    lifted, seen = _people(points, 2)
    poor = PersonKeypoints(torch.randn(2, 17, 2), torch.full((2, 17), 0.05), seen.borders)

    refined = Refiner()(lifted, poor, points)

    torch.testing.assert_close(refined.joint_rotations, lifted.joint_rotations, atol=1e-4, rtol=0)
    assert torch.isfinite(BodyLifter(points)(poor).root_camera).all()


def test_the_refiners_jacobian_is_the_derivative_of_the_projection(points):
    points = points.double()
    points.keypoint_offsets.zero_()
    lifted, _ = _people(points.float(), 2, seed=3)
    points, lifted = points.double(), lifted.to(torch.float64)

    def project(change: torch.Tensor) -> torch.Tensor:
        own = roma.rotvec_to_rotmat(change[:, :66].unflatten(1, (22, 3)))
        old = points(lifted.joint_rotations, lifted.betas).rotations
        above = parent_rotations(old)
        local = above.transpose(-1, -2) @ own @ above @ lifted.joint_rotations
        local = torch.cat([(own[:, 0] @ lifted.joint_rotations[:, 0])[:, None], local[:, 1:]], dim=1)
        across = torch.nn.functional.pad(change[:, 66:68], (0, 1))
        root = (lifted.root_camera + across) * change[:, 68:].exp()
        keypoints = points(local, lifted.betas).keypoints + root[:, None]
        return (keypoints[..., :2] / keypoints[..., 2:]).flatten()

    numeric = torch.autograd.functional.jacobian(project, torch.zeros(2, 69, dtype=torch.float64))
    posed = points(lifted.joint_rotations, lifted.betas)
    keypoints = posed.keypoints + lifted.root_camera[:, None]
    analytic = Refiner().double()._jacobian(keypoints, posed.joints + lifted.root_camera[:, None], keypoints[..., 2])

    rows = numeric.unflatten(0, (2, 34))
    expected = torch.stack([rows[0, :, 0], rows[1, :, 1]])
    torch.testing.assert_close(analytic, expected, atol=1e-6, rtol=1e-5)


def test_the_refiners_derivative_by_betas_is_that_of_the_projection(points):
    points = points.double()
    lifted, _ = _people(points.float(), 2, seed=3)
    points, lifted = points.double(), lifted.to(torch.float64)

    def keypoints(betas: torch.Tensor) -> torch.Tensor:
        return points(lifted.joint_rotations, betas).keypoints

    numeric = torch.autograd.functional.jacobian(keypoints, lifted.betas)
    rotations = points(lifted.joint_rotations, lifted.betas).rotations
    analytic = Refiner().double()._moves_by_shape(rotations, points)

    expected = torch.stack([numeric[0, :, :, 0], numeric[1, :, :, 1]])
    torch.testing.assert_close(analytic, expected, atol=1e-6, rtol=1e-5)


def test_refinement_brings_disturbed_people_back_onto_their_keypoints(points):
    lifted, seen = _people(points, 8)
    noise = roma.rotvec_to_rotmat(0.12 * torch.randn(8, 22, 3, generator=torch.Generator().manual_seed(1)))
    disturbed = LiftedPeople(
        lifted.joint_rotations @ noise, lifted.betas, lifted.root_camera * 1.05, lifted.rotation_sigma,
        lifted.log_depth_sigma,
    )  # fmt: skip

    refined = Refiner()(disturbed, seen, points)

    before, after = _projection_error(disturbed, seen, points), _projection_error(refined, seen, points)
    assert (after < 0.35 * before).all(), (before, after)


def test_refinement_ignores_one_keypoint_far_off(points):
    lifted, seen = _people(points, 4)
    spoiled = seen.points.clone()
    spoiled[:, 9] += 0.5
    slipped = PersonKeypoints(spoiled, seen.scores, seen.borders)

    refined = Refiner(RefineConfig(steps=3))(lifted, slipped, points)

    moved = roma.rotmat_geodesic_distance(refined.joint_rotations, lifted.joint_rotations)
    assert moved.max() < math.radians(6)


def test_a_keypoint_that_is_not_a_number_affects_one_person_only(points):
    lifted, seen = _people(points, 3)
    broken = seen.points.clone()
    broken[1, 5] = math.nan

    refined = Refiner()(lifted, PersonKeypoints(broken, seen.scores, seen.borders), points)

    assert torch.isfinite(refined.joint_rotations).all()
    assert torch.isfinite(refined.root_camera).all()
