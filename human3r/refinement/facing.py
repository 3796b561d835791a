"""Decide over a whole track where people who seem to face the camera turn their backs on it, and the reverse.

A figure and its mirror image behind the picture, left and right exchanged, look alike. A detector that imagines a face
on the back of a head, or exchanges the sides, reverses somebody for single frames; nobody turns around as fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from human3r.models.compact.people.lifting.body_points import MIRRORED_JOINTS, MIRRORED_KEYPOINTS
from human3r.refinement.feet.contact import runs
from human3r.refinement.local_lines import local_means, nearest_rotations, robust_lines
from human3r.refinement.world.shots import Cameras
from human3r.results.person_table import PersonTable
from human3r.skeleton import Joint, forward_kinematics, to_local_rotations

FACE, _ANKLES = slice(0, 5), slice(15, 17)
"""Of COCO's keypoints."""
_SAGITTAL = np.diag([-1.0, 1.0, 1.0])
"""Exchanges left and right in the axes of a bone."""
_ACROSS = np.array([1.0, -1.0, -1.0], np.float32)
"""The same for an axis times an angle."""
_LOG_DISTANCE_KNEE, _LOG_DISTANCE_NOISE = 0.1, 0.03
"""Outlier of the logarithm of a distance that counts half, and its least noise."""


@dataclass(frozen=True)
class FacingOptions:
    """Costs of the decision, logarithms of odds. Source: 800 observations of rendered people and their truth.

    Of those who seemed to face the camera a third turned their backs where the face scored below .5, 2 % above .6; of
    those who seemed to turn their backs 6 % did not.
    """

    reversed_front: float = 1.0
    """Of reversing somebody who seems to face the camera with a faint face."""
    faint_face: float = 0.4
    """Mean score of the face's keypoints up to which that applies."""
    by_face: float = 13.0
    """What the score of a face adds, per unit."""
    most: float = 4.0
    """With a clear face."""
    reversed_back: float = 4.0
    """Of reversing somebody who seems to turn the back."""
    profile: float = 0.4
    """Cosine between heading and view, below which reversing means and costs less."""
    turn: float = 2.0
    """Radians per second that cost nothing."""
    turn_sigma: float = 0.7
    """Radians beyond it in one step that cost one, squared."""
    most_turn: float = 8.0
    """Bound of the cost of a step."""
    backward: float = 4.0
    """Of walking backward, at ``walk`` and more."""
    walk: tuple[float, float] = (0.3, 0.9)
    """Speeds of the feet along the view, m/s, less two standard errors, from which people go somewhere and walk for
    certain."""
    walk_s: float = 0.7
    """Standard deviation of the window for that speed."""
    min_walk: int = 18
    """Observations of both feet within two of them on either side; fewer say nothing about their noise."""
    seen_foot: float = 0.3
    """Least score of an ankle."""
    down: float = 0.15
    """Sine of the angle below the horizon from which the direction to the feet gives their distance on level ground."""


def with_steady_facing(
    people: PersonTable, cameras: Cameras, up: np.ndarray, options: FacingOptions | None = None
) -> PersonTable:
    """Return the table with people mirrored, and their keypoints exchanged, where the rest of their track says so.

    Args:
        people: N rows; the ``unfiltered`` columns and keypoints are read and changed.
        cameras: Of their frames.
        up: ``3`` unit vector, world frame.
        options: Costs.
    """
    if len(people) == 0 or not people.keypoints[..., 2].any():
        return people
    options = options or FacingOptions()
    R = cameras.T_world_camera[people.person_frame, :3, :3].astype(np.float64)
    rotations = torch.from_numpy(people.unfiltered_rotations)
    orientation = forward_kinematics(rotations, torch.zeros(*rotations.shape[:2], 3))[0].double().numpy()
    ray = people.unfiltered_head / np.maximum(np.linalg.norm(people.unfiltered_head, axis=1, keepdims=True), 1e-6)
    heading, turned = heading_of(orientation), mirrored(orientation, ray)
    both = np.einsum("nab,nsb->nsa", R, np.stack([heading, heading_of(turned)], axis=1))
    away = (heading * ray).sum(axis=1)
    cost = costs_by_face(away, people.keypoints[:, FACE, 2].mean(axis=1), options)
    distance = np.linalg.norm(people.unfiltered_head, axis=1).astype(np.float64)
    feet, carried = _feet_on_ground(people, cameras, up, options)
    is_reversed = np.zeros(len(people), dtype=bool)
    around = np.full((len(people), 2), -1)
    time_s = cameras.time_s[people.person_frame]
    for rows in runs(people.person_track, time_s):
        walks = _walking(feet[rows], distance[rows], carried[rows], time_s[rows], options)
        walked = options.backward * walks * np.sign(away[rows]) * _clarity(away[rows], options)
        is_reversed[rows] = _best_sequence(both[rows], cost[rows] + walked, np.diff(time_s[rows]), options)
        around[rows[1:-1]] = np.stack([rows[:-2], rows[2:]], axis=1)
    if not is_reversed.any():
        return people
    # Single misread frames are seldom mirror images in everything.
    single = np.flatnonzero(is_reversed & (around >= 0).all(axis=1) & ~is_reversed[around].any(axis=1))
    beside = (R[around[single], None] @ orientation[around[single]]).sum(axis=1)
    between = nearest_rotations(beside + 0.5 * R[single, None] @ turned[single])
    turned[single] = np.swapaxes(R[single], 1, 2)[:, None] @ between
    return _reversed(people, np.flatnonzero(is_reversed), turned)


def heading_of(orientation: np.ndarray) -> np.ndarray:
    """Return the ``N 3`` unit vectors that trunks with bones ``N 22 3 3`` face."""
    heading = orientation[:, [Joint.PELVIS, Joint.SPINE3]][..., 2].sum(axis=1)
    return heading / np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)


def mirrored(orientation: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """Return the bones ``N 22 3 3`` that look the same from the other side: mirror images along ``N 3`` unit rays."""
    mirror = np.eye(3) - 2 * ray[:, :, None] * ray[:, None, :].astype(np.float64)
    return mirror[:, None] @ orientation[:, MIRRORED_JOINTS] @ _SAGITTAL


def costs_by_face(away: np.ndarray, face: np.ndarray, options: FacingOptions) -> np.ndarray:
    """Return what it costs to reverse each of N people.

    Args:
        away: ``N`` cosines between heading and view.
        face: ``N`` mean scores of the face's keypoints.
        options: Costs.
    """
    front = (options.reversed_front + options.by_face * (face - options.faint_face).clip(min=0)).clip(max=options.most)
    return np.where(away < 0, front, options.reversed_back) * _clarity(away, options)


def _feet_on_ground(
    people: PersonTable, cameras: Cameras, up: np.ndarray, options: FacingOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of feet along level ground, and how fast the camera moves toward them.

    Distances that follow from the size of a person in the image change with the pose; these do not.

    Returns:
        ``N`` logarithms of the distance over the height of the camera, NaN where it is not known, and ``N`` m/s.
    """
    position = cameras.T_world_camera[:, None, :3, 3].astype(np.float64)
    if len(position) < options.min_walk:
        return np.full(len(people), np.nan), np.zeros(len(people))
    ankles, frame = people.keypoints[:, _ANKLES].astype(np.float64), people.person_frame
    ray = np.concatenate([ankles[..., :2], np.ones_like(ankles[..., :1])], axis=-1).mean(axis=1)[..., None]
    ray = cameras.T_world_camera[frame, :3, :3] @ np.linalg.inv(cameras.K[frame].astype(np.float64)) @ ray
    ray = ray[..., 0] / np.linalg.norm(ray[..., 0], axis=1, keepdims=True)
    down = -(ray @ up)
    is_known = (down > options.down) & (ankles[..., 2].min(axis=1) >= options.seen_foot)
    along = ray + down[:, None] * up
    length = np.maximum(np.linalg.norm(along, axis=1), 1e-6)
    path = local_means(position, cameras.time_s, options.walk_s, np.ones((len(position), 1)))[:, 0]
    velocity = np.gradient(path, cameras.time_s, axis=0)[frame]
    carried = (velocity * along).sum(axis=1) / length
    return np.where(is_known, np.log(length / np.where(is_known, down, 1.0)), np.nan), carried


def _walking(
    feet: np.ndarray, distance: np.ndarray, carried: np.ndarray, time_s: np.ndarray, options: FacingOptions
) -> np.ndarray:
    """Return ``n`` in [-1, 1]: who certainly walks away from the camera (1) or toward it; people walk forward."""
    is_known, walks = np.isfinite(feet), np.zeros(len(feet))
    feet, distance, known_s = feet[is_known], distance[is_known], time_s[is_known]
    reach_s = 2 * options.walk_s
    count = np.searchsorted(known_s, known_s + reach_s, "right") - np.searchsorted(known_s, known_s - reach_s, "left")
    if len(count) == 0 or count.max() < options.min_walk:
        return walks
    line = robust_lines(feet[:, None, None], known_s, options.walk_s, _LOG_DISTANCE_KNEE)
    noise = local_means((feet[:, None, None] - line) ** 2, known_s, options.walk_s, np.ones((len(feet), 1)))[:, 0, 0]
    error = np.maximum(np.sqrt(noise), _LOG_DISTANCE_NOISE) / (options.walk_s * np.sqrt(count)) * distance
    speed = np.gradient(line[:, 0, 0], known_s) * distance + carried[is_known]
    least, certain = options.walk
    is_walking = ((np.abs(speed) - 2 * error - least) / (certain - least)).clip(0, 1) * (count >= options.min_walk)
    walks[is_known] = is_walking * np.sign(speed)
    return walks


def cost_of_turn(cosine: np.ndarray, step_s: np.ndarray | float, options: FacingOptions) -> np.ndarray:
    """Return the costs of turns, given by the cosines of their angles, in ``step_s`` seconds."""
    beyond = (np.arccos(cosine.clip(-1, 1)) - options.turn * step_s).clip(min=0) / options.turn_sigma
    return (beyond**2).clip(max=options.most_turn)


def _clarity(away: np.ndarray, options: FacingOptions) -> np.ndarray:
    return (np.abs(away) / options.profile).clip(max=1)


def _best_sequence(heading: np.ndarray, cost: np.ndarray, step_s: np.ndarray, options: FacingOptions) -> np.ndarray:
    """Return ``n`` bool, by dynamic programming over ``n 2 3`` headings as seen and reversed."""
    total, before = np.array([0.0, cost[0]]), np.zeros((len(cost), 2), dtype=np.int64)
    for row in range(1, len(cost)):
        sums = total[:, None] + cost_of_turn(heading[row - 1] @ heading[row].T, step_s[row - 1], options)
        before[row] = sums.argmin(axis=0)
        total = sums.min(axis=0) + np.array([0.0, cost[row]])
    states = [int(total.argmin())]
    for row in range(len(cost) - 1, 0, -1):
        states.append(int(before[row, states[-1]]))
    return np.array(states[::-1], dtype=bool)


def _reversed(people: PersonTable, rows: np.ndarray, orientation: np.ndarray) -> PersonTable:
    """Return the table with other bone orientations ``N 22 3 3`` and the sides exchanged in some rows."""
    rotations, keypoints = people.unfiltered_rotations.copy(), people.keypoints.copy()
    rotations[rows] = to_local_rotations(orientation[rows])
    keypoints[rows] = keypoints[rows][:, MIRRORED_KEYPOINTS]
    left, right = people.left_hand_pose.copy(), people.right_hand_pose.copy()
    left[rows], right[rows] = _ACROSS * people.right_hand_pose[rows], _ACROSS * people.left_hand_pose[rows]
    return replace(
        people,
        unfiltered_rotations=rotations.astype(np.float32),
        keypoints=keypoints,
        left_hand_pose=left,
        right_hand_pose=right,
    )
