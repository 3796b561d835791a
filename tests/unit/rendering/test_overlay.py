"""Overlays: people are drawn where their joints project, in their color, and the file keeps the clip's times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from human3r.bodies import SmplxBody
from human3r.errors import InputError
from human3r.palette import person_color
from human3r.rendering import OverlayStyle, draw_people, people_of_frame, write_overlay_video
from human3r.rendering.clip_frames import processed_frames
from human3r.rendering.overlay import render_meshes, scale_intrinsics
from human3r.rendering.overlay_video import overlay_frames, shrink, write_overlay_gif, write_overlay_still
from human3r.results.reconstruction import Reconstruction
from human3r.video.writer import VideoWriter

MESH_ONLY = OverlayStyle(draw_labels=False)


def gray(reconstruction: Reconstruction) -> np.ndarray:
    return np.full((*reconstruction.image_size, 3), 128, dtype=np.uint8)


def drawn(reconstruction: Reconstruction, body: SmplxBody, frame: int, style: OverlayStyle = MESH_ONLY) -> np.ndarray:
    people = people_of_frame(reconstruction, frame, body)
    return draw_people(gray(reconstruction), people, reconstruction.K[frame], body.faces.numpy(), style)


def test_people_are_drawn_where_their_joints_project(walk: Reconstruction, small_body: SmplxBody) -> None:
    frame = 6
    changed = (drawn(walk, small_body, frame) != 128).any(axis=-1)
    spine = walk.joints_image_px[walk.person_frame == frame][:, 3].round().astype(int)
    assert changed[spine[:, 1], spine[:, 0]].all()
    assert 0.01 < changed.mean() < 0.4


def test_each_person_has_the_color_of_their_identity(walk: Reconstruction, small_body: SmplxBody) -> None:
    frame = 6
    image = drawn(walk, small_body, frame, OverlayStyle(opacity=1.0, draw_labels=False)).astype(float)
    rows = np.flatnonzero(walk.person_frame == frame)
    spine = walk.joints_image_px[rows, 3].round().astype(int)
    for track, (u, v) in zip(walk.person_track[rows], spine, strict=True):
        shown, wanted = image[v, u], np.array(person_color(int(track)), float)
        assert shown @ wanted / np.linalg.norm(shown) / np.linalg.norm(wanted) > 0.98


def test_a_frame_without_people_comes_back_unchanged(nobody: Reconstruction, small_body: SmplxBody) -> None:
    np.testing.assert_array_equal(drawn(nobody, small_body, 0), gray(nobody))


def test_the_input_image_is_not_written_to(walk: Reconstruction, small_body: SmplxBody) -> None:
    image = gray(walk)
    image.setflags(write=False)
    people = people_of_frame(walk, 0, small_body)
    result = draw_people(image, people, walk.K[0], small_body.faces.numpy(), OverlayStyle())
    assert (result != 128).any()


def test_intrinsics_follow_the_image_when_it_is_scaled() -> None:
    K = np.array([[300, 0, 159.5], [0, 300, 119.5], [0, 0, 1]])
    half = scale_intrinsics(K, (240, 320), (120, 160))
    np.testing.assert_allclose(half, [[150, 0, 79.5], [0, 150, 59.5], [0, 0, 1]])


def test_a_face_towards_the_light_is_brighter(walk: Reconstruction, small_body: SmplxBody) -> None:
    people = people_of_frame(walk, 0, small_body)
    rgb, covered = render_meshes(
        people.vertices_camera, small_body.faces.numpy(), np.ones((2, 3)), walk.K[0], (240, 320)
    )
    assert np.ptp(rgb[covered]) > 0.2


@pytest.fixture
def clip(tmp_path: Path, walk: Reconstruction) -> Path:
    """A clip at twice the frame rate of the reconstruction, each frame a shade of its own."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 2 * walk.fps) as video:
        for index in range(2 * walk.num_frames):
            video.append(np.full((*walk.image_size, 3), 8 * index + 20, dtype=np.uint8))
    return path


def every_second(walk: Reconstruction) -> Reconstruction:
    return replace(walk, frame_index=2 * np.arange(walk.num_frames))


def test_the_video_shows_the_processed_frames_at_their_times(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody, clip: Path
) -> None:
    write_overlay_video(
        every_second(walk), tmp_path / "overlay.mp4", small_body, processed_frames(every_second(walk), clip)
    )
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == walk.num_frames
    np.testing.assert_allclose([frame.time for frame in frames], walk.time_s, atol=1e-3)
    corner = [int(frame.to_ndarray(format="rgb24")[2, 2, 0]) for frame in frames]
    np.testing.assert_allclose(corner, 16 * np.arange(walk.num_frames) + 20, atol=4)


def test_a_clip_of_another_size_is_refused_and_leaves_no_file(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody, clip: Path
) -> None:
    other = replace(walk, image_size=np.array([480, 640]))
    with pytest.raises(InputError, match="240x320"):
        write_overlay_video(other, tmp_path / "overlay.mp4", small_body, processed_frames(other, clip))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4"]


def test_a_gif_loops_through_small_frames(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody, clip: Path
) -> None:
    write_overlay_gif(
        every_second(walk), tmp_path / "overlay.gif", small_body, processed_frames(every_second(walk), clip)
    )

    with Image.open(tmp_path / "overlay.gif") as animation:
        assert animation.n_frames == walk.num_frames
        assert animation.info["loop"] == 0
        assert animation.info["duration"] == round(1000 / walk.fps)
        assert max(animation.size) <= 360


def test_a_still_shows_the_frame_with_the_most_people(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody, clip: Path
) -> None:
    write_overlay_still(
        every_second(walk), tmp_path / "overlay.png", small_body, processed_frames(every_second(walk), clip)
    )

    drawn = np.asarray(Image.open(tmp_path / "overlay.png"))
    result = every_second(walk)
    (_, expected), *_ = overlay_frames(result, small_body, processed_frames(result, clip), rows=range(1))
    np.testing.assert_array_equal(drawn, expected)


def test_large_frames_are_shrunk_with_their_proportions() -> None:
    assert shrink(np.zeros((1000, 2000, 3), np.uint8), 500).shape == (250, 500, 3)
    small = np.zeros((10, 20, 3), np.uint8)
    assert shrink(small, 500) is small
