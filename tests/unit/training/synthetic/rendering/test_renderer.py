"""The renderer: exact depth, no holes, shadows where they belong."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the training-only dependency numba")

from human3r.training.synthetic.cameras import look_at
from human3r.training.synthetic.rendering.mesh import Material, box, join_meshes, quad
from human3r.training.synthetic.rendering.rasterizer import draw_pinhole, empty_buffers
from human3r.training.synthetic.rendering.renderer import Lights, Renderer
from human3r.training.synthetic.rendering.textures import TextureBank

SIZE = (48, 64)
K = np.array([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]])
GRAY = Material((0.5, 0.5, 0.5))


def even_light(**changes: object) -> Lights:
    harmonics = np.zeros((9, 3), np.float32)
    harmonics[0] = 0.5
    return Lights(np.full((8, 16, 3), 0.7, np.float32), harmonics, **changes)


def floor(half: float = 50.0, y: float = 0.0):
    return quad([-half, y, half], [2 * half, 0, 0], [0, 0, -2 * half], GRAY)


def rays(T_scene_camera: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(SIZE)
    pixels = np.stack([columns, rows, np.ones(SIZE)], -1)
    return pixels @ np.linalg.inv(K).T @ T_scene_camera[:3, :3].T


def test_depth_of_a_plane_is_exact_at_every_pixel_center():
    T = look_at(np.array([0.3, 1.6, 2.0]), np.array([0.1, 0.0, -3.0]), roll=0.2)
    frame = Renderer(floor(), [], TextureBank(), even_light()).render([], K, T, SIZE)
    expected = -T[1, 3] / rays(T)[..., 1]
    seen = frame.depth > 0
    assert seen.mean() > 0.5
    np.testing.assert_allclose(frame.depth[seen], expected[seen], rtol=2e-5)


def test_a_floor_that_passes_below_the_camera_has_no_holes():
    T = look_at(np.array([0.0, 1.5, 0.0]), np.array([0.0, 0.0, -0.7]))
    frame = Renderer(floor(), [], TextureBank(), even_light()).render([], K, T, SIZE)
    assert (frame.depth > 0).all()


def test_two_views_of_the_same_scene_agree_on_its_surfaces():
    scene = join_meshes([floor(8.0), box([-1, 0, -3], [0.5, 1.2, -2], GRAY), box([1, 0, -5], [2, 2, -4], GRAY)])
    renderer = Renderer(scene, [], TextureBank(), even_light())
    T_a = look_at(np.array([0.5, 1.5, 2.0]), np.array([0.0, 0.8, -3.0]))
    T_b = look_at(np.array([0.9, 1.3, 1.7]), np.array([0.1, 0.7, -3.0]), roll=0.05)
    depth_a, depth_b = (renderer.render([], K, T, SIZE).depth for T in (T_a, T_b))
    points = T_a[:3, 3] + rays(T_a) * depth_a[..., None]
    local = (points - T_b[:3, 3]) @ T_b[:3, :3]
    uv = local @ K.T
    columns, rows = np.round(uv[..., 0] / uv[..., 2]).astype(int), np.round(uv[..., 1] / uv[..., 2]).astype(int)
    inside = (depth_a > 0) & (columns >= 0) & (columns < SIZE[1]) & (rows >= 0) & (rows < SIZE[0])
    error = np.abs(depth_b[rows[inside], columns[inside]] / local[inside][:, 2] - 1)
    assert inside.mean() > 0.5
    # The nearest pixel center is up to 0.7 pixels away, and some points are hidden in the other view.
    assert np.quantile(error, 0.8) < 0.03
    assert np.median(error) < 0.008


def test_empty_space_renders_as_background():
    T = look_at(np.array([0.0, 1.5, 0.0]), np.array([0.0, 1.5, -1.0]))
    frame = Renderer(floor(2.0, -30.0), [], TextureBank(), even_light()).render([], K, T, SIZE)
    assert (frame.depth[:20] == 0).all()
    np.testing.assert_allclose(frame.radiance[:20], 0.7, rtol=1e-3)


@pytest.mark.parametrize("kind", ["sun", "lamp"])
def test_a_box_casts_a_shadow_on_the_floor(kind):
    roof = box([-0.5, 1.0, -0.5], [0.5, 1.1, 0.5], GRAY)
    lights = {
        "sun": even_light(
            sun_direction=np.array([0.0, 1.0, 0.0]), sun_color=np.ones(3), sun_bounds=((-3, 0, -3), (3, 2, 3))
        ),
        "lamp": even_light(lamps=np.array([[0, 3.0, 0, 9, 9, 9, 0.1, 1.0]])),
    }[kind]
    renderer = Renderer(join_meshes([floor(3.0), roof]), [], TextureBank(), lights)
    T = look_at(np.array([0.0, 0.6, 2.5]), np.array([0.0, 0.0, 0.0]))
    frame = renderer.render([], K, T, SIZE)
    points = T[:3, 3] + rays(T) * frame.depth[..., None]
    on_floor = (frame.depth > 0) & (np.abs(points[..., 1]) < 0.01)
    radius = np.abs(points[..., [0, 2]]).max(-1)
    dark, bright = (
        frame.radiance[on_floor & (radius < 0.35)],
        frame.radiance[on_floor & (radius > 1.2) & (radius < 1.6)],
    )
    assert dark.mean() < 0.6 * bright.mean()


def test_people_are_numbered_from_one_and_hide_what_is_behind():
    near, far = box([-0.3, 0, -2.3], [0.3, 1.7, -2.0], GRAY), box([-0.3, 0, -4.3], [0.3, 1.7, -4.0], GRAY)
    renderer = Renderer(floor(), [near, far], TextureBank(), even_light())
    T = look_at(np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.9, -3.0]))
    frame = renderer.render([near.vertices, far.vertices], K, T, SIZE)
    assert frame.person_index[24, 32] == 1
    assert (frame.person_index == 1).sum() > (frame.person_index == 2).sum()
    moved = renderer.render([near.vertices + np.array([2, 0, 0]), far.vertices], K, T, SIZE)
    assert moved.person_index[24, 32] == 2
    assert renderer.count_person_pixels(1, K, T, SIZE) == pytest.approx((moved.person_index == 2).sum(), rel=0.25)


def test_the_nearest_triangle_wins_whatever_the_order():
    vertices = np.array([[-1, -1, 2], [1, -1, 2], [0, 1, 2], [-1, -1, 1], [1, -1, 1], [0, 1, 1]], np.float32)
    for faces in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        nearness, seen = empty_buffers(*SIZE)
        draw_pinhole(vertices, np.array(faces, np.int32), 20.0, 20.0, 31.5, 23.5, nearness, seen)
        assert nearness[23, 31] == pytest.approx(1.0)
        assert faces[seen[23, 31]] == [3, 4, 5]
