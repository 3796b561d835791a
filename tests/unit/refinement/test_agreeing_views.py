"""Views of a moving camera are made to agree: path, depth, points and people of a shot after the adjustment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from human3r.geometry.rigid import inverse_transform_points, transform_points
from human3r.refinement.views import agreement
from human3r.refinement.views.agreement import with_agreeing_views
from human3r.refinement.world.depth_correction import pixels_of_grid
from human3r.refinement.world.shots import Cameras, Shot
from human3r.results.person_table import PersonTable
from human3r.results.scene_views import LATTICE_PX, SceneView

_SIZE = (96, 128)
_K = np.array([[110.0, 0, 63.5], [0, 110.0, 47.5], [0, 0, 1]])
_NUM_VIEWS = 6
_NORMAL, _DISTANCE = np.array([-0.3, 0.1, 1.0]), 4.0
"""The scene is a textured plane: _NORMAL @ x = _DISTANCE."""


def _rays() -> np.ndarray:
    x, y = np.meshgrid(np.arange(_SIZE[1]), np.arange(_SIZE[0]))
    return np.stack([(x - _K[0, 2]) / _K[0, 0], (y - _K[1, 2]) / _K[1, 1], np.ones(_SIZE)], axis=-1)


def _seen(T_world_camera: np.ndarray, texture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return picture and depth of the plane."""
    rays = _rays() @ T_world_camera[:3, :3].T
    depth = (_DISTANCE - _NORMAL @ T_world_camera[:3, 3]) / (rays @ _NORMAL)
    points = T_world_camera[:3, 3] + depth[..., None] * rays
    places = points[..., 1::-1] * 40 + 256
    picture = map_coordinates(texture, places.transpose(2, 0, 1), order=1, mode="wrap")
    return (picture * 255).astype(np.uint8), depth


def _camera(turn: list[float], position: list[float]) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(turn).as_matrix(), position
    return T


@pytest.fixture(scope="module")
def true_path() -> np.ndarray:
    return np.stack([_camera([0, -0.02 * n, 0], [0.18 * n, 0.01 * n, 0.05 * n]) for n in range(_NUM_VIEWS)])


@pytest.fixture(scope="module")
def views(true_path: np.ndarray) -> list[SceneView]:
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(512, 512)), 1.5, mode="wrap")
    texture = (noise - noise.min()) / np.ptp(noise)
    found = []
    for row, T in enumerate(true_path):
        picture, depth = _seen(T, texture)
        lattice = depth[LATTICE_PX // 2 :: LATTICE_PX, LATTICE_PX // 2 :: LATTICE_PX]
        # The network's error: some frames are too near, the left of all of them too far.
        error = np.exp(0.05 * (-1) ** row - 0.08 * np.linspace(-1, 1, lattice.shape[1]))
        found.append(SceneView(row, picture, (lattice * error).astype(np.float32), (0, 0, _SIZE[1], _SIZE[0])))
    return found


@pytest.fixture
def shot(true_path: np.ndarray, views: list[SceneView], people: PersonTable) -> Shot:
    """What the stream found: a path that drifts, and points where the depths say."""
    wrong = np.stack([T @ _camera([0, 0.004 * n, 0.003 * n], [0.01 * n, 0, 0.02 * n]) for n, T in enumerate(true_path)])
    lattice = _rays()[LATTICE_PX // 2 :: LATTICE_PX, LATTICE_PX // 2 :: LATTICE_PX]
    points = [
        transform_points(T, (lattice * v.depth[..., None]).reshape(-1, 3)) for T, v in zip(wrong, views, strict=True)
    ]
    cameras = Cameras(
        np.repeat(_K[None], _NUM_VIEWS, 0), wrong, 0.1 * np.arange(_NUM_VIEWS), np.zeros(_NUM_VIEWS, int), _SIZE
    )
    frames = np.repeat(np.arange(_NUM_VIEWS), len(points[0]))
    return Shot(cameras, people, np.concatenate(points), frames, np.eye(4), np.zeros((len(people), 2)))


def _path_error(path: np.ndarray, true_path: np.ndarray) -> float:
    """Return meters, with one scale."""
    moved, expected = path[:, :3, 3] - path[0, :3, 3], true_path[:, :3, 3] - true_path[0, :3, 3]
    scale = (moved * expected).sum() / (moved**2).sum()
    return float(np.linalg.norm(scale * moved - expected, axis=1).mean())


def test_path_and_depth_become_those_of_the_scene(shot: Shot, views: list[SceneView], true_path: np.ndarray) -> None:
    after = with_agreeing_views(shot, views, 0)
    found = after.cameras.T_world_camera.astype(np.float64)
    assert _path_error(found, true_path) < 0.25 * _path_error(shot.cameras.T_world_camera, true_path)
    assert np.allclose(found[0], true_path[0], atol=1e-5)
    spread = [np.std(np.log(_depth_error(one, true_path))) for one in (shot, after)]
    assert spread[1] < 0.5 * spread[0]
    assert np.abs(np.linalg.det(found[:, :3, :3]) - 1).max() < 1e-5


def _depth_error(shot: Shot, true_path: np.ndarray) -> np.ndarray:
    """Return the factors by which points are too far from their cameras."""
    T = shot.cameras.T_world_camera[shot.point_frame].astype(np.float64)
    in_camera = inverse_transform_points(T, shot.points[:, None])[:, 0]
    rays = np.einsum("nij,nj->ni", true_path[shot.point_frame, :3, :3], in_camera / in_camera[:, 2:])
    position = true_path[shot.point_frame, :3, 3]
    return in_camera[:, 2] / ((_DISTANCE - position @ _NORMAL) / (rays @ _NORMAL))


def test_people_stay_where_their_camera_sees_them(shot: Shot, views: list[SceneView]) -> None:
    after = with_agreeing_views(shot, views, 0)
    joints = [
        inverse_transform_points(one.cameras.T_world_camera[one.people.person_frame], one.people.joints_world)
        for one in (shot, after)
    ]
    assert len(joints[0]) > 0
    assert np.allclose(joints[0], joints[1], atol=1e-4)
    assert not np.allclose(shot.people.transl, after.people.transl, atol=1e-3)


def test_frames_between_views_move_with_them(
    shot: Shot, views: list[SceneView], true_path: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "_MIN_POINTS", 20)  # small pictures
    after = with_agreeing_views(shot, [views[0], views[2], views[4]], 0)
    found = after.cameras.T_world_camera
    assert _path_error(found, true_path) < 0.5 * _path_error(shot.cameras.T_world_camera, true_path)

    assert after.view_depth is not None
    pixels = pixels_of_grid((6, 8), (0, 0, _SIZE[1], _SIZE[0]))
    depth = np.linspace(2, 8, 48).reshape(6, 8)
    first, between, second = (
        after.view_depth.factor(frame, pixels.reshape(-1, 2), depth.reshape(-1), _SIZE) for frame in (2, 3, 4)
    )
    assert between == pytest.approx(np.sqrt(first * second))
    assert not np.allclose(first, second, atol=1e-3)
    assert after.view_depth.factor_map(3, pixels, depth, _SIZE).reshape(-1) == pytest.approx(between)


def test_a_camera_that_stands_is_left_alone(shot: Shot, views: list[SceneView]) -> None:
    assert with_agreeing_views(shot, views[:1], 0) is shot
    assert with_agreeing_views(shot, [], 0) is shot
    assert with_agreeing_views(shot, [replace(view, row=view.row + 50) for view in views], 0) is shot


def test_a_shot_whose_views_share_too_little_is_left_alone(shot: Shot, views: list[SceneView]) -> None:
    strips = [replace(view, gray=np.where(np.arange(_SIZE[1]) < 40, view.gray, 0)) for view in views]
    assert with_agreeing_views(shot, strips, 0) is shot
