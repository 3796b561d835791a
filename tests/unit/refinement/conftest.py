"""People as refinement gets them."""

from __future__ import annotations

import pytest
from synthetic_scene import prediction_of

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
