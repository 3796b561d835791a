"""``scene_flythrough.mp4``: the scene from a camera that swings slowly around its people while they move.

Drawn by the built-in rasterizer, frames in parallel: no graphics card is needed, and a frame costs the same everywhere.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from human3r.exporting.scene_points import thinned_points
from human3r.geometry.rigid import transform_points
from human3r.palette import person_color
from human3r.rendering.scene_picture import ShadedMesh, TexturedMesh, draw_scene
from human3r.results.posing import posed_vertices, rows_of_frame
from human3r.skeleton import Joint
from human3r.video.writer import VideoWriter

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.exporting.source import ExportSource
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet
    from human3r.surface.people_colors import PeopleColors

DURATION_S, FPS = 10.0, 20.0
SIZE = (720, 1280)
"""(height, width)"""
_THREADS = 2
_SWING_RAD, _LIFT_RAD = np.deg2rad([22, 7])
"""The camera swings by this to either side of where the clip was filmed from, and rises by at most this."""
_NEARER = 0.1
"""At the middle of the video the distance to the people is less by this share."""
_PATH_SIGMA_S = 1.0
"""People and the filming camera are followed this smoothly."""
_FOV_RAD = 0.75
"""Vertical field of view at least: as much as the clip shows, and a little more."""
_WIDER = 1.25
_MIN_DISTANCE_M, _MIN_HEIGHT_M = 2.5, 0.3
_POINT_SHARE = 0.003
"""Half the side of a point's square over its distance, in scenes without a surface."""
QUALITY = 23


def write_fly_through(source: ExportSource, path: Path) -> None:
    """Write the video, whole or not at all; a clip that is shorter than the video is repeated.

    Raises:
        DiskFullError: The disk is full.
    """
    total = round(DURATION_S * FPS)
    with VideoWriter(path, FPS, QUALITY) as video:
        pictures = fly_through(
            source.reconstruction, source.body, source.sheets, source.worn_colors, total, SIZE, DURATION_S
        )
        for done, picture in enumerate(pictures, start=1):
            video.append(picture)
            source.progress(done, total)


def fly_through(
    reconstruction: Reconstruction,
    body: SmplxBody,
    surface: list[Sheet],
    people_colors: PeopleColors,
    num_frames: int,
    image_size: tuple[int, int],
    duration_s: float,
) -> Iterator[np.ndarray]:
    """Yield the pictures ``H W 3`` uint8 of the whole flight, drawn a few ahead; see ``write_fly_through``."""
    scene = _Scene(reconstruction, body, surface, people_colors, image_size, duration_s)
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = deque()
        try:
            for number in range(num_frames):
                waiting.append(pool.submit(scene.picture, number / max(num_frames - 1, 1)))
                if len(waiting) > 2 * _THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@dataclass(frozen=True)
class _Scene:
    reconstruction: Reconstruction
    body: SmplxBody
    surface: list[Sheet]
    people_colors: PeopleColors
    image_size: tuple[int, int]
    duration_s: float

    @cached_property
    def _meshes(self) -> list[tuple[int, TexturedMesh]]:
        """Shot and mesh of every sheet; without a surface, the points of all shots as flat squares."""
        if not self.surface:
            shots = np.unique(self.reconstruction.shot).tolist()
            return [(shot, self._squares()) for shot in shots if len(self.reconstruction.points_world)]
        return [
            (
                int(sheet.name.split("_")[1]),
                TexturedMesh(sheet.vertices, sheet.faces, sheet.uv, np.asarray(Image.open(io.BytesIO(sheet.texture)))),
            )
            for sheet in self.surface
        ]

    @cached_property
    def _cameras(self) -> np.ndarray:
        """``T 4 4`` filming cameras in the y-up world."""
        return self.reconstruction.T_gravity_world.astype(np.float64) @ self.reconstruction.T_world_camera

    @cached_property
    def _path(self) -> tuple[np.ndarray, np.ndarray]:
        """``T 3`` positions to fly around and ``T 3`` points to look at, smooth over time."""
        result = self.reconstruction
        T = result.T_gravity_world.astype(np.float64)
        pelvis = transform_points(T, result.joints_world[:, Joint.PELVIS].astype(np.float64))
        target = np.full((result.num_frames, 3), np.nan)
        for row in np.unique(result.person_frame):
            target[row] = np.median(pelvis[result.person_frame == row], axis=0)
        is_known = np.isfinite(target[:, 0])
        frames = np.arange(result.num_frames)
        if is_known.any():
            target = np.stack(
                [np.interp(frames, frames[is_known], target[is_known, axis]) for axis in range(3)], axis=1
            )
        else:
            target = self._cameras[:, :3, 3] + self._scene_distance_m * self._cameras[:, :3, 2]
        sigma = max(_PATH_SIGMA_S * result.fps, 1e-3)
        eye, look_at = (
            np.concatenate([gaussian_filter1d(path[rows], sigma, axis=0, mode="nearest") for rows in self._shots])
            for path in (self._cameras[:, :3, 3], target)
        )
        return eye, look_at

    @property
    def _scene_distance_m(self) -> float:
        """Of the middle of the scene from the first camera."""
        if not self._meshes:
            return _MIN_DISTANCE_M
        return float(np.median(np.linalg.norm(self._meshes[0][1].vertices - self._cameras[0, :3, 3], axis=1)))

    def _squares(self) -> TexturedMesh:
        """Return the scene's points as squares that face the first camera."""
        points, colors = thinned_points(self.reconstruction)
        right, down, _ = self._cameras[0, :3, :3].T
        half = _POINT_SHARE * np.linalg.norm(points - self._cameras[0, :3, 3], axis=1)[:, None, None]
        corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])[:, :, None] * np.stack([right, down])
        vertices = points[:, None] + half * corners.sum(axis=1)
        faces = 4 * np.arange(len(points))[:, None, None] + np.array([[0, 1, 2], [0, 2, 3]])
        side = int(np.ceil(np.sqrt(len(points))))
        texture = np.zeros((side * side, 3), np.uint8)
        texture[: len(points)] = colors
        row, column = np.divmod(np.arange(len(points)), side)
        uv = (np.stack([column, row], axis=1) + 0.5) / side
        return TexturedMesh(
            vertices.reshape(-1, 3), faces.reshape(-1, 3), uv.repeat(4, axis=0), texture.reshape(side, side, 3)
        )

    @cached_property
    def _shots(self) -> list[np.ndarray]:
        """Rows of each shot."""
        shot = self.reconstruction.shot
        return [np.flatnonzero(shot == number) for number in np.unique(shot)]

    def picture(self, share: float) -> np.ndarray:
        """Return the picture at a share of the video's length."""
        result = self.reconstruction
        length_s = result.num_frames / result.fps
        row = min(int(share * self.duration_s % length_s * result.fps + 1e-6), result.num_frames - 1)
        shot = int(result.shot[row])
        T_camera_world = np.linalg.inv(self._camera(row, share))
        sheets = [mesh for number, mesh in self._meshes if number == shot]
        return draw_scene([*sheets, *self._people(row)], T_camera_world, self._K(row), self.image_size)

    def _K(self, row: int) -> np.ndarray:
        height, width = self.image_size
        shown = 2 * np.arctan(self.reconstruction.image_size[0] / 2 / self.reconstruction.K[row, 1, 1])
        focal = height / 2 / np.tan(min(max(_WIDER * float(shown), _FOV_RAD), 1.2) / 2)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])

    def _people(self, row: int) -> list[ShadedMesh]:
        result = self.reconstruction
        rows, faces = rows_of_frame(result, row), self.body.faces.cpu().numpy()
        T = result.T_gravity_world.astype(np.float64)
        tracks = result.person_track[rows].tolist()
        return [
            ShadedMesh(
                transform_points(T, vertices.astype(np.float64)),
                faces,
                np.array(self.people_colors.get(track, person_color(track))) / 255,
            )
            for track, vertices in zip(tracks, posed_vertices(result, self.body, rows), strict=True)
        ]

    def _camera(self, row: int, share: float) -> np.ndarray:
        """Return ``4 4``: from the camera of the flight to the y-up world."""
        eye, target = (path[row] for path in self._path)
        outward = eye - target
        distance = max(float(np.linalg.norm(outward)) * (1 - _NEARER * np.sin(np.pi * share) ** 2), _MIN_DISTANCE_M)
        turn, lift = _SWING_RAD * np.sin(2 * np.pi * share), _LIFT_RAD * np.sin(np.pi * share) ** 2
        level = np.hypot(outward[0], outward[2])
        heading = np.arctan2(outward[0], outward[2]) + turn
        rise = np.clip(np.arctan2(outward[1], level) + lift, -1.2, 1.2)
        direction = np.array([np.cos(rise) * np.sin(heading), np.sin(rise), np.cos(rise) * np.cos(heading)])
        position = target + distance * direction
        position[1] = max(position[1], _MIN_HEIGHT_M)
        ahead = (target - position) / np.linalg.norm(target - position)
        right = np.cross(ahead, (0, 1, 0))
        right /= np.linalg.norm(right)
        T = np.eye(4)
        T[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=1)
        T[:3, 3] = position
        return T
