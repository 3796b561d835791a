"""From above: people, camera and room are in a square picture, and a landscape does not make them specks."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.exporting.viewer.views import Content, top_view

PEOPLE = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (0.1, 1.7) for z in (-0.5, 0.5)])
CAMERA = np.eye(4)
CAMERA[:3, 3] = 0, 1.5, 4
CAMERA[:3, 1:3] *= -1  # looks along -z


@pytest.mark.parametrize("depth_m", [3, 60])
def test_from_above_people_camera_and_what_is_around_them_are_shown(depth_m: float) -> None:
    x, z = np.meshgrid(np.linspace(-3, 3, 40), np.linspace(3, -depth_m, 40))
    scene = np.stack([x, np.zeros_like(x), z], axis=-1).reshape(-1, 3)
    view = top_view(Content(PEOPLE, scene, CAMERA[None]))
    room = scene[np.abs(scene[:, 2]) < 2.8]
    offsets = np.concatenate([PEOPLE, CAMERA[None, :3, 3], room]) - view.position

    assert (np.abs(offsets[:, [0, 2]]).max(axis=1) < -offsets[:, 1] * np.tan(view.fov / 2)).all()
    assert view.position[1] < 20
    assert view.up[2] == pytest.approx(-1)
