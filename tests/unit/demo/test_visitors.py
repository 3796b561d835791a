"""Bounds and turns of visitors in the queue."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from demo.jobs import VISITOR_COOKIE, JobQueue, Visitor, VisitorLimitError


@pytest.fixture
def queue() -> JobQueue:
    return JobQueue(max_waiting=16, max_per_visitor=3)


def test_an_address_cannot_fill_the_queue_with_new_sessions(queue: JobQueue) -> None:
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(queue.slot(Visitor(f"session {number}", "203.0.113.5")))

        with pytest.raises(VisitorLimitError) as refusal, queue.slot(Visitor("one more", "203.0.113.5")):
            pass
        stack.enter_context(queue.slot(Visitor("someone else", "203.0.113.6")))

    assert refusal.value.args == (3,)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_itself_has_no_bound(queue: JobQueue, address: str) -> None:
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(queue.slot(Visitor("a program", address)))

        assert queue.counts() == (1, 5)


def test_the_addresses_of_one_network_are_one_visitor() -> None:
    assert Visitor("a", "2001:db8:1:2::1").key == Visitor("b", "2001:db8:1:2:ffff:1:2:3").key
    assert Visitor("a", "2001:db8:1:2::1").key != Visitor("a", "2001:db8:1:3::1").key
    assert Visitor("a", "fe80::1%eth0").key == Visitor("b", "fe80::2%eth1").key
    assert Visitor("a", "::ffff:203.0.113.5").key == Visitor("b", "203.0.113.5").key == "203.0.113.5"


def test_the_second_run_of_a_visitor_comes_after_the_first_of_another(queue: JobQueue) -> None:
    with ExitStack() as stack:
        jobs = [
            stack.enter_context(queue.slot(Visitor(f"session {index}", address)))
            for index, address in enumerate(("203.0.113.5", "203.0.113.5", "203.0.113.5", "203.0.113.6"))
        ]
        positions = [queue.wait_turn(job, 0) for job in jobs]

    assert positions == [0, 2, 3, 1]


def test_the_active_run_keeps_its_turn(queue: JobQueue) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(queue.slot(Visitor("a", "203.0.113.5")))
        first_turn = queue.wait_turn(first, 0)
        second = stack.enter_context(queue.slot(Visitor("a", "203.0.113.5")))
        other = stack.enter_context(queue.slot(Visitor("b", "203.0.113.6")))

        assert first_turn == 0
        assert [queue.wait_turn(job, 0) for job in (first, second, other)] == [0, 2, 1]


@pytest.mark.parametrize("name", ["../../x", "a" * 31, "a" * 8000, "\x01" * 36, "A" * 36, "None", "", "a" * 36 + "\n"])
def test_a_forged_cookie_names_nobody(name: str) -> None:
    assert Visitor.of({VISITOR_COOKIE: name}, None, "nobody").session == "nobody"
