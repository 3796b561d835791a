"""Fixtures for everyone: a small body and a plausible reconstruction, made without any network."""

from __future__ import annotations

import pytest
from synthetic_scene import stand_in_body, walking_reconstruction
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from human3r.bodies import SmplxBody
from human3r.results.reconstruction import Reconstruction


class OneBrowserAtATime(LoadFileScheduling):
    """Two processes share the tests by files; all that draw in Chromium go to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/web" if nodeid.startswith("tests/web/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneBrowserAtATime:
    """Replace xdist's own way of sharing."""
    return OneBrowserAtATime(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the browser: it takes longest."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/web/"))


@pytest.fixture(scope="session")
def small_body() -> SmplxBody:
    """A body of tubes: 55 joints, 880 vertices."""
    return stand_in_body()


@pytest.fixture(scope="session")
def walk(small_body: SmplxBody) -> Reconstruction:
    """Twelve frames, two people (the second one absent in frames 3 to 5), a drifting camera, 500 points."""
    return walking_reconstruction(small_body)


@pytest.fixture(scope="session")
def nobody(small_body: SmplxBody) -> Reconstruction:
    """The same clip without anyone and without points."""
    return walking_reconstruction(small_body, num_people=0, num_points=0)
