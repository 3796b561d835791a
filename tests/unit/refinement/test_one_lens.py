"""One lens per shot: people and scene keep their places in the image."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from human3r.geometry.camera import project
from human3r.geometry.rigid import inverse_transform_points
from human3r.refinement.certainty import describe
from human3r.refinement.world.depth_correction import depth_factor_of
from human3r.refinement.world.fit import WorldFit
from human3r.refinement.world.shots import Cameras, Shot, split, with_one_lens
from human3r.results.person_table import PERSON_ROW, PersonTable

FOCALS_PX = (100.0, 110.0, 130.0, 120.0)


def _shot() -> Shot:
    rng = np.random.default_rng(0)
    count = len(FOCALS_PX)
    K = np.tile(np.array([[1.0, 0, 50], [0, 1, 40], [0, 0, 1]]), (count, 1, 1))
    K[:, 0, 0] = K[:, 1, 1] = FOCALS_PX
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, 0, 3] = 0.2 * np.arange(count)
    cameras = Cameras(K, T, 0.1 * np.arange(count), np.zeros(count, np.int64), (80, 100))
    rows = np.zeros(count, PERSON_ROW)
    rows["person_frame"] = np.arange(count)
    rows["unfiltered_head"] = (0.3, 0.2, 4.0)
    rows["joints_world"] = T[:, None, :3, 3] + np.array([0.3, 0.2, 4.0])
    points = rng.uniform((-1, -1, 2), (1, 1, 6), (40, 3))
    return split(cameras, PersonTable.from_rows(rows), points, np.sort(rng.integers(0, count, 40)))[0]


def _pixels(shot: Shot) -> np.ndarray:
    frame = shot.point_frame
    in_camera = inverse_transform_points(shot.cameras.T_world_camera[frame], shot.points[:, None])
    return project(in_camera, shot.cameras.K[frame])


def test_one_lens_is_the_median_of_the_second_half_and_changes_no_image() -> None:
    shot = _shot()
    one = with_one_lens(shot)
    assert np.ptp(one.cameras.K[:, 0, 0]) == 0
    assert one.cameras.K[0, 0, 0] == pytest.approx(125.0)
    assert _pixels(one) == pytest.approx(_pixels(shot), abs=1e-6)
    before = shot.cameras.project(shot.people.joints_world, shot.people.person_frame)
    after = one.cameras.project(one.people.joints_world, one.people.person_frame)
    assert after == pytest.approx(before, abs=1e-4)


def test_depth_of_the_stream_grows_with_the_focal_length_of_its_frame() -> None:
    fit = WorldFit(np.log(2.0), np.zeros(3), np.array([0.0, -1, 0]), -1.5, np.zeros(0))
    meta = describe([replace(with_one_lens(_shot()), fit=fit)], [np.eye(4)], [False], np.full(len(FOCALS_PX), np.nan))
    result = SimpleNamespace(meta=meta, shot=np.zeros(len(FOCALS_PX), np.int64))
    factors = [depth_factor_of(result, row, np.ones((8, 10)), (0, 0, 100, 80)) for row in range(len(FOCALS_PX))]  # type: ignore[arg-type]
    assert factors == pytest.approx([2 * 125 / focal for focal in FOCALS_PX], rel=1e-3)


def test_only_witnesses_that_were_heard_are_named() -> None:
    fit = WorldFit(0.0, np.zeros(5), np.array([0.0, -1, 0]), -1.5, np.zeros(0), witnesses=("depth", "plane"))
    meta = describe([replace(with_one_lens(_shot()), fit=fit)], [np.eye(4)], [False], np.full(len(FOCALS_PX), np.nan))
    assert meta["scale"]["witnesses"] == ["depth", "plane"]  # type: ignore[index]
    assert meta["floor"]["witnesses"] == ["plane"]  # type: ignore[index]
