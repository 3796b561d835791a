"""Presentation times from the stamps of packets."""

from __future__ import annotations

from fractions import Fraction

import pytest

from human3r.video.sources.timeline import Packet, Timeline, build_timeline

TICK_S = Fraction(1, 1000)
REORDERED = [0, 120, 40, 80, 240, 160, 200]
"""Presentation stamps in decoding order, as an encoder with B-frames writes them."""


def timeline_of(pts: list[int | None], dts: list[int | None] | None = None, **options: bool) -> Timeline:
    packets = [Packet(stamp, decoding, None, False) for stamp, decoding in zip(pts, dts or pts, strict=True)]
    return build_timeline(packets, TICK_S, 25.0, **{"has_clock": True, "has_pts": True, "can_jump": False, **options})


def test_reordered_frames_are_ranked_by_their_stamps() -> None:
    timeline = timeline_of(REORDERED, [-80, -40, 0, 40, 80, 120, 160])
    assert timeline.ranks == [0, 3, 1, 2, 6, 4, 5]
    assert timeline.times_s == [float(index * 40 * TICK_S) for index in range(7)]


def test_only_a_repeated_stamp_moves() -> None:
    assert timeline_of([0, 40, 80, 80, 120, 500]).times_s == [0, 0.04, 0.08, 0.1, 0.12, 0.5]


def test_stamps_repeated_at_the_end_go_on_at_the_usual_rate() -> None:
    assert timeline_of([0, 40, 80, 80, 80]).times_s == [0, 0.04, 0.08, 0.12, 0.16]


def test_stamps_that_are_all_the_same_take_the_rate_of_the_header() -> None:
    assert timeline_of([7, 7, 7]).times_s == [0, 0.04, 0.08]


@pytest.mark.parametrize("second", [0, 40, -5_000, 100_000_000])
@pytest.mark.parametrize("can_jump", [True, False])
def test_a_clock_that_is_reset_is_joined_and_one_that_jumps_where_streams_are_joined(
    second: int, can_jump: bool
) -> None:
    first = [900_000 + 40 * index for index in range(5)]
    timeline = timeline_of(first + [second + 40 * index for index in range(5)], can_jump=can_jump)
    if second < first[-1] or can_jump:
        assert timeline.times_s == [float(index * 40 * TICK_S) for index in range(10)]
    else:
        assert timeline.times_s[5] == pytest.approx(99_100)
    assert timeline.ranks == list(range(10))


def test_reordering_without_decoding_stamps_is_no_reset() -> None:
    slow = [stamp * 25 for stamp in REORDERED]
    assert timeline_of(slow, [None] * 7).times_s == [0, 1, 2, 3, 4, 5, 6]


def test_a_long_pause_stays_where_streams_are_not_joined() -> None:
    assert timeline_of([0, 40, 60_000]).times_s == [0, 0.04, 60]


def test_negative_stamps_count_from_the_first_frame() -> None:
    assert timeline_of([-200, -160, -120]).times_s == [0, 0.04, 0.08]


def test_missing_stamps_are_filled_in() -> None:
    timeline = timeline_of([0, None, 80, None, 160])
    assert timeline.times_s == [0, 0.04, 0.08, 0.12, 0.16]
    assert timeline.ranks == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("options", [{"has_clock": False}, {}])
def test_packets_without_stamps_take_the_rate_of_the_header(options: dict[str, bool]) -> None:
    stamps = [5, 6, 7] if options else [None] * 3
    timeline = timeline_of(stamps, **options)
    assert timeline.times_s == [0, 1 / 25, 2 / 25]
    assert timeline.ranks is None


def test_decoding_stamps_alone_give_times_and_no_order() -> None:
    timeline = timeline_of([None] * 3, [0, 40, 80], has_pts=False)
    assert timeline.times_s == [0, 0.04, 0.08]
    assert timeline.ranks is None


def test_frames_that_nothing_can_show_are_left_out() -> None:
    timeline = timeline_of([0, 40, 80]).starting_at(1)
    assert timeline.times_s == [0, 0.04]
    assert timeline.ranks == [-1, 0, 1]
