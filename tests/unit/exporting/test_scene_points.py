"""Points for viewers: bands by confidence, and sizes that close surfaces near and far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from human3r.exporting.scene_points import points_by_confidence
from human3r.results.reconstruction import Reconstruction


@pytest.fixture
def two_walls(walk: Reconstruction) -> Reconstruction:
    """Points 2 m before the camera that are 3 cm apart, and points 10 m before it that are 9 cm apart."""
    steps = np.stack(np.meshgrid(np.arange(20), np.arange(20)), axis=-1).reshape(-1, 2)
    walls = [np.column_stack([gap * steps, np.full(len(steps), depth)]) for gap, depth in ((0.03, 2.0), (0.09, 10.0))]
    count = 2 * len(steps)
    return replace(
        walk,
        points_world=np.concatenate(walls).astype(np.float32),
        points_color=np.zeros((count, 3), np.uint8),
        points_confidence=np.tile(np.arange(len(steps)), 2).astype(np.float32),
        points_frame=np.zeros(count, np.int32),
    )


def test_points_are_as_large_as_what_the_camera_saw_of_each(two_walls: Reconstruction) -> None:
    groups = points_by_confidence(two_walls, 1)[0]
    angle = float(max(two_walls.image_size)) / 384 / float(two_walls.K[0, 0, 0])
    assert groups[0].size_m == pytest.approx(2 * angle, rel=0.1)
    assert groups[-1].size_m == pytest.approx(10 * angle, rel=0.1)


def test_bands_hold_every_point_once_and_rise_in_confidence(two_walls: Reconstruction) -> None:
    bands = points_by_confidence(two_walls, 5)
    assert [sum(len(group.points) for group in band) for band in bands] == [160] * 5


def test_without_points_there_are_no_bands(nobody: Reconstruction) -> None:
    assert points_by_confidence(nobody, 5) == []
