"""Cameras for other tools: ``cameras.json`` (ours), TUM trajectories and COLMAP text models.

Each writer states its convention; everything starts from ``K`` and ``T_world_camera`` of the reconstruction.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from human3r.results.reconstruction import Reconstruction

CAMERAS_SCHEMA = "human3r-cameras/1"


def write_cameras_json(reconstruction: Reconstruction, path: Path) -> None:
    """Write one entry per processed frame with ``K`` (pixels) and ``T_world_camera`` (camera to world, meters)."""
    frames = [
        {
            "frame_index": int(index),
            "time_s": float(time_s),
            "K": np.asarray(K, np.float64).tolist(),
            "T_world_camera": np.asarray(T, np.float64).tolist(),
        }
        for index, time_s, K, T in zip(
            reconstruction.frame_index,
            reconstruction.time_s,
            reconstruction.K,
            reconstruction.T_world_camera,
            strict=True,
        )
    ]
    document = {
        "schema": CAMERAS_SCHEMA,
        "conventions": {
            "T_world_camera": "camera to world; camera axes x right, y down, z forward; world = first camera; meters",
            "K": "pixels of the upright source frame; (0, 0) is the center of the top-left pixel",
            "T_gravity_world": "world to a y-up frame whose floor is y = 0 (estimated)",
        },
        "fps": float(reconstruction.fps),
        "image_size": {"height": int(reconstruction.image_size[0]), "width": int(reconstruction.image_size[1])},
        "T_gravity_world": np.asarray(reconstruction.T_gravity_world, np.float64).tolist(),
        "frames": frames,
    }
    write_text(path, json.dumps(document, indent=1))


def write_tum(reconstruction: Reconstruction, path: Path) -> None:
    """Write ``time tx ty tz qx qy qz qw`` per frame, camera to world, as TUM RGB-D and evo read it."""
    from scipy.spatial.transform import Rotation

    T = reconstruction.T_world_camera.astype(np.float64)
    quats = Rotation.from_matrix(T[:, :3, :3]).as_quat()
    lines = [
        " ".join([f"{time_s:.6f}", *(f"{value:.9g}" for value in (*row[:3, 3], *quat))])
        for time_s, row, quat in zip(reconstruction.time_s, T, quats, strict=True)
    ]
    write_text(path, "\n".join(lines) + "\n")


def write_colmap(reconstruction: Reconstruction, folder: Path) -> list[Path]:
    """Write ``cameras.txt``, ``images.txt`` and ``points3D.txt`` into ``folder``, created if necessary.

    COLMAP stores world to camera, quaternions as wxyz, and its pixel (0.5, 0.5) is the center of the top-left pixel.
    Image names are those of the clip's files, or ``frame_000123.png`` after the index in the source video; images are
    not written.
    """
    from scipy.spatial.transform import Rotation

    folder.mkdir(parents=True, exist_ok=True)
    height, width = (int(side) for side in reconstruction.image_size)
    names = reconstruction.frame_name
    if names is None:
        names = [f"frame_{index:06d}.png" for index in reconstruction.frame_index]
    cameras, images = ["# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy"], ["# IMAGE_ID qw qx qy qz tx ty tz CAMERA_ID NAME"]
    for number, (K, T) in enumerate(zip(reconstruction.K, reconstruction.T_world_camera, strict=True), start=1):
        lens = (K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5)
        cameras.append(f"{number} PINHOLE {width} {height} " + " ".join(f"{value:.9g}" for value in lens))
        T_camera_world = np.linalg.inv(T.astype(np.float64))
        x, y, z, w = Rotation.from_matrix(T_camera_world[:3, :3]).as_quat()
        pose = " ".join(f"{value:.9g}" for value in (w, x, y, z, *T_camera_world[:3, 3]))
        # Every image has a second line of 2D points; ours are empty.
        name = "".join(character if character.isprintable() else "_" for character in names[number - 1])
        images += [f"{number} {pose} {number} {name}", ""]
    points = ["# POINT3D_ID X Y Z R G B ERROR TRACK[]"]
    points += [
        f"{index} {x:.6g} {y:.6g} {z:.6g} {r} {g} {b} 0"
        for index, ((x, y, z), (r, g, b)) in enumerate(
            zip(reconstruction.points_world.tolist(), reconstruction.points_color.tolist(), strict=True), start=1
        )
    ]
    paths = [folder / name for name in ("cameras.txt", "images.txt", "points3D.txt")]
    for path, lines in zip(paths, (cameras, images, points), strict=True):
        write_text(path, "\n".join(lines) + "\n")
    return paths
