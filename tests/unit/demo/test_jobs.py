"""The queue of runs."""

from __future__ import annotations

import threading

import pytest

from demo.jobs import JobQueue, QueueFullError, Visitor

PATIENCE_S = 60
"""Waits end as soon as something happens; only a defect lasts so long."""


def test_the_first_in_the_queue_has_its_turn_and_the_second_waits(jobs: JobQueue) -> None:
    with jobs.slot(Visitor("first")) as first, jobs.slot(Visitor("second")) as second:
        assert jobs.wait_turn(first, 0) == 0
        assert jobs.wait_turn(second, 0) == 1
        assert jobs.counts() == (1, 1)


def test_the_next_moves_up_when_the_first_ends(jobs: JobQueue) -> None:
    first_slot = jobs.slot(Visitor("first"))
    first_slot.__enter__()
    with jobs.slot(Visitor("second")) as second:
        threading.Timer(0.05, first_slot.__exit__, (None, None, None)).start()

        assert jobs.wait_turn(second, PATIENCE_S) == 0


def test_a_full_queue_refuses_with_the_number_that_waits(jobs: JobQueue) -> None:
    with (
        jobs.slot(Visitor("first")),
        jobs.slot(Visitor("second")),
        pytest.raises(QueueFullError) as refusal,
        jobs.slot(Visitor("third")),
    ):
        pass

    assert refusal.value.args == (1,)


def test_stop_reaches_only_the_jobs_of_its_session(jobs: JobQueue) -> None:
    with jobs.slot(Visitor("mine")) as mine, jobs.slot(Visitor("theirs")) as theirs:
        jobs.stop("mine")

        assert mine.stopped.is_set()
        assert not theirs.stopped.is_set()


def test_stopping_ends_the_wait_of_a_job_that_is_not_its_turn(jobs: JobQueue) -> None:
    with jobs.slot(Visitor("first")), jobs.slot(Visitor("second")) as second:
        threading.Timer(0.05, jobs.stop, ("second",)).start()

        assert jobs.wait_turn(second, PATIENCE_S) == 1
        assert second.stopped.is_set()


def test_a_failed_run_leaves_the_queue(jobs: JobQueue) -> None:
    with pytest.raises(RuntimeError), jobs.slot(Visitor("first")):
        raise RuntimeError

    assert jobs.counts() == (0, 0)
