"""People whom the detector misses for a moment."""

from __future__ import annotations

import numpy as np

from human3r.geometry.rigid import transform_points
from human3r.refinement.short_gaps import with_short_gaps_filled
from human3r.results.person_table import PersonTable
from human3r.results.reconstruction import Reconstruction

_TIME_S = np.arange(5) * 0.1


def _heads(people: PersonTable, track: int, T_world_camera: np.ndarray) -> np.ndarray:
    rows = people.person_track == track
    return transform_points(T_world_camera[people.person_frame[rows]], people.unfiltered_head[rows, None])[:, 0]


def test_missed_frames_lie_between_those_before_and_after_though_the_camera_moves(
    walk: Reconstruction, people: PersonTable
) -> None:
    track = int(people.person_track[0])
    T_world_camera = walk.T_world_camera[:5].copy()
    T_world_camera[:, 0, 3] += np.linspace(0, 0.4, 5)
    is_missed = (people.person_track == track) & np.isin(people.person_frame, [2, 3])
    seen = people.select(~is_missed)

    filled = with_short_gaps_filled(seen, _TIME_S, T_world_camera)

    assert sorted(filled.person_frame[filled.person_track == track]) == [0, 1, 2, 3, 4]
    assert np.all(np.diff(filled.person_frame) >= 0)
    assert len(filled) == len(people)
    is_added = (filled.person_track == track) & np.isin(filled.person_frame, [2, 3])
    assert np.all(filled.person_score[is_added] == 0)
    heads = _heads(filled, track, T_world_camera)
    assert np.allclose(heads[2:4], heads[1] + np.array([[1], [2]]) / 3 * (heads[4] - heads[1]), atol=1e-5)
    turned = filled.unfiltered_rotations[is_added].astype(np.float64)
    assert np.allclose(turned @ turned.swapaxes(-1, -2), np.eye(3), atol=1e-5)


def test_long_absences_and_jumps_are_left_as_they_are(walk: Reconstruction, people: PersonTable) -> None:
    track = int(people.person_track[0])
    seen = people.select((people.person_track != track) | np.isin(people.person_frame, [0, 4]))
    assert len(with_short_gaps_filled(seen, 3 * _TIME_S, walk.T_world_camera[:5])) == len(seen)
    seen.unfiltered_head[(seen.person_track == track) & (seen.person_frame == 4)] += 2.0
    assert len(with_short_gaps_filled(seen, _TIME_S, walk.T_world_camera[:5])) == len(seen)
    assert with_short_gaps_filled(people, _TIME_S, walk.T_world_camera[:5]) is people
