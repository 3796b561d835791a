"""A finished result for viser's client: ``scene.viser`` for any viser client, and the scene and page of our player.

``scene.viser`` holds everything as viser's own timed messages. The player's scene is a recording of what does not move,
with the motion tape in its last message; ``scene.html`` embeds it in viser's client with the player, and opens from
disk without a network. Each person has one shape, the track's.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.exporting.viewer import scene as viser_scene
from human3r.exporting.viewer.finished import CURRENT_CAMERA, FinishedScene
from human3r.exporting.viewer.player import player_page
from human3r.exporting.viewer.tape import TapeFrame, TapeWriter, send_chunk

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.people_colors import PeopleColors

_MIN_FRAME_S = 1e-3


def html_page(scene: bytes, *, moments: bytes | None = None) -> str:
    """Embed a scene of our player, and a ``moments.bin`` of the same result, in its page: one file, all inclusive."""
    extra = f'window.__H3R_MOMENTS__="{base64.b64encode(moments).decode("ascii")}";' if moments else ""
    embedded = base64.b64encode(scene).decode("ascii")
    return player_page(f'<script>window.__VISER_EMBED_DATA__="{embedded}";{extra}</script>')


def record(scene: FinishedScene) -> bytes:
    """Return the scene with its motion as timed messages of viser: the bytes of a ``.viser`` file."""
    recorder, result = viser_scene.Recorder(scene.server), scene.reconstruction
    durations = np.append(np.diff(result.time_s), 1.0 / result.fps)
    present: dict[int, bool] = {}
    everyone = sorted({track for frame in scene.frames for track in frame.bodies})
    for frame, duration_s in zip(scene.frames, durations, strict=False):
        _send_frame(recorder.send, frame, everyone, present)
        recorder.wait(max(float(duration_s), _MIN_FRAME_S))
    return recorder.finish()


def player_scene(
    scene: FinishedScene, people_colors: PeopleColors | None = None, people_wear: str = "identity"
) -> bytes:
    """Return the static scene as a recording without duration, with the motion tape in its last message."""
    recorder = viser_scene.Recorder(scene.server)
    shown = {track for frame in scene.frames for track in frame.bodies}
    colors = {
        track: base64.b64encode(of_vertices.tobytes()).decode("ascii")
        for track, of_vertices in (people_colors or {}).items()
        if track in shown
    }
    facts = scene.facts | {"people_colors": colors, "people_wear": people_wear}
    facts |= _lengths(scene.reconstruction, scene.body)
    send_chunk(recorder.send, TapeWriter().chunk(scene.frames, facts))
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


def _send_frame(send: viser_scene.Send, frame: TapeFrame, everyone: list[int], present: dict[int, bool]) -> None:
    """Send what one frame changes as viser's own messages; ``present`` is who was shown before, and is updated."""
    for track in everyone:
        pose = frame.bodies.get(track)
        if present.get(track) is not (pose is not None):
            present[track] = pose is not None
            viser_scene.show_person(send, track, is_present=present[track])
        if pose is not None:
            viser_scene.pose_person(send, track, pose.quat_wxyz, pose.positions, pose.label)
    viser_scene.move_frustum(send, CURRENT_CAMERA, frame.T_gravity_camera)
    if frame.picture is not None:
        viser_scene.set_frustum_image(send, CURRENT_CAMERA, frame.picture)
