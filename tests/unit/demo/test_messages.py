"""What a visitor reads."""

from __future__ import annotations

import logging
import logging.handlers

import pytest

from demo import messages


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0.4 s"), (3.2, "3 s"), (80, "1 min 20 s"), (120, "2 min"), (7500, "2 h 5 min")]
)
def test_durations_are_formatted_for_people(seconds: float, expected: str) -> None:
    assert messages.duration(seconds) == expected


def test_progress_says_frame_speed_people_and_the_time_that_is_left() -> None:
    assert messages.progress(23, 60, 2, 14.2) == "frame 23/60 · 14 fps · 2 people · 3 s left"
    assert messages.progress(60, 60, 2, 14.2) == "frame 60/60 · 14 fps · 2 people · refining the whole clip"


def test_progress_of_the_first_frame_has_no_remaining_time() -> None:
    assert messages.progress(1, 60, 1, 0.0) == "frame 1/60 · 1 person"


def test_progress_without_a_known_length_leaves_the_rest_out() -> None:
    assert messages.progress(7, 0, 0, 2.5) == "frame 7 · 2.5 fps · 0 people"


def test_every_internal_error_has_an_id_that_the_log_has() -> None:
    handler = logging.handlers.BufferingHandler(10)
    log = logging.Logger("test")
    log.addHandler(handler)

    first, second = messages.log_internal_error(log), messages.log_internal_error(log)

    assert first != second
    assert handler.buffer[0].args[0] in first
    assert handler.buffer[1].args[0] in second


def test_a_picture_is_no_video_of_zero_seconds() -> None:
    assert messages.finished(1, 2, 1 / 30) == "1 frame · 2 people"
    assert messages.finished(60, 1, 2.0) == "60 frames · 1 person · 2 s of video"
