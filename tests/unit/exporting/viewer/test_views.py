"""The first view and those from above: people and camera are in the picture, and the scene or what is around them."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.exporting.viewer import views
from human3r.exporting.viewer.views import Content, View, framing_view, top_view

PEOPLE = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (0.1, 1.7) for z in (-0.5, 0.5)])
CAMERA = np.eye(4)
CAMERA[:3, 3] = 0, 1.5, 4
CAMERA[:3, 1:3] *= -1  # looks along -z


def across(view: View, points: np.ndarray) -> np.ndarray:
    """Return ``n 2`` absolute places in a window of the view's own shape, where 1 is its border."""
    towards = np.subtract(view.look_at, view.position)
    towards /= np.linalg.norm(towards)
    right = np.cross(towards, view.up)
    right /= np.linalg.norm(right)
    offsets = points - view.position
    sides = np.abs(np.stack([offsets @ right / view.aspect, offsets @ np.cross(right, towards)], axis=1))
    return sides / (offsets @ towards * np.tan(view.fov / 2))[:, None]


@pytest.mark.parametrize(("width_m", "is_tall"), [(0.5, False), (6, False), (2, True)])
def test_the_first_view_shows_people_and_camera_in_a_window_of_its_shape(width_m: float, is_tall: bool) -> None:
    people = PEOPLE * (width_m, 1, 1)
    wall = np.array([[x, y, -1.5] for x in np.linspace(-width_m, width_m, 20) for y in np.linspace(0, 2, 20)])
    view = framing_view(Content(people, wall, CAMERA[None]), is_tall=is_tall)
    places = across(view, np.concatenate([people, CAMERA[None, :3, 3]]))

    assert (places < 1).all()
    assert (places.max(axis=0) > 0.7).any()
    assert view.aspect <= (0.7 if is_tall else 1.3)


@pytest.mark.parametrize("depth_m", [3, 60])
def test_from_above_the_whole_scene_is_shown_or_what_is_around_people_and_camera(depth_m: float) -> None:
    x, z = np.meshgrid(np.linspace(-3, 3, 40), np.linspace(3, -depth_m, 40))
    scene = np.stack([x, np.zeros_like(x), z], axis=-1).reshape(-1, 3)
    content = Content(PEOPLE, scene, CAMERA[None])
    whole, near = top_view(content), top_view(content, is_near=True)
    subject = np.concatenate([PEOPLE, CAMERA[None, :3, 3]])
    room = scene[np.abs(scene[:, 2]) < 2.8]

    assert (across(whole, np.concatenate([subject, scene])) < 1.02).all()
    assert (across(near, np.concatenate([subject, room])) < 1).all()
    assert near.position[1] < 20
    assert near.up[2] == whole.up[2] == pytest.approx(-1)


@pytest.mark.parametrize("depth_m", [0, 2])
def test_the_outermost_points_alone_decide_about_the_first_view(
    depth_m: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, z = np.random.default_rng(5).uniform(-1, 1, (3, 500))
    content = Content(PEOPLE * (1, 1, depth_m), np.stack([4 * x, 1 + y, depth_m * z], axis=-1), CAMERA[None])
    view = framing_view(content)
    monkeypatch.setattr(views, "_outermost", lambda points: points)

    assert view == framing_view(content)


@pytest.mark.parametrize("num_points", [1, 3])
def test_a_scene_without_volume_has_a_first_view(num_points: int) -> None:
    content = Content(PEOPLE[:0], PEOPLE[:num_points], CAMERA[None])

    assert framing_view(content).aspect <= 1.3
