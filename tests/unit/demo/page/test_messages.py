"""What a visitor reads."""

from __future__ import annotations

import pytest

from demo.page import messages
from demo.page.messages import Progress


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (3.2, "3 s"), (80, "1 min 20 s"), (120, "2 min"), (7500, "2 h 5 min")]
)
def test_a_duration_is_said_as_a_person_says_it(seconds: float, said: str) -> None:
    assert messages.duration(seconds) == said


def test_progress_says_frame_speed_people_and_the_time_that_is_left() -> None:
    assert messages.progress(Progress(23, 60, 2, 14.2)) == "frame 23/60 · 14 fps · 2 people · 3 s left"


def test_progress_of_the_first_frame_promises_nothing() -> None:
    assert messages.progress(Progress(1, 60, 1, 0.0)) == "frame 1/60 · 1 person"


def test_progress_without_a_known_length_leaves_the_rest_out() -> None:
    assert messages.progress(Progress(7, 0, 0, 2.5)) == "frame 7 · 2.5 fps · 0 people"


def test_every_internal_error_has_its_own_id() -> None:
    (first, identity), (second, _) = messages.internal_error(), messages.internal_error()

    assert identity in first
    assert first != second
