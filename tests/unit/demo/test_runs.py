"""One run: progress, result, stop, failure, and what is left behind."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import FakeEngine

from demo import messages
from demo.downloads import FOR_PROGRAMS, WITH_RUN
from demo.engine import RunRequest
from demo.jobs import JobQueue, Visitor
from demo.runs import Runs
from demo.storage import ResultStore
from human3r import MediaDecodeError, Reconstruction, ReconstructOptions, Sampling

CLIP = Path("clip.mp4")
REQUEST = RunRequest(CLIP, "compact", ReconstructOptions())


def test_a_run_ends_with_a_result_that_holds_every_frame(runs: Runs, engine: FakeEngine) -> None:
    updates = list(runs.start(REQUEST, Visitor("someone")))

    outcome = updates[-1].outcome
    assert (outcome.frames, outcome.people) == (engine.num_frames, 1)
    assert Reconstruction.load(outcome.folder.file("reconstruction.npz")).num_frames == engine.num_frames


def test_the_recording_is_there_when_the_result_is_first_shown(runs: Runs) -> None:
    shown = [update for update in runs.start(REQUEST, Visitor("someone")) if update.outcome]

    assert [update.is_complete for update in shown] == [False, True]
    assert shown[0].outcome.ready == ("reconstruction.npz", "player.viser")
    assert set(WITH_RUN) <= set(shown[1].outcome.ready)


def test_a_program_gets_every_file(runs: Runs) -> None:
    *_, last = runs.start(REQUEST, Visitor("someone"), for_program=True)

    assert {"reconstruction.npz", *FOR_PROGRAMS} <= set(last.outcome.ready)


def test_the_counter_of_a_running_job_never_falls(runs: Runs, engine: FakeEngine) -> None:
    engine.gate = threading.Event()
    fractions = []
    for update in runs.start(REQUEST, Visitor("someone")):
        if update.preview is not None:
            fractions.append(update.fraction)
            engine.gate.set()

    assert fractions
    assert fractions == sorted(fractions)


def test_stop_keeps_the_frames_that_were_finished(runs: Runs, engine: FakeEngine) -> None:
    engine.num_frames = 1000
    engine.gate = threading.Event()
    for update in runs.start(REQUEST, Visitor("someone")):
        if update.preview is not None:
            runs.stop("someone")
            engine.gate.set()

    assert 0 < update.outcome.frames < 1000
    assert update.note == f"Stopped after {update.outcome.frames} of 1000 frames."


def test_a_clip_without_people_is_a_result_with_a_note(runs: Runs, engine: FakeEngine) -> None:
    engine.num_people = 0

    *_, last = runs.start(REQUEST, Visitor("someone"))

    assert last.outcome.people == 0
    assert last.note == messages.NO_PEOPLE


def test_a_bad_clip_is_one_sentence_and_leaves_nothing(runs: Runs, jobs: JobQueue, store: ResultStore) -> None:
    *_, last = runs.start(replace(REQUEST, clip=Path("notes.txt")), Visitor("someone"))

    assert last.problem == "The file is text, not a video. Choose a video."
    assert (jobs.counts(), len(store)) == ((0, 0), 0)


def test_a_clip_that_breaks_while_it_is_read_leaves_no_live_viewer(
    runs: Runs, engine: FakeEngine, store: ResultStore
) -> None:
    engine.failure = MediaDecodeError("The clip is damaged.", "Export it again.")

    *_, last = runs.start(REQUEST, Visitor("someone"))

    assert last.problem == "The clip is damaged. Export it again."
    assert engine.live[0].is_closed
    assert len(store) == 0


def test_an_internal_error_has_an_id_that_is_in_the_log(
    runs: Runs, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.failure = RuntimeError("a secret path")

    with caplog.at_level(logging.ERROR):
        *_, last = runs.start(REQUEST, Visitor("someone"))

    assert "a secret path" not in last.problem
    identity = last.problem.split("internal error ")[1].split(")")[0]
    assert identity in caplog.text


def test_a_missing_clip_is_one_sentence(runs: Runs) -> None:
    assert [update.problem for update in runs.start(replace(REQUEST, clip=None), Visitor("someone"))] == [
        messages.NO_CLIP
    ]


def test_a_second_visitor_waits_and_is_informed(runs: Runs, engine: FakeEngine) -> None:
    engine.gate = threading.Event()
    first = runs.start(REQUEST, Visitor("first"))
    next(first)

    second = runs.start(REQUEST, Visitor("second"))
    told = next(second)
    runs.stop("second")
    *_, end = second
    engine.gate.set()
    first.close()

    assert told.text == "Waiting: 1 run before yours"
    assert end.problem == messages.STOPPED_EMPTY
    assert end.is_stop


def test_leaving_the_page_ends_the_run_and_its_live_viewer(runs: Runs, engine: FakeEngine, jobs: JobQueue) -> None:
    engine.num_frames = 1000
    run = runs.start(REQUEST, Visitor("someone"))
    token = next(update.live_token for update in run if update.live_token)
    next(run)

    run.close()

    assert runs.live_url(token) is None
    assert engine.live[0].is_closed
    assert jobs.counts() == (0, 0)


def test_the_frames_of_a_run_follow_from_clip_and_options(engine: FakeEngine) -> None:
    clip = engine.probe(CLIP)  # 6 frames at 5 fps

    assert Sampling().estimated_frames(clip) == 6
    assert Sampling(fps=2.5).estimated_frames(clip) == 3
    assert Sampling(start_s=0.6).estimated_frames(clip) == 3
    assert Sampling(duration_s=0.4).estimated_frames(clip) == 2
    assert Sampling(max_frames=4).estimated_frames(clip) == 4


def test_a_refused_run_costs_next_to_nothing(runs: Runs, jobs: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    cleanings: list[None] = []
    monkeypatch.setattr("demo.runs.return_free_memory", lambda: cleanings.append(None))
    address = "203.0.113.5"
    with ExitStack() as stack:
        for number in range(2):
            stack.enter_context(jobs.slot(Visitor(f"session {number}", address)))
        *_, last = runs.start(REQUEST, Visitor("one more", address))

    assert last.problem
    assert not cleanings
    list(runs.start(REQUEST, Visitor("one more", address)))
    assert len(cleanings) == 1
