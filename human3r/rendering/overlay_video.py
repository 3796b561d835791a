"""``overlay.mp4``: the processed frames of the clip with the reconstructed people drawn on them.

Reads the clip again through the same isolated reader that the run used, so the result needs no frames in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from human3r.errors import InputError
from human3r.rendering.clip_frames import processed_frames
from human3r.rendering.overlay import MeshLayer, OverlayStyle, draw_people, people_of_frame, scale_intrinsics
from human3r.video.writer import VideoWriter

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction

MAX_SIDE_PX = 1280
"""Larger frames are shrunk: the overlay is for looking at, and drawing costs grow with its pixels."""


def write_overlay_video(
    reconstruction: Reconstruction,
    path: Path,
    body: SmplxBody,
    clip: str | Path,
    *,
    style: OverlayStyle | None = None,
    renderer: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw every processed frame and write the video whole or not at all.

    Args:
        reconstruction: The result.
        path: The MP4 to write; frames keep their presentation times.
        body: The body model of the reconstruction.
        clip: The source clip.
        style: What to draw; meshes and labels by default.
        renderer: ``cpu``, or ``pyrender`` for GL rendering where it works (else a warning and ``cpu``).
        progress: Called as (frames done, frames in all).

    Raises:
        InputError: The clip cannot be read, or is not the one that was reconstructed.
        DiskFullError: The disk is full.
    """
    style = style or OverlayStyle()
    faces = body.faces.cpu().numpy()
    mesh_layer = _mesh_layer(renderer)
    image_size = tuple(int(side) for side in reconstruction.image_size)
    with VideoWriter(path, reconstruction.fps) as video:
        for done, (row, frame_image) in enumerate(processed_frames(reconstruction, clip), start=1):
            image = shrink(frame_image, MAX_SIDE_PX)
            K = scale_intrinsics(reconstruction.K[row], image_size, image.shape[:2])
            people = people_of_frame(reconstruction, row, body)
            drawn = draw_people(image, people, K, faces, style, mesh_layer)
            video.append(drawn, time_s=float(reconstruction.time_s[row] - reconstruction.time_s[0]))
            if progress is not None:
                progress(done, reconstruction.num_frames)


def shrink(image: np.ndarray, max_side_px: int) -> np.ndarray:
    """Return ``image`` (``H W 3`` uint8), scaled down where its longer side exceeds the limit."""
    longest = max(image.shape[:2])
    if longest <= max_side_px:
        return image
    from PIL import Image

    height, width = (max(1, round(side * max_side_px / longest)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX, reducing_gap=2))


def _mesh_layer(renderer: str) -> MeshLayer | None:
    if renderer == "cpu":
        return None
    if renderer != "pyrender":
        raise InputError(f"There is no renderer {renderer!r}.", "Choose cpu or pyrender.")
    from human3r.rendering.pyrender_backend import open_pyrender_layer

    return open_pyrender_layer()
