"""Identities that are no people."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_scene import prediction_of

from human3r.refinement.false_people import without_buried
from human3r.results.person_table import PersonTable
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore


@pytest.fixture
def people(walk: Reconstruction) -> PersonTable:
    store = ResultStore()
    for frame in range(5):
        store.add(prediction_of(walk, frame))
    table = store.people()
    store.close()
    return table


def test_people_seen_briefly_below_the_floor_are_dropped(walk: Reconstruction, people: PersonTable) -> None:
    buried = int(people.person_track[0])
    up = walk.T_gravity_world[1, :3]
    people.joints_world[people.person_track == buried] -= 3 * up

    kept = without_buried(people, np.arange(5) * 0.1, walk.T_gravity_world)

    assert set(kept.person_track) == set(people.person_track) - {buried}
    assert len(without_buried(people, np.arange(5) * 1.0, walk.T_gravity_world)) == len(people)


def test_zero_people_are_handled(walk: Reconstruction, people: PersonTable) -> None:
    nobody = people.select(np.zeros(0, dtype=np.int64))
    assert len(without_buried(nobody, np.arange(5) * 0.1, walk.T_gravity_world)) == 0
