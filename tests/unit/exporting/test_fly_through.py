"""The flight through a scene: from where the clip was filmed, whole, or stopped without a file."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from synthetic_scene import keyframe_of, slanted_plane, walking_reconstruction

from human3r.bodies import SmplxBody
from human3r.errors import Cancelled
from human3r.exporting import fly_through
from human3r.exporting.bundle import export
from human3r.palette import person_color
from human3r.rendering.scene_picture import BACKGROUND
from human3r.results.reconstruction import Reconstruction
from human3r.surface.meshing.sheets import LazySurface

H, W = 48, 64


@pytest.fixture
def walk(small_body: SmplxBody) -> Reconstruction:
    return walking_reconstruction(small_body, num_frames=6)


@pytest.fixture
def surface(walk: Reconstruction) -> LazySurface:
    return LazySurface(walk, [keyframe_of(walk, 0, slanted_plane(H, W))])


def test_pictures_show_the_scene_and_people_in_their_colors(
    walk: Reconstruction, small_body: SmplxBody, surface: LazySurface
) -> None:
    pictures = list(fly_through.fly_through(walk, small_body, surface.sheets, {}, 3, (90, 160), 0.5))
    assert [each.shape for each in pictures] == [(90, 160, 3)] * 3
    for picture in pictures:
        shown = (picture != BACKGROUND).any(axis=-1)
        assert shown.mean() > 0.3
        color = np.array(person_color(1)) / np.linalg.norm(person_color(1))
        hue = picture / np.linalg.norm(picture.astype(float), axis=-1, keepdims=True).clip(1)
        assert ((hue @ color) > 0.995).sum() > 20


def test_a_flight_stops_without_a_file(
    walk: Reconstruction, small_body: SmplxBody, surface: LazySurface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fly_through, "SIZE", (32, 48))
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            raise Cancelled(done)

    with pytest.raises(Cancelled):
        export(walk, tmp_path / "a_flythrough.mp4", body=small_body, keyframes=surface, progress=stop)
    assert told == [(1, 200), (2, 200), (3, 200)]
    assert list(tmp_path.iterdir()) == []


def test_the_video_has_its_length(
    walk: Reconstruction, small_body: SmplxBody, surface: LazySurface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fly_through, "DURATION_S", 0.2)
    path = export(walk, tmp_path / "a_flythrough.mp4", body=small_body, keyframes=surface)
    frames = list(islice(iio.imiter(path), 20))
    assert len(frames) == 4
    assert frames[0].shape == (720, 1280, 3)


def test_without_a_surface_the_scene_is_its_points(walk: Reconstruction, small_body: SmplxBody) -> None:
    with_points, without = (
        next(fly_through.fly_through(result, small_body, [], {}, 1, (90, 160), 0.5))
        for result in (walk, walking_reconstruction(small_body, num_frames=6, num_points=0))
    )
    assert (with_points != without).any(axis=-1).sum() > 100
