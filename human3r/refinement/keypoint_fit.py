"""Fit the people of a finished clip to their keypoints again, in turns with smoothing.

In a single frame, distance, shape and pose explain the same keypoints: a limb that leans toward the camera, a longer
one, or a person who is nearer. Over time the distance is smooth, the shape is one, and limbs do not shake along the
view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
import torch

from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import PersonKeypoints
from human3r.models.compact.people.lifting.lifter import LiftedPeople
from human3r.models.compact.people.lifting.refine import RefineConfig, Refiner
from human3r.records import concatenate
from human3r.refinement.feet.contact import runs
from human3r.refinement.identity_shapes import shape_of_each
from human3r.refinement.local_lines import local_lines, local_means, nearest_rotations, robust_lines
from human3r.refinement.visibility import trust_in_distances
from human3r.refinement.world.shots import Cameras
from human3r.results.person_table import PersonTable
from human3r.skeleton import (
    BODY_PARENTS,
    NUM_BODY_JOINTS,
    Joint,
    body_size,
    bone_vectors,
    forward_kinematics,
    to_local_rotations,
)

_TURNS = 3
"""Fits, the last one with the shapes that those before it agree on."""
_LOG_DISTANCE_NOISE, _LOG_DISTANCE_KNEE = 0.04, 0.15
"""Deviation of the logarithm of a distance in one frame, and the outlier that counts half."""
_CHANGE_S, _BEARING_S, _MOTION_S = 0.4, 0.12, 1.0
"""Time over which changes of velocity count, and windows of the bearings before and of the rates of change after."""
_MIN_RATE, _ALONG_SHARE = 3e-4, 0.8
"""Least rate at which a person's velocity varies, rad²/s³, and the share of that of the bearing in the distance's."""
_ROTATION_S, _ROTATION_KNEE, _ROTATION_SWIFT = 0.15, 0.7, 0.2
"""The same of the orientations from which a fit begins, as distances of matrices, and what is too swift for a line."""
_MAX_ACROSS = 0.1
"""Motion of a bone's end across the view, in lengths of the bone, where smoothing counts half: the keypoints know."""
_MIN_RUN = 3
_ROTATION_SIGMA = 0.1
"""Radians that the poses from which a fit begins may be wrong."""
_BETA_SIGMA = 1.0
_LOG_DEPTH_SIGMA = 0.02
_ROWS_AT_ONCE = 1024
"""Bounds the memory."""
_CHILD = {BODY_PARENTS[joint]: joint for joint in reversed(range(1, NUM_BODY_JOINTS))} | {Joint.PELVIS: Joint.SPINE1}
"""The joint at the end of a bone."""


def fitted_again(people: PersonTable, cameras: Cameras, betas: np.ndarray, points: BodyPoints) -> PersonTable:
    """Return the table with new ``unfiltered`` columns, one shape per identity; rows without keypoints hardly move.

    Args:
        people: N rows.
        cameras: Of their frames.
        betas: ``N 10`` one shape per identity, whose size is kept; distances follow it.
        points: Skeleton of the lifter.
    """
    if len(people) == 0 or not people.keypoints[..., 2].any():
        return people
    before, shapes = torch.from_numpy(people.unfiltered_betas), torch.from_numpy(np.asarray(betas, np.float32))
    rotations, size = torch.from_numpy(people.unfiltered_rotations), _size(points, shapes)
    root = torch.from_numpy(people.unfiltered_head) - points(rotations, before).joints[:, Joint.HEAD]
    root = root * (size / _size(points, before))[:, None]
    keypoints = _on_plane(people, cameras)
    runs_ = [rows for rows in runs(people.person_track, cameras.time_s[people.person_frame]) if len(rows) >= _MIN_RUN]
    refiners = [Refiner(RefineConfig(beta_sigma=_BETA_SIGMA))] * (_TURNS - 1) + [Refiner()]
    some = [itemgetter(rows) for rows in torch.arange(len(people)).split(_ROWS_AT_ONCE)]
    for refiner in refiners:
        begin = LiftedPeople(
            joint_rotations=_calmed(rotations, root, people, cameras, runs_, points),
            betas=shapes,
            root_camera=_at_smooth_distances(root, people, cameras, runs_),
            rotation_sigma=torch.full((len(people), NUM_BODY_JOINTS), _ROTATION_SIGMA),
            log_depth_sigma=torch.full((len(people),), _LOG_DEPTH_SIGMA),
        )
        fitted = concatenate([refiner(begin.map(rows), keypoints.map(rows), points) for rows in some])
        rotations, root = fitted.joint_rotations, fitted.root_camera
        if refiner.config.beta_sigma is not None:
            shapes = _of_size(points, torch.from_numpy(shape_of_each(people, fitted.betas.numpy())), size)
    head = root + points(rotations, shapes).joints[:, Joint.HEAD]
    return replace(
        people,
        unfiltered_rotations=rotations.numpy(),
        unfiltered_head=head.numpy(),
        unfiltered_betas=shapes.numpy(),
    )


def _at_smooth_distances(
    root: torch.Tensor, people: PersonTable, cameras: Cameras, runs_: Sequence[np.ndarray]
) -> torch.Tensor:
    ray = torch.nn.functional.normalize(root, dim=1).double().numpy()
    bearing = np.einsum("nab,nb->na", cameras.T_world_camera[people.person_frame, :3, :3].astype(np.float64), ray)
    log_distance = root.norm(dim=1).log().double().numpy()
    smooth, trust = log_distance.copy(), trust_in_distances(people.keypoints)
    for rows in runs_:
        time_s = cameras.time_s[people.person_frame[rows]]
        smooth[rows] = _smoothed(log_distance[rows], time_s, trust[rows], _rate_of_change(bearing[rows], time_s))
    return root * torch.from_numpy(np.exp(smooth - log_distance)).float()[:, None]


def _rate_of_change(bearing: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Return ``n`` variances that the velocity of ``n 3`` directions gains per second and axis, rad²/s³.

    Who stands, or walks evenly, does so across the view, where it is seen well, and along it.
    """
    calm = local_lines(bearing[:, None], time_s, _BEARING_S, np.ones((len(time_s), 1)))[:, 0]
    velocity = np.gradient(calm, time_s, axis=0)
    before, after = ((time_s + side * _CHANGE_S / 2).clip(time_s[0], time_s[-1]) for side in (-1, 1))
    change = [np.interp(after, time_s, axis) - np.interp(before, time_s, axis) for axis in velocity.T]
    rate = np.square(change).sum(axis=0) / 2 / (after - before)
    return local_means(rate[:, None, None], time_s, _MOTION_S, np.ones((len(time_s), 1)))[:, 0, 0].clip(min=_MIN_RATE)


def _smoothed(log_distance: np.ndarray, time_s: np.ndarray, trust: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Smooth ``n`` logarithms of distances whose velocity is a random walk, outliers weighted down.

    Source: Wahba 1978, smoothing splines as estimates of integrated Wiener processes; second differences.
    """
    from scipy.linalg import solveh_banded

    step_s = np.maximum(np.diff(time_s), 1e-3)
    slopes = np.stack([1 / step_s[:-1], -1 / step_s[:-1] - 1 / step_s[1:], 1 / step_s[1:]])
    bends = 2 / ((step_s[:-1] + step_s[1:]) * _ALONG_SHARE * rate[1:-1])
    smoothness, count = np.zeros((3, len(log_distance))), len(bends)
    for first in range(3):
        for second in range(first, 3):
            # Diagonals from the uppermost to the main one, as SciPy stores them.
            smoothness[2 - second + first, second : second + count] += bends * slopes[first] * slopes[second]

    def weighted(weight: np.ndarray) -> np.ndarray:
        return solveh_banded(smoothness + np.outer([0, 0, 1], weight), weight * log_distance)

    share = trust / _LOG_DISTANCE_NOISE**2
    return weighted(share / (1 + ((log_distance - weighted(share)) / _LOG_DISTANCE_KNEE) ** 2))


def _calmed(
    rotations: torch.Tensor,
    root: torch.Tensor,
    people: PersonTable,
    cameras: Cameras,
    runs_: Sequence[np.ndarray],
    points: BodyPoints,
) -> torch.Tensor:
    """Return local rotations ``N 22 3 3`` that are smooth over time as far as this turns bones along the view only."""
    R_world_camera = cameras.T_world_camera[people.person_frame, :3, :3].astype(np.float64)
    orientation = forward_kinematics(rotations, torch.zeros(*rotations.shape[:2], 3))[0].double().numpy()
    orientation = R_world_camera[:, None] @ orientation
    smooth = orientation.copy()
    for rows in runs_:
        time_s, values = cameras.time_s[people.person_frame[rows]], orientation[rows].reshape(len(rows), -1, 9)
        lines = robust_lines(values, time_s, _ROTATION_S, _ROTATION_KNEE, _ROTATION_SWIFT)
        smooth[rows] = lines.reshape(-1, NUM_BODY_JOINTS, 3, 3)
    ray = np.einsum("nab,nb->na", R_world_camera, torch.nn.functional.normalize(root, dim=1).double().numpy())
    joints, ends = list(_CHILD), list(_CHILD.values())
    bones = (points.joint_template[ends] - points.joint_template[joints]).double().numpy()
    bones /= np.linalg.norm(bones, axis=1, keepdims=True)
    moved = ((smooth - orientation)[:, joints] @ bones[..., None])[..., 0]
    across = moved - (moved @ ray[..., None]) * ray[:, None]
    share = np.ones(orientation.shape[:2])
    share[:, joints] = 1 / (1 + (across**2).sum(-1) / _MAX_ACROSS**2)
    for leaf in set(range(NUM_BODY_JOINTS)) - set(joints):
        share[:, leaf] = share[:, BODY_PARENTS[leaf]]
    orientation = nearest_rotations(orientation + share[..., None, None] * (smooth - orientation))
    return torch.from_numpy(to_local_rotations(R_world_camera.swapaxes(1, 2)[:, None] @ orientation)).float()


def _of_size(points: BodyPoints, betas: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """Return shapes ``N 10`` with the stature, beta 0, that gives them sizes ``N``; these are nearly linear in it."""
    taller = betas + torch.eye(10)[0]
    now = _size(points, betas)
    return betas + ((size - now) / (_size(points, taller) - now))[:, None] * torch.eye(10)[0]


def _size(points: BodyPoints, betas: torch.Tensor) -> torch.Tensor:
    """Return the lengths ``P`` of shapes ``P 10`` from head to ankle, meters."""
    return body_size(bone_vectors(points.rest(betas)[0]))


def _on_plane(people: PersonTable, cameras: Cameras) -> PersonKeypoints:
    """Return the keypoints on the normalized image plane of the camera of each row's frame."""
    K = torch.from_numpy(cameras.K[people.person_frame]).float()
    focal, center = K[:, (0, 1), (0, 1)], K[:, :2, 2]
    keypoints, (height, width) = torch.from_numpy(people.keypoints), cameras.image_size
    borders = [(torch.tensor(corner) - center) / focal for corner in ((-0.5, -0.5), (width - 0.5, height - 0.5))]
    plane = (keypoints[..., :2] - center[:, None]) / focal[:, None]
    return PersonKeypoints(plane, keypoints[..., 2], torch.cat(borders, dim=1))
