"""The rasteriser against closed forms: a sphere's outline and depth, occlusion, perspective weights."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from human3r.rendering.rasterizer import Fragments, rasterize

SIZE = (120, 160)
K = np.array([[140.0, 0, 79.5], [0, 140.0, 59.5], [0, 0, 1]])


def sphere(center: tuple[float, float, float], radius: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(4, radius)
    return np.asarray(mesh.vertices) + np.array(center), np.asarray(mesh.faces)


def draw(vertices: np.ndarray, faces: np.ndarray) -> Fragments:
    return rasterize(vertices, faces, K, SIZE)


def test_a_sphere_covers_its_perspective_disc() -> None:
    seen = draw(*sphere((0, 0, 2.0)))
    assert len(seen.pixel) == pytest.approx(np.pi * (140 * 0.5) ** 2 / (4 - 0.25), rel=0.01)


def test_depth_is_that_of_the_near_side() -> None:
    seen = draw(*sphere((0, 0, 2.0)))
    u, v = seen.pixel % SIZE[1], seen.pixel // SIZE[1]
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(len(u))], axis=1)
    along = 2.0 * rays[:, 2]
    square = (rays**2).sum(axis=1)
    inside = along**2 - square * 3.75
    hit = inside > 0.2
    expected = (along[hit] - np.sqrt(inside[hit])) / square[hit]
    np.testing.assert_allclose(seen.depth[hit], expected, atol=2e-3)


def test_the_nearer_sphere_hides_the_farther_one() -> None:
    near, faces = sphere((0, 0, 2.0), 0.2)
    far, _ = sphere((0, 0, 4.0), 0.5)
    seen = draw(np.concatenate([far, near]), np.concatenate([faces, faces + len(far)]))
    center = np.flatnonzero(seen.pixel == 60 * SIZE[1] + 80)[0]
    assert seen.face[center] >= len(faces)
    assert seen.depth[center] == pytest.approx(1.8, abs=0.01)


def test_closed_surfaces_have_no_pinholes() -> None:
    seen = draw(*sphere((0.1, -0.05, 2.0)))
    covered = np.zeros(SIZE, dtype=bool)
    covered.reshape(-1)[seen.pixel] = True
    gaps = sum(int((np.diff(np.flatnonzero(row)) > 1).sum()) for row in covered)
    assert gaps == 0


def test_weights_rebuild_the_point_under_the_pixel() -> None:
    vertices, faces = sphere((0.2, 0.1, 2.0))
    seen = draw(vertices, faces)
    points = (vertices[faces[seen.face]] * seen.barycentric[..., None]).sum(axis=1)
    pixels = points @ K.T
    uv = pixels[:, :2] / pixels[:, 2:]
    np.testing.assert_allclose(uv[:, 0], seen.pixel % SIZE[1], atol=0.02)
    np.testing.assert_allclose(uv[:, 1], seen.pixel // SIZE[1], atol=0.02)


@pytest.mark.parametrize("center", [(0, 0, -2.0), (0, 0, 0.0), (50.0, 0, 2.0)])
def test_what_is_behind_around_or_beside_the_camera_is_not_drawn(center: tuple[float, float, float]) -> None:
    assert len(draw(*sphere(center)).pixel) == 0


def test_a_body_that_fills_the_image_is_drawn_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(*sphere((0, 0, 0.9), 0.5))
    monkeypatch.setattr("human3r.rendering.rasterizer._MAX_CANDIDATES", 500)
    pieces = draw(*sphere((0, 0, 0.9), 0.5))
    np.testing.assert_array_equal(whole.pixel, pieces.pixel)
    np.testing.assert_array_equal(whole.depth, pieces.depth)
