"""The line of runs."""

from __future__ import annotations

import threading

import pytest

from demo.jobs import Line, LineFullError

PATIENCE_S = 60
"""Waits end as soon as something happens; only a defect lasts so long."""


def test_the_first_in_line_has_its_turn_and_the_second_waits(line: Line) -> None:
    with line.place("first") as first, line.place("second") as second:
        assert line.waiting_before(first, 0) == 0
        assert line.waiting_before(second, 0) == 1
        assert line.counts() == (1, 1)


def test_the_next_moves_up_when_the_first_ends(line: Line) -> None:
    first_place = line.place("first")
    first_place.__enter__()
    with line.place("second") as second:
        threading.Timer(0.05, first_place.__exit__, (None, None, None)).start()

        assert line.waiting_before(second, PATIENCE_S) == 0


def test_a_full_line_refuses_with_the_number_that_waits(line: Line) -> None:
    with line.place("first"), line.place("second"), pytest.raises(LineFullError) as refusal, line.place("third"):
        pass

    assert refusal.value.args == (1,)


def test_stop_reaches_only_the_jobs_of_its_session(line: Line) -> None:
    with line.place("mine") as mine, line.place("theirs") as theirs:
        assert line.stop("mine") == 1
        assert mine.should_stop()
        assert not theirs.should_stop()


def test_stopping_ends_the_wait_of_a_job_that_is_not_its_turn(line: Line) -> None:
    with line.place("first"), line.place("second") as second:
        threading.Timer(0.05, line.stop, ("second",)).start()

        assert line.waiting_before(second, PATIENCE_S) == 1
        assert second.should_stop()


def test_a_failed_run_leaves_the_line(line: Line) -> None:
    with pytest.raises(RuntimeError), line.place("first"):
        raise RuntimeError

    assert line.counts() == (0, 0)
