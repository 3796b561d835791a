"""Parts of the demo over the stand-in engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from standin import StandInEngine

from demo.jobs import Line
from demo.runs import Runs
from demo.storage import Store
from demo.viewer import LiveScenes


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
def store(clock: Clock) -> Iterator[Store]:
    with Store(file_ttl_s=3600, max_results=3, clock=clock) as made:
        yield made


@pytest.fixture
def live(clock: Clock) -> Iterator[LiveScenes]:
    scenes = LiveScenes(max_live=2, ttl_s=900, clock=clock)
    yield scenes
    scenes.close_all()


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def line() -> Line:
    return Line(max_waiting=1)


@pytest.fixture
def runs(engine: StandInEngine, line: Line, store: Store, live: LiveScenes) -> Runs:
    return Runs(engine, line, store, live)
