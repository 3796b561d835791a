"""Distances of people from the ground under their feet.

The picture gives a person's distance only by their size, with an error of some percent that lasts for a second or so.
Feet that rest on the ground give it, too: a sole that seems to hang over it is farther away. People move along their
rays and keep their size, as far as the image allows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from human3r.bodies import SmplxBody
from human3r.geometry.rigid import transform_points
from human3r.refinement.feet.contact import contact_from_speed, runs
from human3r.refinement.identity_shapes import body_sizes, with_shapes
from human3r.refinement.local_lines import local_means
from human3r.refinement.world.shots import Shot
from human3r.refinement.world.standing import OVERHEAD_M, is_standing, lower_sole, surface_below
from human3r.skeleton import TRUNK_JOINTS

_DISTANCE_SIGMA = 0.05
"""Logarithmic error of a distance."""
_HEIGHT_SIGMA_M, _KNEE_M = 0.06, 0.4
"""Of a sole that rests, over the ground, and the height that counts a quarter: steps, roofs, lifted feet are higher."""
_WINDOW_S = 0.3
_SCENE_SHARE = 0.8
"""Of the scene in the height of the ground, where there is one: the rest is the floor's, that of all feet."""
_MAX_GROWTH = 0.01
"""Largest change of the logarithm of the distance, times the body's size over its distance: joints move by .003 radians
in the image, as far as by smoothing."""


def with_distances_from_ground(shot: Shot, T_gravity_world: np.ndarray, body: SmplxBody) -> Shot:
    """Return the shot with people at distances at which their resting feet are on the ground.

    Args:
        shot: In its final world.
        T_gravity_world: ``4 4``; the floor is y = 0.
        body: The people's body.
    """
    people, T = shot.people, T_gravity_world.astype(np.float64)
    joints, rows = shot.joints_in(T), np.arange(len(people))
    soles, side = lower_sole(joints)
    below = surface_below(transform_points(T, shot.points), soles, OVERHEAD_M)
    to_trunk = joints[:, TRUNK_JOINTS].mean(1) - transform_points(T, shot.positions())
    gap, drop = soles[:, 1] - np.where(below.is_floor, _SCENE_SHARE * below.height, 0.0), -to_trunk[:, 1]
    is_heard = is_standing(joints) & shot.feet_in_image()[rows, side]
    weight = np.where(is_heard, contact_from_speed(shot, T)[rows, side], 0.0) / (1 + (gap / _KNEE_M) ** 2) ** 2
    # Somebody farther away by a logarithm of one is lower by the drop, of which there is none at the camera's height.
    weight *= (_DISTANCE_SIGMA / _HEIGHT_SIGMA_M) ** 2
    log_distance = np.zeros(len(people))
    for run in runs(people.person_track, shot.cameras.time_s[people.person_frame]):
        time_s, every = shot.cameras.time_s[people.person_frame[run]], np.ones((len(run), 1))
        evidence = np.stack([weight[run] * gap[run] * drop[run], weight[run] * drop[run] ** 2], axis=1)[:, None]
        pull, precision = local_means(evidence, time_s, _WINDOW_S, every)[:, 0].T
        log_distance[run] = pull / (1 + precision)
    most = _MAX_GROWTH * np.linalg.norm(to_trunk, axis=1) / body_sizes(body, people.betas)
    moved = with_shapes(people, body, shot.positions(), people.betas, log_distance.clip(-most, most))
    return replace(shot, people=moved)
