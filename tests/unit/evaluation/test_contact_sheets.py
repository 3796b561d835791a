"""What a contact sheet shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from human3r.evaluation.contact_sheets import find_sights
from human3r.results.reconstruction import Reconstruction


def test_backs_are_those_who_look_where_the_camera_looks(walk: Reconstruction) -> None:
    camera = walk.T_world_camera[walk.person_frame]
    view = walk.joints_world[:, 0] - camera[:, :3, 3]
    # About the vertical, such that the body's z axis has the direction of the view.
    away = np.zeros((len(view), 3), np.float32)
    away[:, 1] = np.arctan2(view[:, 0], view[:, 2])
    assert len(find_sights(replace(walk, global_orient=away), "backs", count=5)) == 5
    toward = away + np.array([0, np.pi, 0], np.float32)
    assert find_sights(replace(walk, global_orient=toward), "backs", count=5) == []


def test_sights_are_spread_over_the_result(walk: Reconstruction) -> None:
    frames = [sight.frame for sight in find_sights(walk, "all", count=3)]
    assert frames == sorted(frames)
    assert len(frames) == 3
    assert frames[-1] == walk.person_frame.max()
    assert len({sight.joints for sight in find_sights(walk, "hands", count=1000)}) == 2
