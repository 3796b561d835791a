"""``scene.rrd``: a recording for the rerun viewer, with the clip's synchronous frames in the camera.

Needs the optional package ``rerun-sdk``. Rerun has no skinning, so every frame holds every person's vertices.
Timelines: ``time``, seconds from the first processed frame, and ``frame``. The root is the y-up world whose floor is y
= 0.
"""

# rerun-sdk is usually not installed where types are checked.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.atomic import whole_or_absent
from human3r.exporting.gltf.scene import sheet_glb
from human3r.geometry.mesh import vertex_normals
from human3r.palette import person_color
from human3r.results.posing import parameters_of_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import rerun

    from human3r.bodies import SmplxBody
    from human3r.exporting.source import ExportSource
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet

_PICTURE_PX = 960
"""Longer side of the clip's pictures."""
_PICTURE_QUALITY = 80
_IMAGE_PLANE_M = 0.4
_POINT_RADIUS_M = 0.01


def write_rrd(source: ExportSource, path: Path) -> None:
    """Write the recording whole or not at all; without the clip the camera has no pictures.

    Raises:
        InputError: The clip cannot be read or does not match the result.
    """
    import rerun

    with whole_or_absent(path) as temporary, rerun.RecordingStream("human3r") as recording:
        recording.save(temporary)
        # The wall clock of the export is meaningless.
        recording.set_log_time_enabled(False)
        recording.set_log_tick_enabled(False)
        reconstruction, body = source.reconstruction, source.body
        _log_scene(recording, reconstruction, source.sheets)
        for track in reconstruction.tracks:
            if len(track.frames):
                _log_person(recording, reconstruction, track.track_id, track.frames, track.observations, body)
        _log_camera(recording, reconstruction)
        _log_pictures(recording, reconstruction, source.clip_frames())


def _set_frame(recording: rerun.RecordingStream, reconstruction: Reconstruction, frame: int) -> None:
    recording.set_time("time", duration=float(reconstruction.time_s[frame] - reconstruction.time_s[0]))
    recording.set_time("frame", sequence=frame)


def _log_scene(recording: rerun.RecordingStream, reconstruction: Reconstruction, surface: Sequence[Sheet]) -> None:
    import rerun

    T = np.asarray(reconstruction.T_gravity_world, dtype=np.float64)
    recording.log("/", rerun.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)
    recording.log("world", rerun.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3]), static=True)
    for sheet in surface:
        glb = rerun.Asset3D(contents=sheet_glb(sheet), media_type="model/gltf-binary")
        recording.log(f"scene/{sheet.name}", glb, static=True)
    if len(reconstruction.points_world) and not surface:
        colors = reconstruction.points_color
        points = rerun.Points3D(reconstruction.points_world, colors=colors, radii=_POINT_RADIUS_M)
        recording.log("world/scene_points", points, static=True)


@torch.inference_mode()
def _log_person(
    recording: rerun.RecordingStream,
    reconstruction: Reconstruction,
    track_id: int,
    frames: np.ndarray,
    rows: np.ndarray,
    body: SmplxBody,
) -> None:
    """Log one identity; it is cleared in frames without an observation."""
    import rerun

    name = f"world/person_{track_id}"
    faces = body.faces.cpu().numpy()
    constant = rerun.Mesh3D.from_fields(triangle_indices=faces, albedo_factor=(*person_color(track_id), 255))
    recording.log(name, constant, static=True)
    for frame, row in zip(frames.tolist(), rows.tolist(), strict=True):
        vertices = body(parameters_of_rows(reconstruction, np.array([row]))).vertices[0].cpu().numpy()
        _set_frame(recording, reconstruction, frame)
        normals = vertex_normals(vertices, faces)
        recording.log(name, rerun.Mesh3D.from_fields(vertex_positions=vertices, vertex_normals=normals))
    seen = set(frames.tolist())
    for frame in range(reconstruction.num_frames):
        if frame not in seen and (frame == 0 or frame - 1 in seen):
            _set_frame(recording, reconstruction, frame)
            recording.log(name, rerun.Clear(recursive=False))


def _log_camera(recording: rerun.RecordingStream, reconstruction: Reconstruction) -> None:
    import rerun

    scale = _picture_scale(reconstruction)
    height, width = (round(float(side) * scale) for side in reconstruction.image_size)
    for frame in range(reconstruction.num_frames):
        _set_frame(recording, reconstruction, frame)
        T = reconstruction.T_world_camera[frame].astype(np.float64)
        K = reconstruction.K[frame].astype(np.float64)
        K[:2] *= scale
        recording.log("world/camera", rerun.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3]))
        pinhole = rerun.Pinhole(
            image_from_camera=K,
            resolution=(width, height),
            camera_xyz=rerun.ViewCoordinates.RDF,
            image_plane_distance=_IMAGE_PLANE_M,
        )
        recording.log("world/camera", pinhole)


def _picture_scale(reconstruction: Reconstruction) -> float:
    return min(1.0, _PICTURE_PX / float(max(reconstruction.image_size)))


def _log_pictures(
    recording: rerun.RecordingStream, reconstruction: Reconstruction, frames: Iterable[tuple[int, np.ndarray]]
) -> None:
    import rerun
    from PIL import Image

    scale = _picture_scale(reconstruction)
    for row, image in frames:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        picture = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
        _set_frame(recording, reconstruction, row)
        recording.log("world/camera", rerun.Image(picture).compress(jpeg_quality=_PICTURE_QUALITY))
