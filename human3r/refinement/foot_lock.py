"""Hold feet still and on the ground while they touch it: the body moves a little, and the legs do the rest.

Both go where the image tells least. The motion of a body is a linear least-squares problem per stretch of frames: its
cost are pixels, against feet that keep their place, and smoothness.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from human3r.bodies import SmplxBody
from human3r.geometry.rigid import transform_points
from human3r.refinement.contact import IN_CONTACT, runs
from human3r.refinement.leg_reach import reach
from human3r.refinement.shots import Shot
from human3r.refinement.standing import FEET, SOLE_M, is_standing, surface_below
from human3r.results.posing import parameters_of_rows
from human3r.skeleton import NUM_BODY_JOINTS, Joint

_PIXEL_SHARE = 0.001
"""Accepted motion in the image, in long sides."""
_LEG_SIGMA_M, _GROUND_SIGMA_M = 0.03, 0.01
"""Of a foot's motion relative to the body, and of its height over the ground."""
_ALONG_RAY_M = 0.1
"""Error of a foot's depth: along its ray it moves freely."""
_FOOT_PIXEL_SHARE = 0.0015
"""As ``_PIXEL_SHARE``, of a foot alone."""
_STANDING_WEIGHT = 0.2
"""Of the ground for the lower foot of people who stand without a foot that surely touches it."""
_RATE_SIGMA, _ACCELERATION_SIGMA = 0.3, 2.0
"""Of the body's correction, meters per second and per second squared."""
_MAX_SURFACE_M = 0.04
"""The ground follows the scene this far from the floor; beyond ``_OTHER_FLOOR_M`` it is another floor."""
_OTHER_FLOOR_M = 0.25
_MAX_REACH_M = 0.15
"""Legs correct at most this much."""
_RELEASE_S = 0.2
"""A foot that leaves the ground, or comes down, sheds its correction in this time."""


def with_locked_feet(shot: Shot, T_gravity_world: np.ndarray, contact: np.ndarray, body: SmplxBody) -> Shot:
    """Return the shot with feet that neither slide nor sink nor float while they are in contact.

    Args:
        shot: In its final world.
        T_gravity_world: ``4 4``; the floor is y = 0.
        contact: ``N 2`` probabilities, from ``foot_contact``.
        body: The people's body.
    """
    people = shot.people
    if len(people) == 0:
        return shot
    T = T_gravity_world.astype(np.float64)
    joints = shot.joints_in(T)
    feet = joints[:, FEET] - np.array([0.0, SOLE_M, 0.0])
    ground = _ground(shot, T, feet)
    metric, foot_metric = _pixel_metrics(shot, T, joints)
    stands = is_standing(joints)
    # Where a foot outside of the image is, the lifter guesses.
    contact = contact * shot.feet_in_image()
    shift, reached = np.zeros((len(people), 3)), np.zeros((len(people), 2, 3))
    for rows in runs(people.person_track, shot.cameras.time_s[people.person_frame]):
        time_s = shot.cameras.time_s[people.person_frame[rows]]
        stretch = _Stretch(
            time_s, feet[rows], ground[rows], contact[rows], metric[rows], foot_metric[rows], stands[rows]
        )
        shift[rows], reached[rows] = stretch.solve()
    return _moved(shot, T, shift, reached, body)


_Equations = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Stretch:
    """One person over n consecutive frames; y-up, meters."""

    time_s: np.ndarray
    feet: np.ndarray
    """``n 2 3`` soles."""
    ground: np.ndarray
    """``n 2`` height under each."""
    contact: np.ndarray
    """``n 2``"""
    metric: np.ndarray
    """``n 3 3`` cost of a motion of the body, in accepted pixels."""
    foot_metric: np.ndarray
    """``n 2 3 3`` the same of a foot."""
    stands: np.ndarray
    """``n`` bool."""

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the motion of the body ``n 3``, and of the feet relative to it ``n 2 3``."""
        from scipy.sparse import coo_array
        from scipy.sparse.linalg import spsolve

        place, count = self._places()
        entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        rhs = np.zeros(3 * (len(self.time_s) + count))
        for rows, columns, values, target in self._equations(place):
            # Normal equations of independent rows, each with few unknowns.
            for i in range(rows.shape[1]):
                for j in range(rows.shape[1]):
                    entries.append((rows[:, i], rows[:, j], columns[:, i] * columns[:, j] * values))
                np.add.at(rhs, rows[:, i], columns[:, i] * values * target)
        i, j, v = (np.concatenate(column) for column in zip(*entries, strict=True))
        size = len(rhs)
        diagonal = np.arange(size)
        system = coo_array(
            (np.concatenate([v, np.full(size, 1e-6)]), (np.r_[i, diagonal], np.r_[j, diagonal])), shape=(size, size)
        )
        solved = np.asarray(spsolve(system.tocsc(), rhs)).reshape(-1, 3)
        return solved[: len(self.time_s)], self._reach(solved, place)

    def _places(self) -> tuple[np.ndarray, int]:
        """Return ``n 2``: the number of the place where a foot rests, -1 without contact; and how many there are."""
        place, count = np.full(self.contact.shape, -1), 0
        for side in range(2):
            touches = self.contact[:, side] > IN_CONTACT
            starts = touches & ~np.concatenate([[False], touches[:-1]])
            number = np.cumsum(starts) - 1 + count
            place[touches, side] = number[touches]
            count += int(starts.sum())
        return place, count

    def _equations(self, place: np.ndarray) -> Iterator[_Equations]:
        """Yield unknowns ``m k``, their coefficients ``m k``, weights ``m`` and targets ``m``."""
        n = len(self.time_s)
        frames = np.arange(n)
        root = np.linalg.cholesky(self.metric + 1e-9 * np.eye(3))
        for axis in range(3):
            yield 3 * frames[:, None] + np.arange(3), root[:, :, axis], np.ones(n), np.zeros(n)
        for side in range(2):
            rows = np.flatnonzero(place[:, side] >= 0)
            at, weight = 3 * (n + place[rows, side]), self.contact[rows, side]
            feet, image = self.feet[rows, side], np.linalg.cholesky(self.foot_metric[rows, side])
            for axis in range(3):
                # The foot on the body comes to its place, and the place to where the image shows the foot.
                unknown = np.stack([3 * rows + axis, at + axis], axis=1)
                yield unknown, np.tile([1.0, -1.0], (len(rows), 1)), weight / _LEG_SIGMA_M**2, -feet[:, axis]
                along = image[:, :, axis]
                yield at[:, None] + np.arange(3), along, weight, (along * feet).sum(1)
            ground = self.ground[rows, side]
            known = np.flatnonzero(np.isfinite(ground))
            heavy = weight[known] / _GROUND_SIGMA_M**2
            yield (at[known] + 1)[:, None], np.ones((len(known), 1)), heavy, ground[known]
        lower = self.feet[:, :, 1].argmin(1)
        off = (self.ground - self.feet[:, :, 1])[frames, lower]
        known = np.flatnonzero(np.isfinite(off) & self.stands & (place < 0).all(1))
        weight = np.full(len(known), _STANDING_WEIGHT / _GROUND_SIGMA_M**2)
        yield (3 * known + 1)[:, None], np.ones((len(known), 1)), weight, off[known]
        step_s = np.maximum(np.diff(self.time_s), 1e-3)
        for axis in range(3):
            unknown = 3 * np.stack([frames[:-1], frames[1:]], axis=1) + axis
            yield unknown, np.tile([-1.0, 1.0], (n - 1, 1)), (_RATE_SIGMA * step_s) ** -2, np.zeros(n - 1)
            if n > 2:
                unknown = 3 * np.stack([frames[:-2], frames[1:-1], frames[2:]], axis=1) + axis
                weight = (_ACCELERATION_SIGMA * step_s[1:] * step_s[:-1]) ** -2
                yield unknown, np.tile([1.0, -2.0, 1.0], (n - 2, 1)), weight, np.zeros(n - 2)

    def _reach(self, solved: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Return what is left for the legs, ``n 2 3``; it fades away from the contacts."""
        n = len(self.time_s)
        reach_m = np.zeros((n, 2, 3))
        for side in range(2):
            rows = np.flatnonzero(place[:, side] >= 0)
            if len(rows) == 0:
                continue
            goal = solved[n + place[rows, side]]
            wanted = goal - self.feet[rows, side] - solved[rows]
            length = np.linalg.norm(wanted, axis=1, keepdims=True)
            wanted *= np.minimum(1.0, _MAX_REACH_M / np.maximum(length, 1e-9))
            nearest = np.abs(self.time_s[:, None] - self.time_s[rows][None]).argmin(1)
            away = np.abs(self.time_s - self.time_s[rows][nearest]) / _RELEASE_S
            fade = np.where(away < 1, 0.5 + 0.5 * np.cos(np.pi * np.minimum(away, 1)), 0.0)
            reach_m[:, side] = fade[:, None] * wanted[nearest]
        return reach_m


def _ground(shot: Shot, T: np.ndarray, feet: np.ndarray) -> np.ndarray:
    """Return the height of the ground under each sole, ``N 2``; NaN where a foot is far from everything."""
    points = transform_points(T, shot.points)
    below = surface_below(points, feet.reshape(-1, 3))
    surface, is_floor = below.height.reshape(-1, 2), below.is_floor.reshape(-1, 2)
    soles = feet[..., 1]
    ground = np.where(is_floor, np.clip(surface, -_MAX_SURFACE_M, _MAX_SURFACE_M), 0.0)
    ground = np.where(np.abs(soles) < _OTHER_FLOOR_M, ground, np.nan)
    is_other = is_floor & (np.abs(surface) > _OTHER_FLOOR_M) & (np.abs(soles - surface) < _OTHER_FLOOR_M)
    return np.where(is_other, surface, ground)


def _pixel_metrics(shot: Shot, T: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``N 3 3`` and ``N 2 3 3``: squared pixels, over the accepted ones, of a motion of body and feet, y-up."""
    people, cameras = shot.people, shot.cameras
    position = shot.positions() @ T[:3, :3].T + T[:3, 3]
    unit_px = max(cameras.image_size)
    focal_px = cameras.K[people.person_frame, 0, 0].astype(np.float64)
    pixels = cameras.project(people.joints_world[:, :NUM_BODY_JOINTS], people.person_frame)
    spread_px = np.linalg.norm(pixels.std(axis=1), axis=1)
    offset = joints[:, Joint.PELVIS] - position
    distance = np.maximum(np.linalg.norm(offset, axis=1), 0.1)
    # Along its ray a body only grows.
    body = _metric(
        offset, focal_px / distance / (_PIXEL_SHARE * unit_px), spread_px / distance / (_PIXEL_SHARE * unit_px)
    )
    offset = joints[:, FEET] - position[:, None]
    distance = np.maximum(np.linalg.norm(offset, axis=-1), 0.1)
    across = focal_px[:, None] / distance / (_FOOT_PIXEL_SHARE * unit_px)
    return body, _metric(offset, across, np.full_like(across, 1 / _ALONG_RAY_M))


def _metric(offset: np.ndarray, across: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Return ``... 3 3`` with root eigenvalues ``across`` and ``along`` the rays ``... 3``."""
    ray = offset / np.maximum(np.linalg.norm(offset, axis=-1, keepdims=True), 1e-6)
    outer = ray[..., :, None] * ray[..., None, :]
    return across[..., None, None] ** 2 * (np.eye(3) - outer) + along[..., None, None] ** 2 * outer


def _moved(shot: Shot, T: np.ndarray, shift: np.ndarray, reach_m: np.ndarray, body: SmplxBody) -> Shot:
    people = shot.people
    shift_world = shift @ T[:3, :3]
    people = replace(
        people,
        transl=(people.transl + shift_world).astype(np.float32),
        joints_world=(people.joints_world + shift_world[:, None]).astype(np.float32),
    )
    people = reach(people, reach_m @ T[:3, :3])
    with torch.inference_mode():
        joints = body.joints(parameters_of_rows(people)).numpy()
    return replace(shot, people=replace(people, joints_world=joints))
