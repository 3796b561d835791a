"""Services of the demo over the fake engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_engine import FakeEngine

from demo.jobs import JobQueue
from demo.runs import Runs
from demo.storage import ResultStore


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[ResultStore]:
    with ResultStore(file_ttl_s=3600, max_results=3, clock=clock) as made:
        yield made


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def jobs() -> JobQueue:
    return JobQueue(max_waiting=1, max_per_visitor=2)


@pytest.fixture
def runs(engine: FakeEngine, jobs: JobQueue, store: ResultStore) -> Iterator[Runs]:
    made = Runs(engine, jobs, store)
    yield made
    made.close()
