"""``overlay.mp4``, ``overlay.gif`` and ``overlay.png``: the clip with the reconstructed people drawn on its frames.

Takes the frames of ``processed_frames``, one at a time, so that results need no frames in memory. Meshes are drawn by a
graphics card if there is one, else by the built-in rasterizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import whole_or_absent
from human3r.rendering.overlay import OverlayStyle, draw_people, people_of_frame, scale_intrinsics
from human3r.rendering.pyrender_backend import open_gl_layer
from human3r.video.writer import VideoWriter

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction

Frames = Iterable[tuple[int, np.ndarray]]
"""(Row of the processed frames, image ``H W 3`` uint8), in order."""
MAX_SIDE_PX = 1280
"""Longer side of videos and stills; larger frames are scaled down, since the cost grows with the pixels."""
GIF_MAX_SIDE_PX = 360
GIF_MAX_FRAMES = 80
"""Longer clips show every second, third, ... frame."""


def write_overlay_video(reconstruction: Reconstruction, path: Path, body: SmplxBody, frames: Frames) -> None:
    """Draw every processed frame and write the video, atomically; frames keep their presentation times.

    Raises:
        InputError: The clip cannot be read, or is not the one that was reconstructed.
        DiskFullError: The disk is full.
    """
    with VideoWriter(path, reconstruction.fps) as video:
        for row, image in overlay_frames(reconstruction, body, frames):
            video.append(image, time_s=float(reconstruction.time_s[row] - reconstruction.time_s[0]))


def write_overlay_gif(reconstruction: Reconstruction, path: Path, body: SmplxBody, frames: Frames) -> None:
    """Write a small looping animation, atomically; raises as ``write_overlay_video``."""
    import imageio.v3 as iio

    step = -(-reconstruction.num_frames // GIF_MAX_FRAMES)
    rows = range(0, reconstruction.num_frames, step)
    images = [image for _, image in overlay_frames(reconstruction, body, frames, GIF_MAX_SIDE_PX, rows)]
    with whole_or_absent(path) as temporary:
        iio.imwrite(temporary, images, extension=".gif", duration=1000 * step / reconstruction.fps, loop=0)


def write_overlay_still(reconstruction: Reconstruction, path: Path, body: SmplxBody, frames: Frames) -> None:
    """Write the first of the frames with the most people, atomically; raises as ``write_overlay_video``."""
    import imageio.v3 as iio

    row = int(np.bincount(reconstruction.person_frame, minlength=reconstruction.num_frames).argmax())
    _, image = next(overlay_frames(reconstruction, body, frames, rows=range(row, row + 1)))
    with whole_or_absent(path) as temporary:
        iio.imwrite(temporary, image, extension=".png")


def overlay_frames(
    reconstruction: Reconstruction,
    body: SmplxBody,
    frames: Frames,
    max_side_px: int = MAX_SIDE_PX,
    rows: range | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (row, image ``H W 3`` uint8) of the processed frames with their people, one in memory at a time.

    Args:
        max_side_px: Larger frames are scaled down to this longer side.
        rows: Rows of the processed frames to draw; all by default.
    """
    faces = body.faces.cpu().numpy()
    image_size = int(reconstruction.image_size[0]), int(reconstruction.image_size[1])
    layer = open_gl_layer()
    with closing(layer) if layer is not None else nullcontext():
        for row, frame_image in frames:
            if rows is not None and row not in rows:
                continue
            image = shrink(frame_image, max_side_px)
            K = scale_intrinsics(reconstruction.K[row], image_size, image.shape[:2])
            people = people_of_frame(reconstruction, row, body)
            yield row, draw_people(image, people, K, faces, OverlayStyle(), layer)


def shrink(image: np.ndarray, max_side_px: int) -> np.ndarray:
    """Return ``image`` (``H W 3`` uint8), scaled down where its longer side exceeds the limit."""
    longest = max(image.shape[:2])
    if longest <= max_side_px:
        return image
    from PIL import Image

    height, width = (max(1, round(side * max_side_px / longest)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX, reducing_gap=2))
