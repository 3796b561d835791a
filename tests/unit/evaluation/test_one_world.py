"""People on the scene that they are in: figures of results whose faults are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from human3r.errors import FormatError
from human3r.evaluation.one_world import main, measure
from human3r.geometry.rigid import transform_points
from human3r.refinement.world.shots import project_joints
from human3r.refinement.world.standing import SOLE_M, is_standing, lower_sole, surface_below
from human3r.results.reconstruction import Reconstruction


@pytest.fixture
def standing(walk: Reconstruction) -> Reconstruction:
    """People of ``walk`` with straight legs, each on a piece of floor of its own."""
    T = walk.T_gravity_world.astype(np.float64)
    joints = transform_points(T, walk.joints_world.astype(np.float64))
    joints -= joints[:, :1]
    for leg in ((1, 4, 7, 10), (2, 5, 8, 11)):
        joints[:, leg] = np.array([[0.1, -0.1, 0], [0.1, -0.5, 0], [0.1, -0.9, 0], [0.1, -0.96, 0]]) * (1, 1, 1)
    joints[:, 12] = (0, 0.5, 0)
    joints += np.array([0.0, 1.0, 0.0]) + np.array([0.5, 0, 0]) * walk.person_track[:, None, None]
    grid = np.stack(np.meshgrid(np.arange(-3, 3, 0.1), np.arange(-3, 3, 0.1)), axis=-1).reshape(-1, 2)
    floor = np.column_stack([grid[:, 0], np.zeros(len(grid)), grid[:, 1]])
    back = np.linalg.inv(T)
    joints_world = transform_points(back, joints).astype(np.float32)
    return replace(
        walk,
        joints_world=joints_world,
        joints_image_px=project_joints(joints_world, walk.K[walk.person_frame], walk.T_world_camera[walk.person_frame]),
        points_world=transform_points(back, floor),
        points_color=np.zeros((len(floor), 3)),
        points_confidence=np.ones(len(floor)),
        points_frame=np.zeros(len(floor)),
    )


def test_people_on_the_floor_are_counted_as_on_it(standing: Reconstruction) -> None:
    figures = measure(standing, standing)
    assert figures.standing == len(standing.person_frame)
    assert figures.on_scene_percent == figures.on_floor_percent == 100
    assert figures.skating_mm == pytest.approx(0, abs=0.01)
    assert figures.moved_px == 0


def test_a_scene_that_lies_lower_leaves_people_in_the_air(standing: Reconstruction) -> None:
    down = -0.3 * standing.T_gravity_world[1, :3]
    figures = measure(replace(standing, points_world=standing.points_world + down))
    assert figures.on_scene_percent == 0
    assert figures.gap_m == pytest.approx(0.3, abs=0.01)
    assert figures.on_floor_percent == 100


def test_a_ceiling_is_not_the_ground(standing: Reconstruction) -> None:
    is_ceiling = np.arange(len(standing.points_world)) % 4 > 0
    points = standing.points_world + np.outer(2.5 * is_ceiling, standing.T_gravity_world[1, :3])
    figures = measure(replace(standing, points_world=points))
    assert figures.on_scene_percent == 0
    assert figures.on_ground_percent == 100


def test_no_scene_below_is_a_miss_of_the_strict_figure_only(standing: Reconstruction) -> None:
    far = standing.points_world + np.float32(100)
    figures = measure(replace(standing, points_world=far))
    assert figures.on_scene_strict_percent == 0
    assert np.isnan(figures.on_scene_percent)


def test_furniture_under_a_foot_is_not_floor() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform((-1, 0, -1), (1, 1.5, 1), (4000, 3))
    assert not surface_below(points, np.zeros((1, 3))).is_floor[0]
    assert surface_below(points * (1, 0.01, 1), np.zeros((1, 3))).is_floor[0]


def test_the_lower_sole_is_below_its_joint(standing: Reconstruction) -> None:
    joints = transform_points(standing.T_gravity_world.astype(np.float64), standing.joints_world.astype(np.float64))
    soles, side = lower_sole(joints[:, :22])
    assert soles[:, 1] == pytest.approx(np.full(len(soles), 0.04 - SOLE_M), abs=1e-4)
    assert set(side) <= {0, 1}
    assert is_standing(joints[:, :22]).all()


def test_the_command_writes_one_object_per_result(standing: Reconstruction, tmp_path: Path, capsys) -> None:
    standing.save(tmp_path / "clip.npz")
    assert main([str(tmp_path), "--json", "--before", str(tmp_path / "clip.npz")]) == 0
    assert json.loads(capsys.readouterr().out)["on_scene_percent"] == 100
    (tmp_path / "broken.npz").write_bytes(b"no")
    with pytest.raises(FormatError):
        main([str(tmp_path)])
