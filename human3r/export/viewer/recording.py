"""``scene.viser`` and ``scene.html``: the 4D scene as a recording that plays without a server.

The HTML file holds viser's client, our player and the recording; it opens from disk without a network. Each person has
one shape, the track's. Playing a recording runs the JavaScript in it: open only recordings that this program made.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_bytes, write_text
from human3r.errors import InputError
from human3r.export.motion import PersonMotion, build_motion, build_skin
from human3r.export.scene_points import PointGroup, points_by_confidence
from human3r.export.viewer import marks as viser_marks
from human3r.export.viewer import scene as viser_scene
from human3r.export.viewer.moments import coarsened
from human3r.export.viewer.player import player_page
from human3r.export.viewer.views import framing_view, top_view
from human3r.palette import person_color
from human3r.rendering.clip_frames import processed_frames

if TYPE_CHECKING:
    import viser

    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction

MAX_KEYFRAMES = 8
"""Cameras that stay visible along the path."""
MAX_MOVING_THUMBNAILS = 300
"""Longer clips show every second, third, ... picture in the moving camera, so that files stay small."""
_MOMENT_POINT_SIZE_M = 0.02
"""What the player's control shows for a scene without points of its own."""
MAX_EMBEDDED_MOMENTS_BYTES = 3_000_000
"""Points of single frames that are larger go into the HTML file on coarser grids."""
NUM_POINT_BANDS = 5
"""Points are in nodes of equal size by confidence, so that viewers can leave out the least sure ones."""
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
    moments: Path | None = None,
) -> None:
    """Write the self-contained page.

    Args:
        reconstruction: What to show.
        path: Where to.
        body: The body model that the parameters are for.
        clip: The source clip, for the cameras' pictures.
        moments: A ``moments.bin`` of the same run, embedded if it is given.
    """
    fitting = coarsened(moments.read_bytes(), MAX_EMBEDDED_MOMENTS_BYTES) if moments is not None else None
    write_text(path, html_page(record(reconstruction, body, clip=clip), moments=fitting))


def html_page(recording: bytes, *, moments: bytes | None = None) -> str:
    """Embed a recording in viser's client and our player: one HTML page that needs nothing else.

    Args:
        recording: A ``.viser`` file of ours.
        moments: A ``moments.bin`` of the same result, for the points of single frames.
    """
    extra = f'window.__H3R_MOMENTS__="{base64.b64encode(moments).decode("ascii")}";' if moments else ""
    script = f'<script>window.__VISER_EMBED_DATA__="{base64.b64encode(recording).decode("ascii")}";{extra}</script>'
    return player_page(script)


def record(reconstruction: Reconstruction, body: SmplxBody, *, clip: Path | None = None) -> bytes:
    """Build the scene and play it once into a ``.viser`` recording."""
    thumbnails = _read_thumbnails(reconstruction, clip) if clip is not None else {}
    server = viser_scene.open_server()
    try:
        people, facts = _build_scene(server, reconstruction, body, thumbnails)
        recorder = viser_scene.Recorder(server)
        viser_marks.mark_scene(recorder.send, facts)
        _play(recorder, reconstruction, people, thumbnails)
        return recorder.finish()
    finally:
        viser_scene.close_server(server)


def _build_scene(
    server: viser.ViserServer, reconstruction: Reconstruction, body: SmplxBody, thumbnails: dict[int, np.ndarray]
) -> tuple[list[_GravityMotion], dict[str, object]]:
    """Add everything that does not move, and everything that does in its first state; return the facts about it."""
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
        viser_scene.add_trail(server, track.track_id, people[-1].positions[:, _PELVIS])
    bands = points_by_confidence(reconstruction, NUM_POINT_BANDS)
    facts = _facts(reconstruction, people) | _add_points(server, bands)
    _add_cameras(server, reconstruction, T, thumbnails)
    subject, looks_along = _subject(reconstruction, people, [group.points for band in bands for group in band])
    if len(subject):
        world = framing_view(subject, looks_along)
        viser_scene.aim_initial_camera(server, world)
        facts["views"] = {"world": world.to_dict(), "top": top_view(subject, looks_along).to_dict()}
    return people, facts


def _add_points(server: viser.ViserServer, bands: list[list[PointGroup]]) -> dict[str, object]:
    """Add a node for every band, with its groups in it, and return what the player has to know about them."""
    sizes_m = [group.size_m for band in bands for group in band]
    middle_m = round(float(np.median(sizes_m)), 3) if sizes_m else _MOMENT_POINT_SIZE_M
    names, nodes = [], []
    for number, band in enumerate(bands, start=1):
        names.append(f"/points/confidence_{number}_of_{len(bands)}")
        server.scene.add_frame(names[-1], show_axes=False)
        for index, group in enumerate(band):
            name = f"{names[-1]}/distance_{index}"
            viser_scene.add_points(server, name, group.points, group.colors, group.size_m)
            nodes.append({"name": name, "scale": round(group.size_m / middle_m, 3)})
    return {"point_bands": names, "point_nodes": nodes, "point_size_m": middle_m}


def _facts(reconstruction: Reconstruction, people: list[_GravityMotion]) -> dict[str, object]:
    """Return what the player needs to know beside the messages."""
    height, width = (float(side) for side in reconstruction.image_size)
    half_heights = height / 2 / reconstruction.K[:, 1, 1].astype(np.float64)
    return {
        "fps": round(float(reconstruction.fps), 6),
        "times_s": [round(float(time_s - reconstruction.time_s[0]), 5) for time_s in reconstruction.time_s],
        "people": [
            {"id": person.track_id, "color": person_color(person.track_id), "num_frames": len(person.frames)}
            for person in people
        ],
        "aspect": width / height,
        "half_height": [round(float(half_height), 5) for half_height in half_heights],
    }


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


def _subject(
    reconstruction: Reconstruction, people: list[_GravityMotion], points: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a view should frame (the people; without people, the scene) and where the clip's camera looks."""
    T = reconstruction.T_gravity_world.astype(np.float64)
    if reconstruction.num_frames == 0:
        return np.zeros((0, 3)), np.array([0.0, 0.0, -1.0])
    looks_along = T[:3, :3] @ reconstruction.T_world_camera[0, :3, 2]
    if people:
        return np.concatenate([person.positions[:, :22].reshape(-1, 3) for person in people]), looks_along
    if points:
        return np.concatenate(points).astype(np.float64), looks_along
    return (T @ reconstruction.T_world_camera)[:, :3, 3], looks_along


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
        viser_marks.mark_frame(recorder.send, frame)
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
