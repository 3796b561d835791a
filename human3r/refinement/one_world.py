"""Make people, scene and camera path of a shot consistent: gather the evidence and apply the estimate of ``world.fit``.

Scene and camera path are scaled about the shot's first camera, the scene's depth is bent along its rays, and people
move along theirs: no image changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from human3r.bodies import SmplxBody
from human3r.geometry.ground import gravity_transform
from human3r.refinement.feet.contact import contact_from_speed, foot_contact
from human3r.refinement.feet.foot_lock import with_locked_feet
from human3r.refinement.feet.ground_distance import with_distances_from_ground
from human3r.refinement.identity_shapes import scaled_betas, with_shapes
from human3r.refinement.world.depth_correction import bend_basis, depth_factor, pixels_of_grid
from human3r.refinement.world.evidence import ShotEvidence
from human3r.refinement.world.fit import WITNESSES, WorldFit, fit_world
from human3r.refinement.world.shots import Shot
from human3r.refinement.world.standing import SOLE_M, is_standing, lower_sole
from human3r.skeleton import Joint

_MIN_DROP_M = 0.3
"""Feet less than this below the camera are ignored: their rays hardly meet the floor."""

_UNSEEN_WEIGHT = 0.3
"""Weight of feet outside of the image, which are guesses."""


def estimate(shot: Shot, T_gravity_world: np.ndarray, witnesses: tuple[str, ...] = WITNESSES) -> WorldFit | None:
    """Estimate scale, floor and sizes of a shot; None if too few people stand with their feet in the image.

    Args:
        shot: Everything in it.
        T_gravity_world: ``4 4`` first estimate, from ``Shot.gravity``.
        witnesses: See ``world.fit``.
    """
    people = shot.people
    if len(people) == 0:
        return None
    T = T_gravity_world.astype(np.float64)
    joints = shot.joints_in(T)
    _, side = lower_sole(joints)
    rows = np.arange(len(people))
    origin = shot.cameras.T_world_camera[0, :3, 3].astype(np.float64)
    cameras = shot.positions()
    feet = people.joints_world[rows, np.where(side == 0, Joint.LEFT_FOOT, Joint.RIGHT_FOOT)]
    soles = feet.astype(np.float64) - SOLE_M * T[1, :3] - cameras
    is_heard = is_standing(joints) & (-soles @ T[1, :3] > _MIN_DROP_M)
    weight = contact_from_speed(shot, T)[rows, side]
    is_seen = shot.feet_in_image()[rows, side]
    weight *= np.where(is_seen, 1.0, _UNSEEN_WEIGHT)
    identities, identity = np.unique(people.person_track, return_inverse=True)
    T_point_camera = shot.cameras.T_world_camera[shot.point_frame]
    evidence = ShotEvidence(
        soles=soles[is_heard],
        cameras=cameras[is_heard] - origin,
        weight=weight[is_heard],
        is_seen=is_seen[is_heard],
        identity=identity[is_heard],
        num_identities=len(identities),
        points=shot.points - T_point_camera[:, :3, 3],
        point_cameras=T_point_camera[:, :3, 3] - origin,
        point_bends=bend_basis(_point_pixels(shot), shot.cameras.image_size, _point_depth(shot)),
        up=T[1, :3],
        tilt_axes=T[(2, 0), :3],
    )
    return fit_world(evidence, witnesses)


def _point_pixels(shot: Shot) -> np.ndarray:
    """Return ``M 2`` pixels in which the points were seen."""
    return shot.cameras.project(shot.points[:, None], shot.point_frame)[:, 0]


def _point_depth(shot: Shot) -> np.ndarray:
    """Return ``M`` depths at which the points were seen."""
    T_world_camera = shot.cameras.T_world_camera[shot.point_frame].astype(np.float64)
    return ((shot.points - T_world_camera[:, :3, 3]) * T_world_camera[:, :3, 2]).sum(1)


def apply(fit: WorldFit, shot: Shot, body: SmplxBody) -> Shot:
    """Return the shot in the fitted world."""
    cameras, people = shot.cameras, shot.people
    origin = cameras.T_world_camera[0, :3, 3].astype(np.float64)
    T_world_camera = cameras.T_world_camera.copy()
    T_world_camera[:, :3, 3] = origin + np.exp(fit.log_scale) * (cameras.T_world_camera[:, :3, 3] - origin)
    factor = depth_factor(_point_pixels(shot), cameras.image_size, _point_depth(shot), fit.log_scale, fit.bend)
    rays = shot.points - cameras.T_world_camera[shot.point_frame, :3, 3]
    points = T_world_camera[shot.point_frame, :3, 3] + factor[:, None] * rays
    shift = (T_world_camera - cameras.T_world_camera)[people.person_frame, :3, 3]
    people = replace(
        people,
        transl=(people.transl + shift).astype(np.float32),
        joints_world=(people.joints_world + shift[:, None]).astype(np.float32),
    )
    identity = np.unique(people.person_track, return_inverse=True)[1]
    betas = scaled_betas(body, people.betas, np.exp(fit.log_size[identity]))
    people = with_shapes(people, body, T_world_camera[people.person_frame, :3, 3], betas)
    return replace(shot, cameras=replace(cameras, T_world_camera=T_world_camera), people=people, points=points)


def gravity_of(fit: WorldFit, shot: Shot) -> np.ndarray:
    """Return ``T_gravity_world`` (``4 4``) of a fitted shot."""
    T = shot.cameras.T_world_camera[0].astype(np.float64)
    height = fit.height + T[:3, 3] @ fit.up
    return gravity_transform(fit.up, float(height), T[:3, :3], T[:3, 3])


def rescaled(shot: Shot, depth: np.ndarray, crop: tuple[float, float, float, float]) -> np.ndarray:
    """Return depth maps ``T h w`` of the stream, which cover ``crop`` of the source, in the world of the shot."""
    pixels, image_size = pixels_of_grid(depth.shape[1:], crop), shot.cameras.image_size
    rescaled = np.empty(depth.shape, np.float16)
    for row, growth in enumerate(np.broadcast_to(shot.depth_growth, len(depth))):
        seen = growth * depth[row].astype(np.float32)
        if shot.view_depth is not None:
            seen = seen * shot.view_depth.factor_map(row, pixels, seen, image_size).astype(np.float32)
        if shot.fit is not None:
            seen = seen * depth_factor(pixels, image_size, seen, shot.fit.log_scale, shot.fit.bend)
        rescaled[row] = seen.clip(0, np.finfo(np.float16).max)
    return rescaled


def settle(shot: Shot, witnesses: tuple[str, ...], lock_feet: bool, body: SmplxBody | None) -> Shot:
    """Make one shot consistent, and set its gravity and contacts.

    Args:
        shot: Everything in it.
        witnesses: Evidence of the estimate; empty keeps scene and people.
        lock_feet: Keep feet in contact still.
        body: The people's body; without it nothing is moved.
    """
    T_gravity_world = shot.gravity()
    fit = estimate(shot, T_gravity_world, witnesses) if body is not None and witnesses else None
    if fit is not None and body is not None:
        shot = apply(fit, shot, body)
        T_gravity_world = gravity_of(fit, shot)
        shot = with_distances_from_ground(shot, T_gravity_world, body)
    contact = foot_contact(shot, T_gravity_world)
    if fit is not None and lock_feet and body is not None:
        shot, contact = with_locked_feet(shot, T_gravity_world, contact, body)
    return replace(shot, T_gravity_world=T_gravity_world, contact=contact, fit=fit)
