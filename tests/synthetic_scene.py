"""A plausible reconstruction without any network: people walk on a floor in front of a wall, the camera drifts.

Tests build results from it; the stand-in body has 55 joints and a few hundred vertices, so that they stay fast.
"""

from __future__ import annotations

import numpy as np
import torch

from human3r.bodies import SmplxBody, from_joint_rotations, to_joint_rotations
from human3r.bodies.base import BodyArrays
from human3r.bodies.placement import head_centered
from human3r.geometry.camera import project
from human3r.geometry.rigid import inverse_transform_points
from human3r.records import BodyParameters, Camera, FramePrediction, People, empty_people
from human3r.results.reconstruction import Reconstruction
from human3r.skeleton import PARENTS
from human3r.surface.keyframes.collecting import Keyframe, encode_jpeg

RING, HEIGHT_M = 8, 1.5


def stand_in_body(*, with_pose_directions: bool = False) -> SmplxBody:
    """Build a body of tubes around a skeleton: every joint is the mean of one ring of vertices."""
    joints = _rest_joints()
    parents = np.array(PARENTS)
    angle = np.arange(RING) * 2 * np.pi / RING
    vertices, weights, faces = [], [], []
    regressor = np.zeros((55, 2 * RING * 55))
    for joint in range(55):
        parent = max(int(parents[joint]), 0)
        start = joints[parent] if joint else joints[0] - (0, 0.1, 0)
        axis = joints[joint] - start
        axis = axis / np.linalg.norm(axis)
        side = np.cross(axis, (0, 0, 1.0) if abs(axis[2]) < 0.9 else (0, 1.0, 0))
        side /= np.linalg.norm(side)
        radius = 0.08 if joint < 16 else 0.04 if joint < 22 else 0.012
        ring = radius * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(axis, side))
        first = len(vertices) * RING
        vertices += [start + ring, joints[joint] + ring]
        regressor[joint, first + RING : first + 2 * RING] = 1 / RING
        for owner in (parent, joint):
            row = np.zeros((RING, 55))
            row[:, owner] = 0.7
            row[:, max(int(parents[owner]), 0)] += 0.3
            weights.append(row)
        for corner in range(RING):
            a, b = first + corner, first + (corner + 1) % RING
            faces += [(a, b, b + RING), (a, b + RING, a + RING)]
    template = np.concatenate(vertices).astype(np.float32)
    generator = np.random.default_rng(0)
    shape = np.zeros((*template.shape, 10), np.float32)
    shape[..., 0] = 0.03 * template
    expression = np.zeros_like(shape)
    # A face moves without its joints, so only rings that no joint is regressed from take part.
    expression[(template[:, 1] > 0.2) & ~regressor.any(axis=0), 2, :3] = 0.005
    pose = generator.normal(0, 2e-3, (*template.shape, 486)).astype(np.float32) if with_pose_directions else None
    return SmplxBody(
        BodyArrays(
            name="stand-in",
            template=template,
            shape_directions=shape,
            expression_directions=expression,
            pose_directions=pose,
            joint_regressor=regressor.astype(np.float32),
            skinning_weights=np.concatenate(weights).astype(np.float32),
            faces=np.array(faces),
            parents=parents,
            landmark_faces=np.zeros(51, np.int64),
            landmark_weights=np.full((51, 3), 1 / 3, np.float32),
        )
    )


def walking_reconstruction(
    body: SmplxBody, num_frames: int = 12, num_people: int = 2, num_points: int = 500, fps: float = 10.0
) -> Reconstruction:
    """Build a clip in which person 1 is always seen and the others vanish for a quarter of the time."""
    T_gravity_world = _tilted_camera()
    T_world_gravity = np.linalg.inv(T_gravity_world)
    time = np.arange(num_frames) / fps
    T_world_camera = np.tile(np.eye(4, dtype=np.float32), (num_frames, 1, 1))
    T_world_camera[:, 0, 3] = 0.4 * time
    T_world_camera[:, 2, 3] = 0.2 * np.sin(time)
    K = np.tile(np.array([[300, 0, 159.5], [0, 300, 119.5], [0, 0, 1]], np.float32), (num_frames, 1, 1))
    rows = [
        (frame, person)
        for frame in range(num_frames)
        for person in range(num_people)
        if person == 0 or not num_frames / 4 <= frame < num_frames / 2
    ]
    frames = np.array([frame for frame, _ in rows], dtype=np.int64)
    tracks = np.array([person + 1 for _, person in rows], dtype=np.int64)
    track_betas = np.linspace(-1, 1, 10 * num_people).reshape(num_people, 10).astype(np.float32)
    parameters = _walk(body, time[frames], tracks - 1, track_betas, T_world_gravity)
    joints = body.joints(parameters).numpy() if rows else np.zeros((0, 55, 3), np.float32)
    points, colors = _room(num_points, T_world_gravity)
    return Reconstruction(
        fps=fps,
        frame_index=np.arange(num_frames),
        time_s=time,
        image_size=np.array([240, 320]),
        K=K,
        T_world_camera=T_world_camera,
        T_gravity_world=T_gravity_world,
        person_frame=frames,
        person_track=tracks,
        person_score=np.full(len(rows), 0.9),
        joints_world=joints,
        joints_image_px=_project(joints, K[frames], T_world_camera[frames]),
        track_id=np.arange(1, num_people + 1),
        track_betas=track_betas,
        points_world=points,
        points_color=colors,
        points_confidence=np.full(num_points, 3.0),
        points_frame=np.arange(num_points) % max(num_frames, 1),
        meta={"model": "none", "body": body.name, "source": "synthetic"},
        **{name: getattr(parameters, name).numpy() for name in BodyParameters.__dataclass_fields__},
    )


def prediction_of(reconstruction: Reconstruction, frame: int, size: tuple[int, int] = (24, 32)) -> FramePrediction:
    """Say about one frame of a reconstruction what a session would: people, camera, a pointmap of floor and wall."""
    rows = np.flatnonzero(reconstruction.person_frame == frame)
    parameters = BodyParameters(
        **{name: torch.from_numpy(getattr(reconstruction, name)[rows]) for name in BodyParameters.__dataclass_fields__}
    )
    people = empty_people()
    if len(rows):
        people = People(
            track_id=torch.from_numpy(reconstruction.person_track[rows]),
            score=torch.from_numpy(reconstruction.person_score[rows]),
            head_uv_px=torch.from_numpy(reconstruction.joints_image_px[rows, 15]),
            joint_rotations=to_joint_rotations(parameters),
            betas=parameters.betas,
            expression=parameters.expression,
            head_camera=torch.from_numpy(reconstruction.joints_world[rows, 15]),
        )
    height, width = (int(side) for side in reconstruction.image_size)
    T_world_camera = reconstruction.T_world_camera[frame].astype(np.float64)
    pointmap, color = _look(reconstruction, frame, size)
    image_rect = (0.0, 0.0, float(width), float(height))
    return FramePrediction(
        frame_index=int(reconstruction.frame_index[frame]),
        time_s=float(reconstruction.time_s[frame]),
        camera=Camera(
            torch.from_numpy(reconstruction.K[frame]), torch.from_numpy(T_world_camera).float(), (height, width)
        ),
        people=people,
        parameters_world=parameters,
        joints_world=torch.from_numpy(reconstruction.joints_world[rows]),
        pointmap_camera=torch.from_numpy(pointmap).float(),
        confidence=torch.full(size, 3.0) + torch.arange(size[0] * size[1]).reshape(size) / 1000,
        person_mask=torch.zeros(size),
        image=torch.from_numpy(color),
        source_rect_px=image_rect,
    )


def slanted_plane(height: int, width: int) -> np.ndarray:
    """Depth of a floor-like plane, 2 m near the lower border, 6 m near the upper."""
    return (1 / np.linspace(1 / 6, 1 / 2, height))[:, None].repeat(width, axis=1).astype(np.float32)


def keyframe_of(reconstruction: Reconstruction, row: int, depth: np.ndarray) -> Keyframe:
    """Return a keyframe whose picture's red and green say where a pixel is."""
    height, width = (int(side) for side in reconstruction.image_size)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = np.linspace(0, 255, height)[:, None]
    rect = (0.0, 0.0, float(width), float(height))
    return Keyframe(int(reconstruction.frame_index[row]), depth.astype(np.float16), rect, encode_jpeg(picture, 98))


def _look(reconstruction: Reconstruction, frame: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Intersect the rays of a small image with the floor y = 0 and the wall z = -6 of the y-up world."""
    T = (reconstruction.T_gravity_world @ reconstruction.T_world_camera[frame]).astype(np.float64)
    K = reconstruction.K[frame]
    rows, columns = np.mgrid[: size[0], : size[1]]
    u = (columns + 0.5) * reconstruction.image_size[1] / size[1] - 0.5
    v = (rows + 0.5) * reconstruction.image_size[0] / size[0] - 0.5
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(size)], axis=-1)
    up = rays @ T[1, :3]
    to_wall = (-6 - T[2, 3]) / (rays @ T[2, :3])
    to_floor = np.where(up < -1e-6, -T[1, 3] / np.minimum(up, -1e-6), np.inf)
    depth = np.minimum(to_wall, to_floor)
    is_floor = to_floor < to_wall
    return rays * depth[..., None], np.where(is_floor[..., None], (190, 180, 160), (90, 110, 90)).astype(np.uint8)


def _rest_joints() -> np.ndarray:
    """A rough standing skeleton in SMPL-X's rest axes: y up, z forward, left = +x; meters, pelvis at the origin."""
    body = {
        0: (0, 0, 0),
        1: (0.07, -0.08, 0),
        2: (-0.07, -0.08, 0),
        3: (0, 0.12, 0),
        4: (0.1, -0.48, 0),
        5: (-0.1, -0.48, 0),
        6: (0, 0.26, 0),
        7: (0.1, -0.88, -0.02),
        8: (-0.1, -0.88, -0.02),
        9: (0, 0.32, 0),
        10: (0.11, -0.93, 0.1),
        11: (-0.11, -0.93, 0.1),
        12: (0, 0.5, 0),
        13: (0.06, 0.44, 0),
        14: (-0.06, 0.44, 0),
        15: (0, 0.6, 0.02),
        16: (0.18, 0.44, 0),
        17: (-0.18, 0.44, 0),
        18: (0.43, 0.4, 0),
        19: (-0.43, 0.4, 0),
        20: (0.68, 0.42, 0),
        21: (-0.68, 0.42, 0),
        22: (0, 0.58, 0.06),
        23: (0.03, 0.66, 0.09),
        24: (-0.03, 0.66, 0.09),
    }
    joints = np.zeros((55, 3))
    for index, position in body.items():
        joints[index] = position
    for first, wrist, sign in ((25, 20, 1), (40, 21, -1)):
        for finger in range(5):
            for part in range(3):
                reach = 0.08 + 0.03 * part
                joints[first + 3 * finger + part] = joints[wrist] + (sign * reach, 0, 0.02 * (finger - 2))
    return joints


def _tilted_camera(height_m: float = HEIGHT_M, tilt_deg: float = 8.0) -> np.ndarray:
    """First camera ``height_m`` above the floor, looking ``tilt_deg`` down; returns T_gravity_world."""
    tilt = np.deg2rad(tilt_deg)
    flip = np.diag([1.0, -1.0, -1.0])
    look_down = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    T = np.eye(4)
    T[:3, :3] = look_down @ flip
    T[1, 3] = height_m
    return T


def _walk(
    body: SmplxBody, time: np.ndarray, person: np.ndarray, track_betas: np.ndarray, T_world_gravity: np.ndarray
) -> BodyParameters:
    """Swing arms and legs while moving sideways 3 to 4 meters in front of the camera."""
    count = len(time)
    phase = 2 * np.pi * time + person
    pose = np.zeros((count, 21, 3))
    for joint, amplitude in ((0, 0.5), (1, -0.5), (3, 0.3), (4, 0.3)):
        pose[:, joint, 0] = amplitude * np.sin(phase) + (0.3 if joint > 2 else 0)
    pose[:, 15, 2], pose[:, 16, 2] = -1.2, 1.2
    pose[:, 15, 1], pose[:, 16, 1] = -0.4 * np.sin(phase), -0.4 * np.sin(phase)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(array, dtype=np.float32))

    zeros = tensor(np.zeros((count, 3)))
    betas = tensor(track_betas[person].reshape(count, 10))
    expression = tensor(0.5 * np.sin(phase)[:, None] * np.eye(10)[0])
    orient = np.tile((0.0, np.pi / 2 + 0.4, 0.0), (count, 1)) * np.where(person % 2, -1, 1)[:, None]
    local = BodyParameters(
        tensor(orient),
        zeros,
        tensor(pose),
        tensor(np.full((count, 15, 3), 0.05)),
        tensor(np.full((count, 15, 3), -0.05)),
        zeros,
        zeros,
        zeros,
        betas,
        expression,
    )
    head_gravity = np.stack(
        [np.where(person % 2, 1.0, -1.0) * (1.2 - 0.8 * time), 1.6 + 0 * time, -3.0 - 0.8 * person], axis=1
    )
    rotations = to_joint_rotations(local)
    rotations[:, 0] = tensor(T_world_gravity[:3, :3]) @ rotations[:, 0]
    head_world = head_gravity @ T_world_gravity[:3, :3].T + T_world_gravity[:3, 3]
    placed = head_centered(body, rotations, tensor(head_world), betas, expression)
    return from_joint_rotations(rotations, betas, expression, placed.transl)


def _project(joints: np.ndarray, K: np.ndarray, T_world_camera: np.ndarray) -> np.ndarray:
    return project(inverse_transform_points(T_world_camera, joints), K)


def _room(count: int, T_world_gravity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A checkered floor and a wall, as points in world."""
    generator = np.random.default_rng(1)
    points = generator.uniform((-3, 0, -6), (3, 2.5, 0), (count, 3))
    on_floor = generator.random(count) < 0.6
    points[on_floor, 1] = 0
    points[~on_floor, 2] = -6
    checker = (np.floor(points[:, 0]) + np.floor(points[:, 2]) + np.floor(points[:, 1])).astype(int) % 2
    colors = np.where(checker[:, None] == 0, (205, 195, 180), (120, 130, 140)).astype(np.uint8)
    colors[~on_floor] = colors[~on_floor] // 2 + np.array((60, 70, 50), np.uint8)
    world = points @ T_world_gravity[:3, :3].T + T_world_gravity[:3, 3]
    return world.astype(np.float32), colors
