"""Where the viewer may stand."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qs

import numpy as np
from standin import make_reconstruction

from demo.views import view_queries


def _vector(query: str, name: str) -> np.ndarray:
    return np.array([float(value) for value in parse_qs(query)[name][0].split(",")])


def test_the_first_view_is_the_recordings_own() -> None:
    assert next(iter(view_queries(make_reconstruction(3)).items())) == ("World", "")


def test_the_camera_view_looks_where_the_camera_looked_and_stands_upright() -> None:
    flipped = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV axes to y up
    flipped[1, 3] = 1.5
    query = view_queries(dataclasses.replace(make_reconstruction(3), T_gravity_world=flipped))["Camera"]

    position, look_at = _vector(query, "initialCameraPosition"), _vector(query, "initialCameraLookAt")

    np.testing.assert_allclose(position[:2], [0, 1.5], atol=1e-4)
    assert -3 < position[2] < 0
    np.testing.assert_allclose((look_at - position) / 3, [0, 0, -1], atol=1e-4)
    np.testing.assert_allclose(_vector(query, "initialCameraUp"), [0, 1, 0], atol=1e-4)


def test_the_field_of_view_of_the_camera_view_is_the_clips() -> None:
    K = np.tile(np.diag([48.0, 24.0, 1.0]), (3, 1, 1))  # 48 pixels high, focal length 24: 90 degrees
    query = view_queries(dataclasses.replace(make_reconstruction(3), K=K))["Camera"]

    np.testing.assert_allclose(_vector(query, "initialCameraFov"), np.pi / 2, atol=1e-4)


def test_a_result_without_people_can_be_seen_from_above() -> None:
    query = view_queries(make_reconstruction(3, num_people=0))["Top"]

    assert _vector(query, "initialCameraPosition")[1] > 2
    assert np.isfinite(_vector(query, "initialCameraUp")).all()
