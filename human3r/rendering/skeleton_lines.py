"""The people of one frame as lines in image coordinates, to be drawn elsewhere, such as on a page."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from human3r.geometry.camera import project
from human3r.geometry.rigid import invert_rigid
from human3r.palette import person_color
from human3r.records import FramePrediction
from human3r.rendering.rasterizer import NEAR_M
from human3r.skeleton import BODY_PARENTS, NUM_BODY_JOINTS


@dataclass(frozen=True)
class SkeletonLines:
    """One person."""

    track_id: int
    color: tuple[int, int, int]
    """sRGB, 0 to 255."""
    lines: list[list[float]]
    """(x0, y0, x1, y1) per bone, shares of the picture's width and height."""


def skeleton_lines(prediction: FramePrediction) -> list[SkeletonLines]:
    """Return the bones of all people in a frame, without those behind the camera."""
    height, width = prediction.camera.image_size
    T_camera_world = invert_rigid(prediction.camera.T_world_camera)
    joints = prediction.joints_world[:, :NUM_BODY_JOINTS] @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    pixels = project(joints, prediction.camera.K)
    shares = (pixels + 0.5) / torch.tensor([width, height])
    people = []
    for track, rows, depth in zip(prediction.people.track_id.tolist(), shares.tolist(), joints[..., 2], strict=True):
        bones = [
            [round(value, 4) for value in (*rows[parent], *rows[joint])]
            for joint, parent in enumerate(BODY_PARENTS)
            if parent >= 0 and min(float(depth[parent]), float(depth[joint])) > NEAR_M
        ]
        people.append(SkeletonLines(track, person_color(track), bones))
    return people
