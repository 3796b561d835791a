"""Fit the people of a finished clip to their keypoints once more, at smooth distances and with one shape each.

In a single frame, distance and pose explain the same keypoints: a limb that leans toward the camera, or a person who is
farther away. Over time the distance is smooth, and the pose has to account for the rest.
"""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter

import numpy as np
import torch

from human3r.models.compact.people.lifting.body_points import BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import PersonKeypoints
from human3r.models.compact.people.lifting.lifter import LiftedPeople
from human3r.models.compact.people.lifting.refine import Refiner
from human3r.records import concatenate
from human3r.refinement.feet.contact import runs
from human3r.refinement.local_lines import robust_lines
from human3r.refinement.shots import Cameras
from human3r.results.person_table import PersonTable
from human3r.skeleton import NUM_BODY_JOINTS, Joint, body_size, bone_vectors

_DISTANCE_S, _LOG_DISTANCE_KNEE = 0.3, 0.25
"""Window of the lines through the logarithm of the distance, and the outlier that counts half."""
_MIN_RUN = 3
_ROTATION_SIGMA = 0.1
"""Radians that the first fit may be wrong: .2 fits the keypoints better (.0623 for .0641 torsos), but shakes more."""
_LOG_DEPTH_SIGMA = 0.02
_ROWS_AT_ONCE = 1024
"""Bounds the memory."""


def fitted_again(people: PersonTable, cameras: Cameras, betas: np.ndarray, points: BodyPoints) -> PersonTable:
    """Return the table with new ``unfiltered`` columns; rows without keypoints only move to smooth distances.

    Args:
        people: N rows.
        cameras: Of their frames.
        betas: ``N 10`` shapes for the fit; distances follow their sizes.
        points: Skeleton of the lifter.
    """
    if len(people) == 0 or not people.keypoints[..., 2].any():
        return people
    rotations = torch.from_numpy(people.unfiltered_rotations)
    before, after = torch.from_numpy(people.unfiltered_betas), torch.from_numpy(np.asarray(betas, np.float32))
    root = torch.from_numpy(people.unfiltered_head) - points(rotations, before).joints[:, Joint.HEAD]
    distance = root.norm(dim=1) / _size(points, before)
    log_distance = distance.log().double().numpy()
    smooth = log_distance.copy()
    for rows in runs(people.person_track, cameras.time_s[people.person_frame]):
        if len(rows) >= _MIN_RUN:
            time_s, values = cameras.time_s[people.person_frame[rows]], log_distance[rows, None, None]
            smooth[rows] = robust_lines(values, time_s, _DISTANCE_S, _LOG_DISTANCE_KNEE)[:, 0, 0]
    growth = torch.from_numpy(np.exp(smooth - log_distance)).float() * _size(points, after) / _size(points, before)
    lifted = LiftedPeople(
        joint_rotations=rotations,
        betas=after,
        root_camera=root * growth[:, None],
        rotation_sigma=torch.full((len(people), NUM_BODY_JOINTS), _ROTATION_SIGMA),
        log_depth_sigma=torch.full((len(people),), _LOG_DEPTH_SIGMA),
    )
    keypoints, refiner = _on_plane(people, cameras), Refiner()
    some = [itemgetter(rows) for rows in torch.arange(len(people)).split(_ROWS_AT_ONCE)]
    fitted = concatenate([refiner(lifted.map(rows), keypoints.map(rows), points) for rows in some])
    head = fitted.root_camera + points(fitted.joint_rotations, after).joints[:, Joint.HEAD]
    return replace(
        people,
        unfiltered_rotations=fitted.joint_rotations.numpy(),
        unfiltered_head=head.numpy(),
        unfiltered_betas=after.numpy(),
    )


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
