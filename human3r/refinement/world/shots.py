"""The shots of a finished clip: cameras with one lens, people and points, joined in one world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from human3r.geometry.camera import project
from human3r.geometry.ground import GroundEvidence, estimate_gravity
from human3r.geometry.rigid import inverse_transform_points, transform_points
from human3r.refinement.world.depth_correction import ViewDepth
from human3r.refinement.world.fit import WorldFit
from human3r.refinement.world.standing import FEET, is_in_image
from human3r.results.person_table import PersonTable
from human3r.skeleton import NUM_BODY_JOINTS, Joint

_NEAR_M = 0.05
"""Smallest depth for projection; nearer joints and those behind the camera are moved to it."""
_STATIC_SHIFT_M, _STATIC_TURN = 0.02, np.deg2rad(0.5)
"""Largest motion of a static camera."""
_PER_FRAME = ("K", "T_world_camera", "time_s", "shot")


@dataclass(frozen=True)
class Cameras:
    """The cameras of T processed frames."""

    K: np.ndarray
    """``T 3 3``"""
    T_world_camera: np.ndarray
    """``T 4 4``"""
    time_s: np.ndarray
    """``T``"""
    shot: np.ndarray
    """``T`` int64."""
    image_size: tuple[int, int]
    """(height, width)"""

    def project(self, joints_world: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Project ``N J 3`` joints, each row with the camera of its frame; returns ``N J 2`` pixels."""
        return project_joints(joints_world, self.K[frames], self.T_world_camera[frames])


def project_joints(joints_world: np.ndarray, K: np.ndarray, T_world_camera: np.ndarray) -> np.ndarray:
    """Project ``N J 3`` joints with one camera per row (``N 3 3``, ``N 4 4``); returns ``N J 2`` pixels."""
    joints_camera = inverse_transform_points(T_world_camera, joints_world)
    joints_camera[..., 2] = np.maximum(joints_camera[..., 2], _NEAR_M)
    return project(joints_camera, K)


@dataclass(frozen=True)
class Shot:
    """Frames between two cuts with their people and points, in a world of their own."""

    cameras: Cameras
    people: PersonTable
    """``person_frame`` counts from the shot's first frame."""
    points: np.ndarray
    """``M 3`` scene."""
    point_frame: np.ndarray
    """``M`` the shot's frame that each point came from."""
    T_gravity_world: np.ndarray
    """``4 4``"""
    contact: np.ndarray
    """``N 2`` probability that the left and right foot touch the ground."""
    fit: WorldFit | None = None
    """The estimate applied to scene and people; None if they are those of the stream."""
    view_depth: ViewDepth | None = None
    """The corrections on which the shot's views agree, besides ``depth_growth``; None without any."""
    depth_growth: np.ndarray = field(default_factory=lambda: np.ones(1))
    """``T``, or ``1`` for all: the scene's depth over that of the stream, by other focal lengths and scales."""

    @property
    def number(self) -> int:
        """Number of the shot in its clip."""
        return int(self.cameras.shot[0])

    def gravity(self) -> np.ndarray:
        """Return a first estimate of ``T_gravity_world`` (``4 4``), from people, scene and camera."""
        joints, T_world_camera = self.people.joints_world, self.cameras.T_world_camera
        return estimate_gravity(
            GroundEvidence(
                camera_rotations=T_world_camera[:, :3, :3].astype(np.float64),
                camera_positions=T_world_camera[:, :3, 3].astype(np.float64),
                points=self.points,
                feet=joints[:, FEET].astype(np.float64),
                spines=(joints[:, Joint.NECK] - joints[:, Joint.PELVIS]).astype(np.float64),
            )
        )

    def joints_in(self, T_gravity_world: np.ndarray) -> np.ndarray:
        """Return the body joints ``N 22 3`` in the y-up frame."""
        joints = self.people.joints_world[:, :NUM_BODY_JOINTS].astype(np.float64)
        return transform_points(T_gravity_world.astype(np.float64), joints)

    def feet_in_image(self) -> np.ndarray:
        """Return ``N 2`` bool: the left or right foot of an observation is in the image."""
        pixels = self.cameras.project(self.people.joints_world[:, FEET], self.people.person_frame)
        return is_in_image(pixels, self.cameras.image_size)

    def positions(self) -> np.ndarray:
        """Return the camera position ``N 3`` of every observation."""
        return self.cameras.T_world_camera[self.people.person_frame, :3, 3].astype(np.float64)


def split(cameras: Cameras, people: PersonTable, points: np.ndarray, point_frame: np.ndarray) -> list[Shot]:
    """Divide a clip into shots, without gravity and contact.

    Args:
        cameras: Of T frames.
        people: Of all frames.
        points: ``M 3``, sorted by shot.
        point_frame: ``M`` frame of each.
    """
    shots = []
    for number in np.unique(cameras.shot):
        rows = np.flatnonzero(cameras.shot == number)
        own = people.select(cameras.shot[people.person_frame] == number)
        is_point = cameras.shot[point_frame] == number
        shots.append(
            Shot(
                replace(cameras, **{name: getattr(cameras, name)[rows] for name in _PER_FRAME}),
                replace(own, person_frame=own.person_frame - rows[0]),
                points[is_point],
                point_frame[is_point] - rows[0],
                np.eye(4),
                np.zeros((len(own), 2)),
            )
        )
    return shots


def settled(of_frames: np.ndarray) -> np.ndarray:
    """Return the values of the second half of a shot's frames, when the stream has seen the most."""
    return of_frames[len(of_frames) // 2 :]


def with_one_scale(shot: Shot, log_scale: np.ndarray) -> Shot:
    """Give depth, points and camera path of a shot the scale of its last frame, when the stream has seen the most.

    Args:
        shot: Of the stream, its points in units of the network's depth.
        log_scale: ``T`` from ``ResultStore.log_scale``.
    """
    known = log_scale[np.isfinite(log_scale)].astype(np.float64)
    if len(known) == 0:
        return shot
    cameras, people = shot.cameras, shot.people
    path = np.exp(known[-1] - known[0]).astype(np.float32)
    T_world_camera = cameras.T_world_camera.copy()
    T_world_camera[:, :3, 3] *= path
    shift = (T_world_camera - cameras.T_world_camera)[people.person_frame, :3, 3]
    return replace(
        shot,
        cameras=replace(cameras, T_world_camera=T_world_camera),
        people=replace(people, transl=people.transl + shift, joints_world=people.joints_world + shift[:, None]),
        points=np.exp(known[-1]) * shot.points,
        depth_growth=np.exp(known[-1] - np.where(np.isfinite(log_scale), log_scale, known[0])),
    )


def with_one_lens(shot: Shot) -> Shot:
    """Give all frames of a shot one focal length: the median of the settled ones.

    People and points move in depth such that their places in the image stay the same. The camera path does not change.
    """
    people, cameras, point_frame = shot.people, shot.cameras, shot.point_frame
    K = cameras.K.copy()
    K[:, 0, 0] = K[:, 1, 1] = np.median(settled(cameras.K[:, 0, 0]))
    growth = (K[:, 0, 0] / cameras.K[:, 0, 0]).astype(np.float64)
    frames, axis = people.person_frame, cameras.T_world_camera[:, :3, 2].astype(np.float64)
    deeper = (growth[frames] - 1) * people.unfiltered_head[:, 2]
    shift = deeper[:, None] * axis[frames]
    moved = replace(
        people,
        transl=(people.transl + shift).astype(np.float32),
        joints_world=(people.joints_world + shift[:, None]).astype(np.float32),
        unfiltered_head=(people.unfiltered_head + deeper[:, None] * np.array([0, 0, 1])).astype(np.float32),
    )
    depth = ((shot.points - cameras.T_world_camera[point_frame, :3, 3]) * axis[point_frame]).sum(1)
    points = shot.points + ((growth[point_frame] - 1) * depth)[:, None] * axis[point_frame]
    return replace(
        shot, cameras=replace(cameras, K=K), people=moved, points=points, depth_growth=shot.depth_growth * growth
    )


def anchor_of(shots: Sequence[Shot]) -> Shot:
    """Return the first shot with people, else the first one; its world is that of the clip."""
    return next((shot for shot in shots if len(shot.people)), shots[0])


def in_world_of(anchor: Shot, shot: Shot) -> tuple[Shot, np.ndarray]:
    """Return a shot in another one's world, and ``T_world_shot``: floors and headings of the first cameras coincide."""
    if shot is anchor:
        return shot, np.eye(4)
    T = np.linalg.inv(anchor.T_gravity_world.astype(np.float64)) @ shot.T_gravity_world.astype(np.float64)
    moved = moved_people(shot.people, T)
    cameras = replace(shot.cameras, T_world_camera=(T @ shot.cameras.T_world_camera).astype(np.float32))
    return replace(shot, cameras=cameras, people=moved, points=transform_points(T, shot.points)), T


def moved_people(people: PersonTable, T: np.ndarray) -> PersonTable:
    """Return people after a rigid motion of the world: ``4 4``, or ``N 4 4`` for each row its own."""
    from scipy.spatial.transform import Rotation

    pelvis = people.joints_world[:, :1]
    turned = Rotation.from_matrix(T[..., :3, :3]) * Rotation.from_rotvec(people.global_orient.reshape(-1, 3))
    return replace(
        people,
        global_orient=turned.as_rotvec().astype(np.float32).reshape(-1, 3),
        # SMPL-X turns about the pelvis at rest, which moves by ``transl`` alone.
        transl=(people.transl + (transform_points(T, pelvis) - pelvis)[:, 0]).astype(np.float32),
        joints_world=transform_points(T, people.joints_world).astype(np.float32),
    )


def join(shots: Sequence[Shot]) -> tuple[Cameras, PersonTable, np.ndarray]:
    """Return cameras, people and points of all shots, in order."""
    first = np.cumsum([0, *(len(shot.cameras.time_s) for shot in shots)])
    cameras = replace(
        shots[0].cameras,
        **{name: np.concatenate([getattr(shot.cameras, name) for shot in shots]) for name in _PER_FRAME},
    )
    people = PersonTable.concatenate(
        [
            replace(shot.people, person_frame=shot.people.person_frame + start)
            for shot, start in zip(shots, first, strict=False)
        ]
    )
    return cameras, people, np.concatenate([shot.points for shot in shots])


def describe_shots(
    shots: Sequence[Shot], T_world_shot: Sequence[np.ndarray], is_card: Sequence[bool]
) -> list[dict[str, object]]:
    """Return the properties of each shot as JSON values; ``shots`` are in their own worlds."""
    entries: list[dict[str, object]] = []
    first_frame = 0
    for shot, T, shows_card in zip(shots, T_world_shot, is_card, strict=True):
        cameras = shot.cameras
        entries.append(
            {
                "first_frame": first_frame,
                "num_frames": len(cameras.time_s),
                "start_s": float(cameras.time_s[0]),
                "T_world_shot": T.tolist(),
                "is_still_card": shows_card,
                "is_static_camera": _is_static(cameras.T_world_camera.astype(np.float64)),
            }
        )
        first_frame += len(cameras.time_s)
    return entries


def _is_static(T_world_camera: np.ndarray) -> bool:
    """Return whether the cameras of a shot, ``n 4 4``, are in one place and look in one direction."""
    shift = np.linalg.norm(T_world_camera[:, :3, 3] - np.median(T_world_camera[:, :3, 3], axis=0), axis=1)
    turn = np.einsum("ba,nbc->nac", T_world_camera[0, :3, :3], T_world_camera[:, :3, :3])
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))
    return bool(shift.max() < _STATIC_SHIFT_M and angle.max() < _STATIC_TURN)
