"""What a page shows: one run, result or example at a time, also after a reload."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fake_engine import FakeEngine

from demo import messages
from demo.examples import EXAMPLES, Gallery
from demo.jobs import VISITOR_COOKIE, JobQueue
from demo.page.actions import Actions
from demo.page.api import Services
from demo.runs import Run, Runs
from demo.settings import Settings
from demo.storage import ResultStore, RunFolder
from human3r import PLAYER_SCENE_NAME

ANNA, BEN = "a" * 32, "b" * 32
OPTIONS = (0, 0, 0, 100, "compact", False, 0, 0)


def visit(page: str, visitor: str = ANNA, **query: str) -> SimpleNamespace:
    """A request of one open page."""
    client = SimpleNamespace(host="203.0.113.5")
    return SimpleNamespace(session_hash=page, cookies={VISITOR_COOKIE: visitor}, client=client, query_params=query)


@pytest.fixture
def services(engine: FakeEngine, runs: Runs, store: ResultStore) -> Services:
    engine.num_frames, engine.gate = 1000, threading.Event()
    settings = Settings(reload_grace_s=0.05)
    return Services(settings, engine, runs, store, Gallery(engine, store), ("compact",))


@pytest.fixture
def actions(services: Services) -> Actions:
    return Actions(services)


def started(actions: Actions, page: str = "page"):
    """Start a run of one page; return what the page iterates over, and the run."""
    changes = actions.run(visit(page), "clip.mp4", *OPTIONS)
    while "<img" not in str(next(changes)[3]):  # a picture of the first frame
        pass
    run = actions._shown[page]
    assert isinstance(run, Run)
    return changes, run


def test_a_reloaded_page_shows_the_running_job(actions: Actions, engine: FakeEngine) -> None:
    _, run = started(actions)
    actions.leave(visit("page"))

    reloaded = actions.reopen(visit("reloaded", result=run.token))
    _, again = next(reloaded), next(reloaded)

    assert f"viewer/{run.token}/live/" in again[2]
    assert again[6]["interactive"]
    run.stopped.set()
    engine.gate.set()


def test_others_with_the_address_can_watch_a_run_but_neither_stop_nor_delete_it(
    actions: Actions, engine: FakeEngine, services: Services
) -> None:
    changes, run = started(actions)
    stranger = actions.reopen(visit("other", BEN, result=run.token))
    _, seen = next(stranger), next(stranger)
    assert not seen[6]["interactive"]

    actions.stop(visit("other", BEN))
    assert not run.stopped.is_set()
    actions.stop(visit("page"))
    engine.gate.set()
    *_, last = changes
    list(stranger)

    assert 'data-h3="delete"' in last[4]
    actions.delete(visit("other", BEN))
    assert services.store.get(run.token) is not None
    assert messages.DELETED in actions.delete(visit("page"))[1]
    assert services.store.get(run.token) is None


def test_a_result_can_be_deleted_while_its_last_files_are_written(
    actions: Actions, engine: FakeEngine, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_shown, is_deleted, folders = threading.Event(), threading.Event(), []
    changes, run = started(actions)

    def write(result: object, clip: object, folder: RunFolder, name: str) -> bool:
        if name != PLAYER_SCENE_NAME:
            is_shown.set()
            folders.append(folder.path)
            is_deleted.wait(60)
        (folder.path / name).write_bytes(b"")  # fails once it is deleted
        return True

    monkeypatch.setattr(engine, "export", write)
    actions.stop(visit("page"))
    engine.gate.set()
    assert is_shown.wait(60)

    assert messages.DELETED in actions.delete(visit("page"))[1]
    assert services.store.get(run.token) is None
    thread = services.runs._threads[run]
    is_deleted.set()
    thread.join(60)
    assert messages.STOPPED_EMPTY not in str(list(changes))
    assert not folders[0].exists()


def test_a_run_that_no_page_shows_any_more_ends(actions: Actions, engine: FakeEngine, jobs: JobQueue) -> None:
    changes, run = started(actions)

    actions.leave(visit("page"))
    assert run.stopped.wait(10)
    engine.gate.set()
    list(changes)

    assert run.is_abandoned


def test_an_example_that_is_opened_while_a_run_works_stops_it_and_says_so(actions: Actions, engine: FakeEngine) -> None:
    changes, run = started(actions)

    _, *last = list(actions.open_example(visit("page"), EXAMPLES[0].slug, *OPTIONS))[-1]
    engine.gate.set()
    late = list(changes)

    assert run.stopped.is_set()
    assert messages.STOPPED_FOR_EXAMPLE in last[1]
    assert f"result={run.token}" in last[1]
    assert f'data-address="example={EXAMPLES[0].slug}"' in last[2]
    assert not any("recording" in str(change) for change in late)


def test_the_first_screen_plays_an_example_and_its_address_stays_empty(actions: Actions) -> None:
    _, first = actions.reopen(visit("page"))
    _, *named = actions.reopen(visit("page", example=EXAMPLES[1].slug))

    assert 'data-h3="recording" data-address=""' in first[2]
    assert "made earlier from every third frame" in first[1]
    assert f'data-address="example={EXAMPLES[1].slug}"' in named[0][2]
    assert len(list(actions.reopen(visit("page", example="")))) == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((-1, 0, 0, 10), "Start must be 0 or more."),
        ((9, 0, 0, 10), "Start is 9 s, after the end of the clip (1.2 s)."),
        ((0, 0, -2, 10), "Frames per second must be 0 or more."),
        ((0, 0, 0, 601), "At most … frames must be up to 600; it is 601."),
    ],
)
def test_a_wrong_option_is_named_before_the_run(services: Services, values: tuple[object, ...], sentence: str) -> None:
    services.engine.num_frames = 6
    actions = Actions(replace(services))

    line = actions.describe_clip(visit("page"), "clip.mp4", *values, "compact", False, 0, 0)

    assert sentence in line
    assert 'role="alert"' in line


def test_only_the_newest_pages_are_remembered(actions: Actions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.page.actions._MAX_PAGES", 3)
    for number in range(9):
        list(actions.reopen(visit(f"page {number}", result="a" * 22)))

    assert list(actions._shown) == ["page 6", "page 7", "page 8"]
