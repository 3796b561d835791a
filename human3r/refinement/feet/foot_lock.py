"""Hold feet still and on the ground while they touch it, as far as the picture allows: bodies shift, legs do the rest.

The motion of a body and its feet is a sparse least-squares problem per stretch of frames; several are solved as one.
What the picture shows costs pixels, so that both go along the camera's rays, and close people, of whom it shows much,
keep their place in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from human3r.bodies import SmplxBody
from human3r.geometry.rigid import transform_points
from human3r.refinement.feet.contact import IN_CONTACT, runs
from human3r.refinement.feet.leg_reach import LEGS, bend_direction, bent, reach
from human3r.refinement.world.shots import Shot
from human3r.refinement.world.standing import FEET, OVERHEAD_M, SOLE_M, is_in_image, is_standing, surface_below
from human3r.results.posing import parameters_of_rows
from human3r.skeleton import NUM_BODY_JOINTS

_PIXEL_SHARE = 0.001
"""Accepted motion of a joint in the image, in long sides."""
_UNSEEN_WEIGHT = 0.1
"""Of pixels outside of the image, where joints are guessed."""
_BODY_WEIGHT = 8.0
"""Joints of trunk and arms count as so many: their errors are correlated."""
_MAX_PIXELS = 4.0
"""A foot that would move farther than so many accepted pixels is not in contact there."""
_MAX_SLIDE_M = 0.006
"""Nor a foot that still slides so far from frame to frame."""
_LOCK_SIGMA_M, _GROUND_SIGMA_M = 0.001, 0.015
"""Of a foot in contact from its place, and of the place's height over the ground."""
_LEG_SIGMA_M, _BODY_SIGMA_M = 0.08, 0.1
"""Of the motion of a foot relative to the body, and of the body: across rays, pixels are stricter."""
_STANDING_WEIGHT = 0.2
"""Of the ground for the lower foot of people who stand without a foot that surely touches it."""
_RATE_SIGMA, _ACCELERATION_SIGMA = 0.3, 2.0
"""Of corrections, meters per second and per second squared."""
_MAX_SURFACE_M = 0.04
"""The ground follows the scene this far from the floor; beyond ``_OTHER_FLOOR_M`` it is another floor."""
_OTHER_FLOOR_M = 0.25
_NUM_STEPS, _NUM_PASSES = 3, 5
_ROWS_AT_ONCE = 2000
"""Of several stretches that are solved as one: bounds the memory."""
_STEP_M = 0.005
"""Of the numeric derivatives of legs."""
_TRUNK_AND_ARMS = [0, 3, 6, 9, *range(12, NUM_BODY_JOINTS)]


def with_locked_feet(
    shot: Shot, T_gravity_world: np.ndarray, contact: np.ndarray, body: SmplxBody
) -> tuple[Shot, np.ndarray]:
    """Return the shot with feet that neither slide nor sink nor float in contact, and the contacts ``N 2`` that hold.

    Args:
        shot: In its final world.
        T_gravity_world: ``4 4``; the floor is y = 0.
        contact: ``N 2`` probabilities, from ``foot_contact``.
        body: The people's body.
    """
    people = shot.people
    if len(people) == 0:
        return shot, contact
    T = T_gravity_world.astype(np.float64)
    joints = shot.joints_in(T)
    ground = _ground(shot, T, joints[:, FEET] - np.array([0.0, SOLE_M, 0.0]))
    slopes, stands, bends = _pixel_slopes(shot, T), is_standing(joints), bend_direction(people) @ T[:3, :3].T
    shift, motion, contact = np.zeros((len(people), 3)), np.zeros((len(people), 2, 3)), contact.copy()
    time_s = shot.cameras.time_s[people.person_frame]
    for some in _batches(runs(people.person_track, time_s)):
        rows, number = np.concatenate(some), np.repeat(np.arange(len(some)), [len(each) for each in some])
        everything = (time_s, joints, slopes, bends, ground, contact, stands)
        stretches = _Stretches(number, *(values[rows] for values in everything))
        contact[rows], shift[rows], motion[rows] = stretches.without_false_contacts()
    return _moved(shot, T, shift, motion, body), contact


def _batches(stretches: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Divide stretches of rows into lists of at most ``_ROWS_AT_ONCE`` rows, or one stretch."""
    batch: list[np.ndarray] = []
    for rows in stretches:
        if batch and sum(map(len, batch)) + len(rows) > _ROWS_AT_ONCE:
            yield batch
            batch = []
        batch.append(rows)
    yield batch


_Equations = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Stretches:
    """People over n frames, each stretch one person over consecutive frames; y-up, meters."""

    number: np.ndarray
    """``n`` ascending, of the stretch."""
    time_s: np.ndarray
    joints: np.ndarray
    """``n 22 3``"""
    slopes: np.ndarray
    """``n 22 2 3`` accepted pixels per meter of each joint."""
    bends: np.ndarray
    """``n 2 3`` from ``bend_direction``."""
    ground: np.ndarray
    """``n 2`` height under each sole."""
    contact: np.ndarray
    """``n 2``"""
    stands: np.ndarray
    """``n`` bool."""

    def without_false_contacts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the contacts and what ``solve`` says to them: none moves a foot too far in the image or the leg."""
        shift, motion, contact = np.zeros_like(self.joints[:, 0]), np.zeros_like(self.bends), self.contact.copy()
        rows = np.arange(len(contact))
        for left in reversed(range(_NUM_PASSES + 1)):
            part = replace(self._select(rows), contact=contact[rows])
            shift[rows], motion[rows] = part.solve()
            is_false = part._false_contacts(shift[rows], motion[rows])
            if left == 0 or not is_false.any():
                break
            contact[rows] = np.where(is_false, IN_CONTACT, part.contact)
            rows = np.flatnonzero(np.isin(self.number, part.number[is_false.any(axis=1)]))
        return contact, shift, motion

    def _select(self, rows: np.ndarray) -> _Stretches:
        return _Stretches(*(getattr(self, field.name)[rows] for field in fields(self)))

    def _false_contacts(self, shift: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """Return ``n 2`` bool: contacts that a solution moves too far."""
        moved = np.stack([shift + self._leg(side, motion[:, side])[1] for side in range(2)], axis=1)
        pixels = np.linalg.norm(np.einsum("nsij,nsj->nsi", self.slopes[:, FEET], moved), axis=-1)
        touches = self.contact > IN_CONTACT
        is_false = touches & (pixels > _MAX_PIXELS)
        step_m = np.linalg.norm(np.diff(self.joints[:, FEET] + moved, axis=0), axis=-1)
        is_false[1:] |= touches[1:] & touches[:-1] & self._follows[:, None] & (step_m > _MAX_SLIDE_M)
        return is_false

    @property
    def _follows(self) -> np.ndarray:
        """``n - 1`` bool: a frame and the one before are of one stretch."""
        return self.number[1:] == self.number[:-1]

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the motion of the body ``n 3``, and of the feet relative to it ``n 2 3``."""
        from scipy.sparse import coo_array, eye_array
        from scipy.sparse.linalg import splu

        n = len(self.time_s)
        place, count = self._places()
        motion = np.zeros((n, 2, 3))
        size = 9 * n + 3 * count
        order = _in_time(place, count)
        solved, smoothness = np.zeros(size), list(self._smoothness())
        for _ in range(_NUM_STEPS):
            parts = [*self._equations(place, motion), *smoothness]
            starts = np.cumsum([0, *(len(target) for *_, target in parts)])
            rows = [np.repeat(np.arange(s, s + len(c)), c.shape[1]) for s, (c, *_) in zip(starts, parts, strict=False)]
            columns = [columns.ravel() for columns, *_ in parts]
            values = [(slope * np.sqrt(weight)[:, None]).ravel() for _, slope, weight, _ in parts]
            target = np.concatenate([np.sqrt(weight) * target for *_, weight, target in parts])
            indices = np.concatenate(rows), np.concatenate(columns)
            matrix = coo_array((np.concatenate(values), indices), shape=(starts[-1], size)).tocsc()
            normal = (matrix.T @ matrix + 1e-6 * eye_array(size)).tocsc()[order][:, order]
            solved[order] = splu(normal, "NATURAL", 0.0, options={"SymmetricMode": True}).solve(
                (matrix.T @ target)[order]
            )
            motion = solved[: 9 * n].reshape(n, 3, 3)[:, 1:]
        return solved[: 9 * n].reshape(n, 3, 3)[:, 0], motion

    def _places(self) -> tuple[np.ndarray, int]:
        """Return ``n 2``: the number of the place where a foot rests, -1 without contact; and how many there are."""
        place, count = np.full(self.contact.shape, -1), 0
        for side in range(2):
            touches = self.contact[:, side] > IN_CONTACT
            starts = touches & ~np.concatenate([[False], touches[:-1] & self._follows])
            number = np.cumsum(starts) - 1 + count
            place[touches, side] = number[touches]
            count += int(starts.sum())
        return place, count

    def _leg(self, side: int, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far knee and ankle go, ``n 3`` each, where the ankle shall go ``motion``; the hip rests."""
        hip, knee, ankle = (self.joints[:, joint] for joint in LEGS[side])
        new_knee, new_ankle = bent(hip, knee, ankle, motion, self.bends[:, side])
        return new_knee - knee, new_ankle - ankle

    def _equations(self, place: np.ndarray, motion: np.ndarray) -> Iterator[_Equations]:
        """Yield unknowns ``m k``, their coefficients ``m k``, weights ``m`` and targets ``m``.

        Unknown are, per frame, the motion of the body and those of the feet relative to it, then the places.
        """
        n = len(self.time_s)
        frames = np.arange(n)
        count = len(_TRUNK_AND_ARMS)
        body = self.slopes[:, _TRUNK_AND_ARMS].reshape(-1, 3)
        yield _axes(np.repeat(9 * frames, 2 * count)), body, np.full(len(body), _BODY_WEIGHT / count), 0 * body[:, 0]
        lower = self.joints[:, FEET, 1].argmin(axis=1)
        for side in range(2):
            unknown = np.concatenate([_axes(9 * frames), _axes(9 * frames + 3 + 3 * side)], axis=1)
            knee, ankle = self._leg(side, motion[:, side])
            moved = [self._leg(side, motion[:, side] + step) for step in _STEP_M * np.eye(3)]
            slopes = [np.stack([(m[j] - at) / _STEP_M for m in moved], axis=-1) for j, at in enumerate((knee, ankle))]
            offsets = [
                at - np.einsum("nij,nj->ni", slope, motion[:, side])
                for slope, at in zip(slopes, (knee, ankle), strict=True)
            ]
            for joint, part in ((LEGS[side][1], 0), (LEGS[side][2], 1), (FEET[side], 1)):
                image = self.slopes[:, joint]
                row = np.concatenate([image, image @ slopes[part]], axis=2).reshape(-1, 6)
                target = -np.einsum("nij,nj->ni", image, offsets[part]).ravel()
                yield np.repeat(unknown, 2, axis=0), row, np.ones(len(row)), target
            rows = np.flatnonzero(place[:, side] >= 0)
            at, weight = 9 * n + 3 * place[rows, side], self.contact[rows, side]
            sole = self.joints[:, FEET[side]] - np.array([0.0, SOLE_M, 0.0]) + offsets[1]
            for axis in range(3):
                foot = np.concatenate([np.tile(np.eye(3)[axis], (n, 1)), slopes[1][:, axis]], axis=1)
                row = np.concatenate([foot[rows], np.full((len(rows), 1), -1.0)], axis=1)
                columns = np.concatenate([unknown[rows], (at + axis)[:, None]], axis=1)
                yield columns, row, weight / _LOCK_SIGMA_M**2, -sole[rows, axis]
            weight = np.where(place[:, side] >= 0, self.contact[:, side], 0.0)
            weight[self.stands & (lower == side) & (place < 0).all(1)] = _STANDING_WEIGHT
            rows = np.flatnonzero(np.isfinite(self.ground[:, side]) & (weight > 0))
            height = np.concatenate([np.tile([0.0, 1.0, 0.0], (n, 1)), slopes[1][:, 1]], axis=1)[rows]
            yield unknown[rows], height, weight[rows] / _GROUND_SIGMA_M**2, (self.ground[:, side] - sole[:, 1])[rows]

    def _smoothness(self) -> Iterator[_Equations]:
        """Yield the equations that keep corrections small and smooth."""
        n = len(self.time_s)
        frames = 9 * np.arange(n)[:, None]
        step_s, two = np.maximum(np.diff(self.time_s), 1e-3), self._follows
        three = two[1:] & two[:-1]
        pairs = np.concatenate([frames[:-1], frames[1:]], axis=1)[two]
        triples = np.concatenate([frames[:-2], frames[1:-1], frames[2:]], axis=1)[three]
        rate = (_RATE_SIGMA * step_s[two]) ** -2
        acceleration = (_ACCELERATION_SIGMA * step_s[1:] * step_s[:-1])[three] ** -2
        for unknown in range(9):
            sigma = _BODY_SIGMA_M if unknown < 3 else _LEG_SIGMA_M
            yield frames + unknown, np.ones((n, 1)), np.full(n, sigma**-2), np.zeros(n)
            yield pairs + unknown, np.tile([-1.0, 1.0], (len(pairs), 1)), rate, np.zeros(len(pairs))
            yield triples + unknown, np.tile([1.0, -2.0, 1.0], (len(triples), 1)), acceleration, np.zeros(len(triples))


def _axes(first: np.ndarray) -> np.ndarray:
    """Return ``m 3`` unknowns that begin at ``first``."""
    return first[:, None] + np.arange(3)


def _ground(shot: Shot, T: np.ndarray, feet: np.ndarray) -> np.ndarray:
    """Return the height of the ground under each sole, ``N 2``; NaN where a foot is far from everything."""
    points = transform_points(T, shot.points)
    below = surface_below(points, feet.reshape(-1, 3), OVERHEAD_M)
    surface, is_floor = below.height.reshape(-1, 2), below.is_floor.reshape(-1, 2)
    soles = feet[..., 1]
    ground = np.where(is_floor, np.clip(surface, -_MAX_SURFACE_M, _MAX_SURFACE_M), 0.0)
    ground = np.where(np.abs(soles) < _OTHER_FLOOR_M, ground, np.nan)
    is_other = is_floor & (np.abs(surface) > _OTHER_FLOOR_M) & (np.abs(soles - surface) < _OTHER_FLOOR_M)
    return np.where(is_other, surface, ground)


def _pixel_slopes(shot: Shot, T: np.ndarray) -> np.ndarray:
    """Return ``N 22 2 3``: accepted pixels per meter, y-up, of every joint."""
    people, cameras = shot.people, shot.cameras
    R = cameras.T_world_camera[people.person_frame, :3, :3].astype(np.float64)
    offset = people.joints_world[:, :NUM_BODY_JOINTS] - shot.positions()[:, None]
    x, y, z = np.moveaxis(np.einsum("nba,njb->nja", R, offset), -1, 0)
    z = np.maximum(z, 0.1)
    zero = np.zeros_like(z)
    focal_px = cameras.K[people.person_frame, 0, 0].astype(np.float64)[:, None, None, None]
    slopes = np.stack([np.stack([1 / z, zero, -x / z**2], -1), np.stack([zero, 1 / z, -y / z**2], -1)], axis=-2)
    slopes = focal_px * slopes @ np.swapaxes(R, 1, 2)[:, None] @ T[:3, :3].T
    pixels = cameras.project(people.joints_world[:, :NUM_BODY_JOINTS], people.person_frame)
    weight = np.where(is_in_image(pixels, cameras.image_size), 1.0, _UNSEEN_WEIGHT)
    return slopes * weight[..., None, None] / (_PIXEL_SHARE * max(cameras.image_size))


def _moved(shot: Shot, T: np.ndarray, shift: np.ndarray, motion: np.ndarray, body: SmplxBody) -> Shot:
    people = shot.people
    shift_world = shift @ T[:3, :3]
    people = replace(
        people,
        transl=(people.transl + shift_world).astype(np.float32),
        joints_world=(people.joints_world + shift_world[:, None]).astype(np.float32),
    )
    people = reach(people, motion @ T[:3, :3])
    with torch.inference_mode():
        joints = body.joints(parameters_of_rows(people)).numpy()
    return replace(shot, people=replace(people, joints_world=joints))


def _in_time(place: np.ndarray, count: int) -> np.ndarray:
    """Return the unknowns in the order of time, a place after its last frame: their system is a narrow band.

    Solved in another order it fills with the square of the number of frames: 8 GB for 6000 frames.
    """
    last = np.zeros(count)
    frame, side = np.nonzero(place >= 0)
    np.maximum.at(last, place[frame, side], frame + 0.5)
    return np.argsort(np.concatenate([np.repeat(np.arange(len(place)), 9), np.repeat(last, 3)]), kind="stable")
