"""Observations that contradict those before and after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from human3r.refinement.misread import without_misread
from human3r.results.person_table import PersonTable
from human3r.results.reconstruction import Reconstruction

_TIME_S = np.arange(5) * 0.1


@pytest.fixture
def seen(people: PersonTable) -> PersonTable:
    keypoints = np.zeros((len(people), 17, 3), np.float32)
    keypoints[..., 2] = 0.4
    return replace(people, keypoints=keypoints)


def _row(people: PersonTable, frame: int) -> int:
    return int(np.flatnonzero((people.person_track == people.person_track[0]) & (people.person_frame == frame))[0])


def test_a_person_who_leaps_away_and_back_is_not_there_in_that_frame(walk: Reconstruction, seen: PersonTable) -> None:
    row = _row(seen, 2)
    assert without_misread(seen, _TIME_S, walk.T_world_camera) is seen
    seen.unfiltered_head[row] *= 2.0
    kept = without_misread(seen, _TIME_S, walk.T_world_camera)
    assert len(kept) == len(seen) - 1
    assert not np.any((kept.person_frame == 2) & (kept.person_track == seen.person_track[0]))


def test_who_is_clearly_seen_may_leap(walk: Reconstruction, seen: PersonTable) -> None:
    row = _row(seen, 2)
    seen.unfiltered_head[row] *= 2.0
    seen.keypoints[row, :, 2] = 0.7
    assert len(without_misread(seen, _TIME_S, walk.T_world_camera)) == len(seen)


def test_a_pose_without_a_torso_is_dropped_unless_the_torso_is_hidden_all_the_time(
    walk: Reconstruction, seen: PersonTable
) -> None:
    seen.keypoints[_row(seen, 4), 5:13, 2] = 0.2
    assert len(without_misread(seen, _TIME_S, walk.T_world_camera)) == len(seen) - 1
    seen.keypoints[:, 5:13, 2] = 0.2
    assert len(without_misread(seen, _TIME_S, walk.T_world_camera)) == len(seen)
