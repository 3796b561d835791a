"""Make ``preview.webp``, the moving picture of the README: an example with its people, and the scene from outside.

PYTHONPATH=. python examples/make_preview.py [SLUG]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

import human3r
from human3r.rendering import OverlayStyle, draw_people, people_of_frame
from human3r.rendering.clip_frames import processed_frames

HERE = Path(__file__).parent
HEIGHT_PX, VIEW_WIDTH_PX = 270, 400
FPS = 10.0
BACKGROUND = (24, 28, 35)
SWING_RAD = 0.55
"""The outside view swings by this angle to either side."""
PERCENTILE = 4
"""The view frames the people, whose outermost joints are left out."""


def look_at(eye: np.ndarray, target: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return ``T_view_world`` of a camera (x right, y down, z forward) that looks from ``eye`` to ``target``."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(down, forward) / np.linalg.norm(np.cross(down, forward))
    T_view_world = np.eye(4)
    T_view_world[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    T_view_world[:3, 3] = -T_view_world[:3, :3] @ eye
    return T_view_world


def draw_points(result: human3r.Reconstruction, T_view_world: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Draw the scene points as small squares, far ones first: ``H W 3`` uint8."""
    points = result.points_world @ T_view_world[:3, :3].T + T_view_world[:3, 3]
    is_ahead = points[:, 2] > 0.3
    points, color = points[is_ahead], result.points_color[is_ahead]
    order = np.argsort(-points[:, 2])
    pixel = np.rint((points[order] / points[order, 2:]) @ K.T).astype(int)
    image = np.full((HEIGHT_PX, VIEW_WIDTH_PX, 3), BACKGROUND, np.uint8)
    for column in (0, 1, 2):
        for row in (0, 1, 2):
            x, y = pixel[:, 0] + column, pixel[:, 1] + row
            is_inside = (x >= 0) & (x < VIEW_WIDTH_PX) & (y >= 0) & (y < HEIGHT_PX)
            image[y[is_inside], x[is_inside]] = color[order][is_inside]
    return image


def main(slug: str) -> None:
    """Draw every frame of the precomputed result and write the picture."""
    result = human3r.Reconstruction.load(HERE / "precomputed" / f"{slug}.npz")
    body = human3r.load_model("compact").body
    faces = body.faces.cpu().numpy()
    joints = result.joints_world.reshape(-1, 3)
    low, high = np.percentile(joints, PERCENTILE, axis=0), np.percentile(joints, 100 - PERCENTILE, axis=0)
    target, radius_m = (low + high) / 2, max(1.2, float(np.linalg.norm(high - low)) / 2)
    down = -result.T_gravity_world[1, :3]
    focal = 1.1 * HEIGHT_PX
    K_view = np.array([[focal, 0, VIEW_WIDTH_PX / 2], [0, focal, HEIGHT_PX / 2], [0, 0, 1.0]])
    backward = result.T_world_camera[0, :3, 3] - target
    backward = (backward - down * (backward @ down)) / np.linalg.norm(backward - down * (backward @ down))
    sideways = np.cross(down, backward)
    pictures = []
    for row, frame in processed_frames(result, HERE / f"{slug}.mp4"):
        people = people_of_frame(result, row, body)
        overlay = Image.fromarray(draw_people(frame, people, result.K[row], faces, OverlayStyle(draw_labels=False)))
        width = round(overlay.width * HEIGHT_PX / overlay.height)
        overlay = np.asarray(overlay.resize((width, HEIGHT_PX), Image.Resampling.LANCZOS))

        angle = 0.1 + SWING_RAD * np.sin(2 * np.pi * row / result.num_frames)
        eye = target + 2.2 * radius_m * (np.cos(angle) * backward + np.sin(angle) * sideways - 0.35 * down)
        T_view_world = look_at(eye, target, down)
        T_view_camera = T_view_world @ result.T_world_camera[row]
        moved = replace(people, vertices_camera=people.vertices_camera @ T_view_camera[:3, :3].T + T_view_camera[:3, 3])
        scene = draw_points(result, T_view_world, K_view)
        view = draw_people(scene, moved, K_view, faces, OverlayStyle(opacity=1.0, draw_labels=False))
        pictures.append(np.concatenate([overlay, view], axis=1))
    path = HERE / "preview.webp"
    iio.imwrite(path, np.stack(pictures), duration=round(1000 / FPS), loop=0, quality=45, method=6)
    print(f"{path}: {len(pictures)} frames, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sports2d_walk_and_flip")
