"""Laws of sampling by time stamps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.video.sampling import Sampling, choose_frames

times = st.lists(st.floats(0.001, 0.5), min_size=1, max_size=60).map(lambda steps: list(np.cumsum([0.0, *steps])))
rates = st.floats(0.5, 120)


@given(times, st.one_of(st.none(), rates), st.floats(0, 5), st.one_of(st.none(), st.floats(0.01, 9)))
@settings(max_examples=150, deadline=None)
def test_chosen_frames_ascend_and_lie_inside_the_window(times_s, fps, start_s, duration_s):
    chosen = choose_frames(times_s, Sampling(start_s, duration_s, fps))
    assert all(before < after for before, after in pairwise(chosen))
    end_s = start_s + duration_s if duration_s else float("inf")
    assert all(start_s - 1e-5 <= times_s[index] < end_s for index in chosen)


@given(times, rates)
@settings(max_examples=150, deadline=None)
def test_no_more_frames_than_ticks(times_s, fps):
    chosen = choose_frames(times_s, Sampling(fps=fps))
    assert len(chosen) <= (times_s[-1] - times_s[0]) * fps + 1.01


@given(times)
@settings(max_examples=50, deadline=None)
def test_without_a_rate_every_frame_is_chosen(times_s):
    assert choose_frames(times_s, Sampling()) == list(range(len(times_s)))


@given(times, rates, st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_a_frame_limit_gives_a_prefix(times_s, fps, bound):
    everything = choose_frames(times_s, Sampling(fps=fps))
    assert choose_frames(times_s, Sampling(fps=fps, max_frames=bound)) == everything[:bound]


@given(st.integers(2, 200), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=150, deadline=None)
def test_a_constant_rate_clip_is_sampled_at_the_requested_rate_within_one_frame(num_frames, clip_fps, fps):
    times_s = [index / clip_fps for index in range(num_frames)]
    chosen = choose_frames(times_s, Sampling(fps=fps))
    expected = min(num_frames, (num_frames - 1) / clip_fps * fps + 1)
    assert abs(len(chosen) - expected) <= 1.01
