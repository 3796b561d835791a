"""Smooth the people of a finished clip over the frames before and after, without lag.

Input is the network's predictions, not the output of the causal filter. Joints that the picture does not show rest
(``visibility``); then every quantity is a line fitted locally in time under a Gaussian window, outliers weighted down:
a symmetric window has no lag, and at the ends of a track the line extrapolates. Orientations and directions are
smoothed in world, so that camera shake does not affect people; distances relative to the body's size, so that one shape
per identity changes no image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from human3r.bodies import SmplxBody
from human3r.bodies.placement import bodies_in_world
from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.records import BodyParameters, concatenate
from human3r.refinement.identity_shapes import body_sizes
from human3r.refinement.local_lines import nearest_rotations, robust_lines
from human3r.refinement.visibility import calmed, shown_joints, trust_in_distances
from human3r.results.person_table import PersonTable
from human3r.skeleton import (
    NUM_BODY_JOINTS,
    TRUNK_JOINTS,
    Joint,
    bone_vectors,
    forward_kinematics,
    to_local_rotations,
)

_MIN_RUN = 3
_SPREAD = 0.3
"""Root mean square distance of joints from their mean, across the view, in sizes of a standing body."""
_SHORT_SHARE = 1 / 3
"""Of window and knee: over shorter times a single observation that is wrong still counts little."""
_ROWS_AT_ONCE = 4096
"""Bodies that are posed together: bounds the memory of long clips."""


@dataclass(frozen=True)
class OfflineSmoothingOptions:
    """Standard deviations of the windows, seconds; 0 switches a part off.

    Source: rendered clips with known truth, and distances to the keypoints of real ones; table in the training notes.
    """

    rotation_s: float = 0.05
    bearing_s: float = 0.03
    """Of the direction to the body."""
    distance_s: float = 0.2
    """Of the logarithm of the distance over the body's size: 1 % of 4 m is 40 mm, but no pixel."""
    max_growth: float = 0.003
    """Radians by which smoothing the distance may move the joints of a body in its image: close people grow visibly."""
    rotation_knee: float = 0.5
    """Radians: an observation this far off the line has half the weight."""
    rotation_swift: float = 0.2
    """Radians by which lines under a window half as wide differ, from which bones follow those: a flip or a kick is no
    line under the whole window."""
    bearing_knee: float = 0.05
    log_distance_knee: float = 0.25
    gap_s: float = 0.5
    """Longer absences divide a track: nothing is smoothed across them."""
    jump_m: float = 1.0
    """Nor across larger sideways steps: an error of the tracker."""


def smooth_tracks(
    people: PersonTable,
    time_s: np.ndarray,
    T_world_camera: np.ndarray,
    betas: np.ndarray,
    body: SmplxBody,
    options: OfflineSmoothingOptions | None = None,
) -> PersonTable:
    """Return the table with smooth poses and positions.

    Args:
        people: N rows; the ``unfiltered`` columns are smoothed.
        time_s: ``N`` of each row, seconds.
        T_world_camera: ``N 4 4`` of each row.
        betas: ``N 10`` new shapes; distances follow their sizes.
        body: The people's body.
        options: Windows.
    """
    if len(betas) == 0:
        return people
    options = options or OfflineSmoothingOptions()
    R_world_camera = T_world_camera[:, :3, :3].astype(np.float64)
    orientation, anchor_from_head = _posed(people.unfiltered_rotations, people.unfiltered_betas, body)
    anchor = people.unfiltered_head + anchor_from_head
    distance = np.maximum(np.linalg.norm(anchor, axis=1), 1e-3)
    log_distance = np.log(distance / body_sizes(body, people.unfiltered_betas))
    bearing = np.einsum("nab,nb->na", R_world_camera, anchor / distance[:, None])
    orientation = R_world_camera[:, None] @ orientation
    shown, trust = shown_joints(people.keypoints), trust_in_distances(people.keypoints)
    for rows in _runs(people.person_track, time_s, bearing, distance, options):
        time = time_s[rows]
        bones = _calmed_bones(orientation[rows], shown[rows], time).reshape(len(rows), -1, 9)
        knee, swift = _chord(options.rotation_knee), _chord(options.rotation_swift)
        rotations = robust_lines(bones, time, options.rotation_s, knee, swift)
        orientation[rows] = nearest_rotations(rotations.reshape(-1, NUM_BODY_JOINTS, 3, 3))
        bearing[rows] = robust_lines(bearing[rows, None], time, options.bearing_s, options.bearing_knee)[:, 0]
        log_distance[rows] = _smooth_distance(log_distance[rows], time, trust[rows], options)
    bearing /= np.linalg.norm(bearing, axis=1, keepdims=True)
    orientation = np.swapaxes(R_world_camera, 1, 2)[:, None] @ orientation
    bearing = np.einsum("nba,nb->na", R_world_camera, bearing)
    anchor = bearing * (np.exp(log_distance) * body_sizes(body, betas))[:, None]
    parts = []
    for start in range(0, len(betas), _ROWS_AT_ONCE):
        at = slice(start, start + _ROWS_AT_ONCE)
        parts.append(
            _pose_in_world(orientation[at], anchor[at], betas[at], people.select(at), T_world_camera[at], body)
        )
    parameters = concatenate([part for part, _ in parts])
    return replace(
        people,
        joints_world=np.concatenate([joints for _, joints in parts]),
        **{name: values.numpy() for name, values in vars(parameters).items()},
    )


def _calmed_bones(orientation: np.ndarray, shown: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    local = torch.from_numpy(calmed(to_local_rotations(orientation), shown, time_s))
    return forward_kinematics(local, torch.zeros(*shown.shape, 3, dtype=local.dtype))[0].numpy()


def _smooth_distance(
    log_distance: np.ndarray, time_s: np.ndarray, trust: np.ndarray, options: OfflineSmoothingOptions
) -> np.ndarray:
    """Smooth ``n`` logarithms of distances over sizes, as far as the image stays what it is over shorter times."""
    values = log_distance[:, None, None]
    line = robust_lines(values, time_s, options.distance_s, options.log_distance_knee, trust=trust)[:, 0, 0]
    window_s, knee = _SHORT_SHARE * options.distance_s, _SHORT_SHARE * options.log_distance_knee
    short = robust_lines(values, time_s, window_s, knee, trust=trust)[:, 0, 0]
    limit = options.max_growth / _SPREAD * np.exp(short)
    held = np.clip(line, short - limit, short + limit)
    return robust_lines(held[:, None, None], time_s, window_s, options.log_distance_knee)[:, 0, 0]


def _chord(angle: float) -> float:
    """Return the distance between rotation matrices a small angle apart."""
    return 2**0.5 * angle


def _posed(rotations: np.ndarray, betas: np.ndarray, body: SmplxBody) -> tuple[np.ndarray, np.ndarray]:
    """Return bone orientations ``N 22 3 3`` and the trunk's mean from the head joint ``N 3``, in the camera."""
    orientation, joints = forward_kinematics(torch.from_numpy(np.asarray(rotations)), _bones(body, betas))
    anchor = joints[:, TRUNK_JOINTS].mean(1) - joints[:, Joint.HEAD]
    return orientation.double().numpy(), anchor.double().numpy()


def _bones(body: SmplxBody, betas: np.ndarray) -> torch.Tensor:
    shapes = torch.as_tensor(betas, dtype=torch.float32)
    return bone_vectors(body.rest_joints(shapes, torch.zeros_like(shapes))[:, :NUM_BODY_JOINTS])


def _pose_in_world(
    orientation: np.ndarray,
    anchor: np.ndarray,
    betas: np.ndarray,
    people: PersonTable,
    T_world_camera: np.ndarray,
    body: SmplxBody,
) -> tuple[BodyParameters, np.ndarray]:
    """Return bodies in the camera as SMPL-X parameters and joints in world; hands and faces are those of ``people``."""
    local = to_local_rotations(orientation)
    unmoved = [people.left_hand_pose, people.right_hand_pose, people.jaw_pose[:, None]]
    rotations = np.concatenate([local, rotation_from_axis_angle(torch.from_numpy(np.concatenate(unmoved, 1)))], axis=1)
    _, anchor_from_head = _posed(local.astype(np.float32), betas, body)
    with torch.inference_mode():
        parameters, joints = bodies_in_world(
            torch.from_numpy(rotations).float(),
            torch.from_numpy(anchor - anchor_from_head).float(),
            torch.as_tensor(betas, dtype=torch.float32),
            torch.as_tensor(people.expression, dtype=torch.float32),
            torch.as_tensor(T_world_camera, dtype=torch.float32),
            body,
        )
        return parameters, joints.numpy()


def _runs(
    track: np.ndarray, time_s: np.ndarray, bearing: np.ndarray, distance: np.ndarray, options: OfflineSmoothingOptions
) -> list[np.ndarray]:
    """Return the rows of every stretch of an identity without a gap or a jump, in order of time."""
    runs = []
    for identity in np.unique(track):
        rows = np.flatnonzero(track == identity)
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        aside = np.linalg.norm(np.diff(bearing[rows], axis=0), axis=1) * distance[rows[1:]]
        breaks = (np.diff(time_s[rows]) > options.gap_s) | (aside > options.jump_m)
        runs += [run for run in np.split(rows, np.flatnonzero(breaks) + 1) if len(run) >= _MIN_RUN]
    return runs
