"""The scene of a finished result on a viser server, which every recording of it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from human3r.exporting.gltf.scene import sheet_glb
from human3r.exporting.motion import build_motion, build_skin
from human3r.exporting.scene_points import PointGroup, points_by_confidence
from human3r.exporting.viewer import scene as viser_scene
from human3r.exporting.viewer.server import close_server, open_server
from human3r.exporting.viewer.tape import BodyPose, TapeFrame
from human3r.exporting.viewer.views import Content, all_views
from human3r.skeleton import NUM_BODY_JOINTS

if TYPE_CHECKING:
    import viser

    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet

MAX_KEYFRAMES = 8
"""Number of cameras that are always visible along the path."""
MIN_TRAVEL_M = 0.5
"""Path length below which no such cameras are shown."""
NUM_POINT_BANDS = 5
"""Points are in nodes of equal size by confidence, so that viewers can hide the least confident ones."""
_MOMENT_POINT_SIZE_M = 0.02
"""Point size that the player starts from in a scene without points of its own."""
CURRENT_CAMERA = "/camera/current"
"""Name of the camera that moves."""


@dataclass(frozen=True)
class FinishedScene:
    """What does not move, and the motion as frames."""

    reconstruction: Reconstruction
    body: SmplxBody
    server: viser.ViserServer
    """Closed: it has the messages of what does not move."""
    facts: dict[str, object]
    """What our player needs to know about the whole scene."""
    frames: list[TapeFrame]
    """Of the whole result, in the y-up world."""


def build_finished(
    reconstruction: Reconstruction,
    body: SmplxBody,
    surface: Sequence[Sheet] = (),
    thumbnails: Mapping[int, np.ndarray] = MappingProxyType({}),
) -> FinishedScene:
    """Build the scene, with the cameras' small pictures (``H W 3`` uint8) by row of the processed frames."""
    server = open_server()
    try:
        viser_scene.set_stage(server)
        frames = _add_people(server, reconstruction, body, thumbnails)
        bands = points_by_confidence(reconstruction, NUM_POINT_BANDS)
        facts = _add_points(server, bands, is_visible=not surface)
        facts["surface"] = _add_surface(server, surface)
        _add_cameras(server, reconstruction, frames, thumbnails)
        height, width = (float(side) for side in reconstruction.image_size)
        facts |= {"fps": round(float(reconstruction.fps), 6), "aspect": width / height}
        facts["shots_s"] = reconstruction.shot_starts_s
        if frames:
            views = all_views(_content(frames, [group.points for band in bands for group in band]))
            viser_scene.set_initial_camera(server, views["world"])
            facts["views"] = {name: view.to_dict() for name, view in views.items()}
        return FinishedScene(reconstruction, body, server, facts, frames)
    finally:
        close_server(server)


def _add_people(
    server: viser.ViserServer, reconstruction: Reconstruction, body: SmplxBody, thumbnails: Mapping[int, np.ndarray]
) -> list[TapeFrame]:
    """Add everyone in the bind pose, and where they walked; return all frames in the y-up world."""
    T = reconstruction.T_gravity_world.astype(np.float64)
    skin = build_skin(body)
    bodies: list[dict[int, BodyPose]] = [{} for _ in range(reconstruction.num_frames)]
    for track in reconstruction.tracks:
        if len(track.frames) == 0:
            continue
        motion = build_motion(reconstruction, track, body)
        viser_scene.add_person(server, track.track_id, motion.rest_vertices, motion.rest_joints, skin)
        quat_wxyz = viser_scene.quat_wxyz_from_rotation(T[:3, :3] @ motion.R_world_joint)
        positions = motion.bones_world @ T[:3, :3].T + T[:3, 3]
        viser_scene.add_trail(server, track.track_id, positions)
        for row, frame in enumerate(track.frames):
            bodies[frame][track.track_id] = BodyPose(quat_wxyz[row], positions[row])
    return [
        TapeFrame(
            time_s=float(reconstruction.time_s[frame] - reconstruction.time_s[0]),
            half_height=float(reconstruction.image_size[0]) / 2 / float(reconstruction.K[frame, 1, 1]),
            T_gravity_camera=T @ reconstruction.T_world_camera[frame],
            bodies=bodies[frame],
            picture=viser_scene.jpeg(thumbnails[frame]) if frame in thumbnails else None,
        )
        for frame in range(reconstruction.num_frames)
    ]


def _add_surface(server: viser.ViserServer, surface: Sequence[Sheet]) -> list[str]:
    """Add the pieces of the scene's surface and return the names of their nodes."""
    for sheet in surface:
        viser_scene.add_surface(server, f"/scene/{sheet.name}", sheet_glb(sheet))
    return [f"/scene/{sheet.name}" for sheet in surface]


def _add_points(server: viser.ViserServer, bands: list[list[PointGroup]], *, is_visible: bool) -> dict[str, object]:
    """Add a node for every band, with its groups in it, and return what the player needs to know about them."""
    sizes_m = [group.size_m for band in bands for group in band]
    middle_m = round(float(np.median(sizes_m)), 3) if sizes_m else _MOMENT_POINT_SIZE_M
    names, nodes = [], []
    for number, band in enumerate(bands, start=1):
        names.append(f"/points/confidence_{number}_of_{len(bands)}")
        server.scene.add_frame(names[-1], show_axes=False, visible=is_visible)
        for index, group in enumerate(band):
            name = f"{names[-1]}/distance_{index}"
            viser_scene.add_points(server, name, group.points, group.colors, group.size_m)
            nodes.append({"name": name, "scale": round(group.size_m / middle_m, 3)})
    return {"point_bands": names, "point_nodes": nodes, "point_size_m": middle_m}


def _add_cameras(
    server: viser.ViserServer,
    reconstruction: Reconstruction,
    frames: list[TapeFrame],
    thumbnails: Mapping[int, np.ndarray],
) -> None:
    """Add the camera path, cameras along it, and the camera that moves, in its first state."""
    if not frames:
        return
    size = int(reconstruction.image_size[0]), int(reconstruction.image_size[1])
    centers = np.array([frame.T_gravity_camera[:3, 3] for frame in frames])
    viser_scene.add_polyline(server, "/camera/path", centers, viser_scene.PATH_COLOR)
    if np.linalg.norm(np.diff(centers, axis=0), axis=1).sum() > MIN_TRAVEL_M:
        keyframes = np.unique(np.linspace(0, len(frames) - 1, min(MAX_KEYFRAMES, len(frames))).round().astype(int))
        for frame in keyframes.tolist():
            viser_scene.add_frustum(
                server,
                f"/camera/keyframes/{frame:05d}",
                reconstruction.K[frame],
                size,
                frames[frame].T_gravity_camera,
                scale_m=0.09,
                image=thumbnails.get(frame),
            )
    viser_scene.add_frustum(
        server,
        CURRENT_CAMERA,
        reconstruction.K[0],
        size,
        frames[0].T_gravity_camera,
        scale_m=0.2,
        color=viser_scene.PATH_COLOR,
        image=thumbnails.get(0),
    )


def _content(frames: list[TapeFrame], points: list[np.ndarray]) -> Content:
    """Return what views should show."""
    bodies = [pose.positions[:NUM_BODY_JOINTS] for frame in frames for pose in frame.bodies.values()]
    return Content(
        people=np.concatenate(bodies) if bodies else np.zeros((0, 3)),
        scene=np.concatenate(points).astype(np.float64) if points else np.zeros((0, 3)),
        T_gravity_camera=np.stack([frame.T_gravity_camera for frame in frames]),
    )
