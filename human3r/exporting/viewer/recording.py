"""A finished result for viser's client: ``scene.viser`` for any viser client, and the scene and page of our player.

``scene.viser`` holds everything as viser's own timed messages. The player's scene is a recording of what does not move,
with the motion tape in its last message; ``scene.html`` embeds it in viser's client with the player, and opens from
disk without a network. Each person has one shape, the track's.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.atomic import write_bytes, write_text
from human3r.errors import InputError
from human3r.exporting.gltf.scene import sheet_glb
from human3r.exporting.motion import build_motion, build_skin
from human3r.exporting.scene_points import PointGroup, points_by_confidence
from human3r.exporting.viewer import scene as viser_scene
from human3r.exporting.viewer.moments import coarsened
from human3r.exporting.viewer.player import player_page
from human3r.exporting.viewer.server import close_server, open_server
from human3r.exporting.viewer.tape import BodyPose, TapeFrame, TapeWriter, send_chunk
from human3r.exporting.viewer.views import Content, all_views
from human3r.rendering.clip_frames import processed_frames
from human3r.skeleton import NUM_BODY_JOINTS

if TYPE_CHECKING:
    import viser

    from human3r.bodies import SmplxBody
    from human3r.exporting.source import ExportSource
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet
    from human3r.surface.people_colors import PeopleColors

PLAYER_SCENE_NAME = "player.viser"
"""The player's scene in the folder of a result that a page shows."""
MAX_KEYFRAMES = 8
"""Number of cameras that are always visible along the path."""
MIN_TRAVEL_M = 0.5
"""Path length below which no such cameras are shown."""
MAX_MOVING_THUMBNAILS = 300
"""Longer clips show every second, third, ... picture in the moving camera, so that files stay small."""
MAX_EMBEDDED_MOMENTS_BYTES = 3_000_000
"""Size above which points of single frames are embedded in the HTML file on coarser grids."""
NUM_POINT_BANDS = 5
"""Points are in nodes of equal size by confidence, so that viewers can hide the least confident ones."""
_MOMENT_POINT_SIZE_M = 0.02
"""Point size that the player starts from in a scene without points of its own."""
_CURRENT = "/camera/current"
_MIN_FRAME_S = 1e-3


def write_viser(source: ExportSource, path: Path) -> None:
    """Write the recording for viser clients, whole or not at all; with the clip, the cameras show its pictures."""
    write_bytes(path, record(source.reconstruction, source.body, clip=source.clip, surface=source.sheets))


def write_player_scene(
    reconstruction: Reconstruction,
    path: Path,
    body: SmplxBody,
    *,
    clip: Path | None = None,
    surface: Sequence[Sheet] = (),
    people_colors: PeopleColors | None = None,
) -> None:
    """Write the scene of our player, whole or not at all; with the clip, the cameras show its pictures."""
    scene = player_scene(reconstruction, body, clip=clip, surface=surface, people_colors=people_colors)
    write_bytes(path, scene)


def write_html(source: ExportSource, path: Path) -> None:
    """Write the self-contained page, whole or not at all; points of single frames are coarser where they are many."""
    moments = coarsened(source.moments.read_bytes(), MAX_EMBEDDED_MOMENTS_BYTES) if source.moments else None
    scene = player_scene(
        source.reconstruction,
        source.body,
        clip=source.clip,
        surface=source.sheets,
        people_colors=source.people_colors,
        people_wear=source.people_wear,
    )
    write_text(path, html_page(scene, moments=moments))


def html_page(scene: bytes, *, moments: bytes | None = None) -> str:
    """Embed a scene of our player, and a ``moments.bin`` of the same result, in its page: one file, all inclusive."""
    extra = f'window.__H3R_MOMENTS__="{base64.b64encode(moments).decode("ascii")}";' if moments else ""
    embedded = base64.b64encode(scene).decode("ascii")
    return player_page(f'<script>window.__VISER_EMBED_DATA__="{embedded}";{extra}</script>')


def record(
    reconstruction: Reconstruction, body: SmplxBody, *, clip: Path | None = None, surface: Sequence[Sheet] = ()
) -> bytes:
    """Return the scene with its motion as timed messages of viser: the bytes of a ``.viser`` file."""
    with _built(reconstruction, body, clip, surface) as (server, _, frames):
        recorder = viser_scene.Recorder(server)
        durations = np.append(np.diff(reconstruction.time_s), 1.0 / reconstruction.fps)
        present: dict[int, bool] = {}
        everyone = sorted({track for frame in frames for track in frame.bodies})
        for frame, duration_s in zip(frames, durations, strict=False):
            _send_frame(recorder.send, frame, everyone, present)
            recorder.wait(max(float(duration_s), _MIN_FRAME_S))
        return recorder.finish()


def player_scene(
    reconstruction: Reconstruction,
    body: SmplxBody,
    *,
    clip: Path | None = None,
    surface: Sequence[Sheet] = (),
    people_colors: PeopleColors | None = None,
    people_wear: str = "identity",
) -> bytes:
    """Return the static scene as a recording without duration, with the motion tape in its last message."""
    with _built(reconstruction, body, clip, surface) as (server, facts, frames):
        recorder = viser_scene.Recorder(server)
        shown = {track for frame in frames for track in frame.bodies}
        facts["people_colors"] = {
            track: base64.b64encode(colors.tobytes()).decode("ascii")
            for track, colors in (people_colors or {}).items()
            if track in shown
        }
        facts["people_wear"] = people_wear
        send_chunk(recorder.send, TapeWriter().chunk(frames, facts | _lengths(reconstruction, body)))
        return recorder.finish()


def _lengths(reconstruction: Reconstruction, body: SmplxBody) -> dict[str, object]:
    """Return the heights of people, and the relative standard deviation of lengths if the result has it."""
    betas = torch.as_tensor(reconstruction.track_betas, dtype=torch.float32)
    rest = body.rest_vertices(betas, torch.zeros_like(betas))
    heights_m = [round(float(np.ptp(vertices[:, 1].numpy())), 3) for vertices in rest]
    ids = [str(track) for track in reconstruction.track_id.tolist()]
    known = reconstruction.meta.get("distances")
    deviation = known.get("standard_deviation") if isinstance(known, dict) else None
    return {"heights_m": dict(zip(ids, heights_m, strict=True)), "scale_sd": deviation}


@contextmanager
def _built(
    reconstruction: Reconstruction, body: SmplxBody, clip: Path | None, surface: Sequence[Sheet]
) -> Iterator[tuple[viser.ViserServer, dict[str, object], list[TapeFrame]]]:
    """Build the scene on a server for the length of a ``with`` block: server, facts for the player, and frames."""
    thumbnails = _read_thumbnails(reconstruction, clip) if clip is not None else {}
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
        yield server, facts, frames
    finally:
        close_server(server)


def _add_people(
    server: viser.ViserServer, reconstruction: Reconstruction, body: SmplxBody, thumbnails: dict[int, np.ndarray]
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


def _send_frame(send: viser_scene.Send, frame: TapeFrame, everyone: list[int], present: dict[int, bool]) -> None:
    """Send what one frame changes as viser's own messages; ``present`` is who was shown before, and is updated."""
    for track in everyone:
        pose = frame.bodies.get(track)
        if present.get(track) is not (pose is not None):
            present[track] = pose is not None
            viser_scene.show_person(send, track, is_present=present[track])
        if pose is not None:
            viser_scene.pose_person(send, track, pose.quat_wxyz, pose.positions, pose.label)
    viser_scene.move_frustum(send, _CURRENT, frame.T_gravity_camera)
    if frame.picture is not None:
        viser_scene.set_frustum_image(send, _CURRENT, frame.picture)


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
    thumbnails: dict[int, np.ndarray],
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
        _CURRENT,
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


def _read_thumbnails(reconstruction: Reconstruction, clip: Path) -> dict[int, np.ndarray]:
    """Read small pictures of the processed frames, by row; an unreadable clip gives none."""
    if reconstruction.num_frames == 0:
        return {}
    step = -(-reconstruction.num_frames // MAX_MOVING_THUMBNAILS)
    try:
        return {
            row: viser_scene.thumbnail(image)
            for row, image in processed_frames(reconstruction, clip)
            if row % step == 0
        }
    except InputError:
        # The scene is complete without pictures; a missing clip must not prevent the recording.
        return {}
