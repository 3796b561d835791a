"""``scene.viser`` and ``scene.html``: the 4D scene as a recording that plays without a server.

The HTML file holds viser's client and the recording; it opens from disk without a network. Playing a recording runs
the JavaScript in it, so only recordings that this program made should be opened.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from human3r.errors import InputError
from human3r.export import viser_scene
from human3r.export.atomic import write_bytes, write_text
from human3r.export.motion import PersonMotion, build_motion, build_skin
from human3r.export.scene_points import thinned_points
from human3r.palette import person_color
from human3r.rendering.clip_frames import processed_frames

if TYPE_CHECKING:
    import viser

    from human3r.bodies import SmplxBody
    from human3r.reconstruction import Reconstruction

MAX_KEYFRAMES = 8
"""Cameras that stay visible along the path."""
MAX_MOVING_THUMBNAILS = 300
"""Longer clips show every second, third, ... picture in the moving camera, so that files stay small."""
POINT_SIZE_M = 0.012
_HEAD, _PELVIS = 15, 0
_CURRENT = "/camera/current"


@dataclass(frozen=True)
class _GravityMotion:
    """One person's bones in the y-up world."""

    track_id: int
    frames: np.ndarray
    quat_wxyz: np.ndarray
    """``n 55 4``"""
    positions: np.ndarray
    """``n 55 3``"""


def write_viser(reconstruction: Reconstruction, path: Path, body: SmplxBody, *, clip: Path | None = None) -> None:
    """Write the recording whole or not at all; with the clip, the cameras show its pictures."""
    write_bytes(path, record(reconstruction, body, clip=clip))


def write_html(
    reconstruction: Reconstruction,
    path: Path,
    body: SmplxBody,
    *,
    clip: Path | None = None,
    recording: Path | None = None,
) -> None:
    """Write the self-contained page; ``recording`` is a ``.viser`` of the same scene to use if it is there."""
    is_there = recording is not None and recording.is_file()
    content = recording.read_bytes() if is_there else record(reconstruction, body, clip=clip)
    write_text(path, html_page(content))


def html_page(recording: bytes, *, dark_mode: bool = False) -> str:
    """Embed a recording in viser's client: one HTML page that needs nothing else."""
    import viser

    client = (Path(viser.__file__).parent / "client" / "build" / "index.html").read_text(encoding="utf-8")
    embedded = base64.b64encode(recording).decode("ascii")
    script = (
        f'<script>window.__VISER_EMBED_DATA__="{embedded}";'
        f"window.__VISER_EMBED_CONFIG__={{darkMode:{'true' if dark_mode else 'false'}}};</script>"
    )
    end_of_head = client.index("</head>")
    return client[:end_of_head] + script + client[end_of_head:]


def record(reconstruction: Reconstruction, body: SmplxBody, *, clip: Path | None = None) -> bytes:
    """Build the scene and play it once into a ``.viser`` recording."""
    thumbnails = _read_thumbnails(reconstruction, clip) if clip is not None else {}
    server = viser_scene.open_server()
    try:
        people = _build_scene(server, reconstruction, body, thumbnails)
        recorder = viser_scene.Recorder(server)
        _play(recorder, reconstruction, people, thumbnails)
        return recorder.finish()
    finally:
        viser_scene.close_server(server)


def _build_scene(
    server: viser.ViserServer, reconstruction: Reconstruction, body: SmplxBody, thumbnails: dict[int, np.ndarray]
) -> list[_GravityMotion]:
    """Add everything that does not move, and everything that does in its first state."""
    viser_scene.set_stage(server)
    T = reconstruction.T_gravity_world.astype(np.float64)
    skin = build_skin(body)
    people = []
    for track in reconstruction.tracks:
        if len(track.frames) == 0:
            continue
        motion = build_motion(reconstruction, track, body)
        viser_scene.add_person(server, track.track_id, motion.rest_vertices, motion.rest_joints, skin)
        people.append(_to_gravity(motion, T))
        trail = people[-1].positions[:, _PELVIS] * np.array([1.0, 0.0, 1.0]) + np.array([0.0, 0.01, 0.0])
        color = person_color(track.track_id)
        viser_scene.add_polyline(server, f"{viser_scene.person_node(track.track_id)}/trail", trail, color)
    points, colors = thinned_points(reconstruction)
    if len(points):
        viser_scene.add_points(server, "/points", points, colors, POINT_SIZE_M)
    _add_cameras(server, reconstruction, T, thumbnails)
    _aim(server, reconstruction, people, points, T)
    return people


def _to_gravity(motion: PersonMotion, T_gravity_world: np.ndarray) -> _GravityMotion:
    R, t = T_gravity_world[:3, :3], T_gravity_world[:3, 3]
    return _GravityMotion(
        track_id=motion.track_id,
        frames=motion.frames,
        quat_wxyz=viser_scene.quat_wxyz_from_rotation(R @ motion.R_world_joint),
        positions=motion.bones_world @ R.T + t,
    )


def _add_cameras(
    server: viser.ViserServer, reconstruction: Reconstruction, T: np.ndarray, thumbnails: dict[int, np.ndarray]
) -> None:
    count = reconstruction.num_frames
    if count == 0:
        return
    T_gravity_camera = T @ reconstruction.T_world_camera
    size = tuple(int(side) for side in reconstruction.image_size)
    centres = T_gravity_camera[:, :3, 3]
    viser_scene.add_polyline(server, "/camera/path", centres, viser_scene.PATH_COLOR)
    travelled = float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum()) if count > 1 else 0.0
    # A camera that stands still needs no trail of itself.
    if travelled > 0.5:
        for frame in np.unique(np.linspace(0, count - 1, min(MAX_KEYFRAMES, count)).round().astype(int)).tolist():
            name = f"/camera/keyframes/{frame:05d}"
            picture = thumbnails.get(frame)
            viser_scene.add_frustum(
                server, name, reconstruction.K[frame], size, T_gravity_camera[frame], scale_m=0.09, image=picture
            )
    viser_scene.add_frustum(
        server,
        _CURRENT,
        reconstruction.K[0],
        size,
        T_gravity_camera[0],
        scale_m=0.2,
        color=viser_scene.PATH_COLOR,
        image=thumbnails.get(0),
    )


def _aim(
    server: viser.ViserServer,
    reconstruction: Reconstruction,
    people: list[_GravityMotion],
    points: np.ndarray,
    T: np.ndarray,
) -> None:
    """Frame the people; without people, the scene in front of the camera."""
    if reconstruction.num_frames == 0:
        return
    looks_along = T[:3, :3] @ reconstruction.T_world_camera[0, :3, 2]
    if people:
        subject = np.concatenate([person.positions[:, :22].reshape(-1, 3) for person in people])
    elif len(points):
        subject = points.astype(np.float64)
    else:
        subject = (T @ reconstruction.T_world_camera)[:, :3, 3]
    viser_scene.aim_initial_camera(server, *viser_scene.framing_view(subject, looks_along))


def _play(
    recorder: viser_scene.Recorder,
    reconstruction: Reconstruction,
    people: list[_GravityMotion],
    thumbnails: dict[int, np.ndarray],
) -> None:
    """Send every frame at its time."""
    T_gravity_camera = reconstruction.T_gravity_world.astype(np.float64) @ reconstruction.T_world_camera
    rows = {person.track_id: {int(frame): row for row, frame in enumerate(person.frames)} for person in people}
    was_present: dict[int, bool] = {}
    durations = np.append(np.diff(reconstruction.time_s), 1.0 / reconstruction.fps)
    for frame in range(reconstruction.num_frames):
        for person in people:
            row = rows[person.track_id].get(frame)
            if was_present.get(person.track_id) is not (row is not None):
                viser_scene.show_person(recorder.send, person.track_id, is_present=row is not None)
                was_present[person.track_id] = row is not None
            if row is not None:
                positions = person.positions[row]
                label = viser_scene.label_position(positions[_HEAD])
                viser_scene.pose_person(recorder.send, person.track_id, person.quat_wxyz[row], positions, label)
        viser_scene.move_frustum(recorder.send, _CURRENT, T_gravity_camera[frame])
        if frame in thumbnails:
            viser_scene.set_frustum_image(recorder.send, _CURRENT, viser_scene.jpeg(thumbnails[frame]))
        viser_scene.announce_frame(recorder.send, frame)
        recorder.wait(max(float(durations[frame]), 1e-3))


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
        # The scene is whole without its pictures; a missing clip must not cost the recording.
        return {}
