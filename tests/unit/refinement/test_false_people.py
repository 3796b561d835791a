"""Identities that are no people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from human3r.refinement.false_people import without_buried, without_doublets
from human3r.results.person_table import PersonTable
from human3r.results.reconstruction import Reconstruction


def test_people_seen_briefly_below_the_floor_are_dropped(walk: Reconstruction, people: PersonTable) -> None:
    buried = int(people.person_track[0])
    up = walk.T_gravity_world[1, :3]
    people.joints_world[people.person_track == buried] -= 3 * up

    kept = without_buried(people, np.arange(5) * 0.1, walk.T_gravity_world)

    assert set(kept.person_track) == set(people.person_track) - {buried}
    assert len(without_buried(people, np.arange(5) * 1.0, walk.T_gravity_world)) == len(people)


@pytest.mark.parametrize(("aside_m", "is_dropped"), [(0.05, True), (0.5, False)])
def test_a_second_detection_inside_of_a_person_is_dropped(
    people: PersonTable, aside_m: float, is_dropped: bool
) -> None:
    track = int(people.person_track[0])
    again = people.select((people.person_track == track) & (people.person_frame < 3))
    again = replace(
        again,
        person_track=np.full(len(again), 99),
        joints_world=again.joints_world + np.array([aside_m, 0, 0], np.float32),
    )
    both = PersonTable.concatenate([people, again])

    kept = without_doublets(both, np.arange(5) * 0.1, np.zeros((len(both), 3)))

    assert set(kept.person_track) == set(people.person_track) | (set() if is_dropped else {99})
    assert len(without_doublets(both, np.arange(5) * 2.0, np.zeros((len(both), 3)))) == len(both)


def test_zero_people_are_handled(walk: Reconstruction, people: PersonTable) -> None:
    nobody = people.select(np.zeros(0, dtype=np.int64))
    assert len(without_buried(nobody, np.arange(5) * 0.1, walk.T_gravity_world)) == 0
    assert len(without_doublets(nobody, np.arange(5) * 0.1, np.zeros((0, 3)))) == 0
