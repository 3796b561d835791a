"""Frames that go through the network together: the same results as one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from human3r.errors import InputError
from human3r.inference.encoding import begin_groups, encode, in_groups
from human3r.inference.session import Session
from human3r.inference.stream import ReconstructOptions, Stepped, forward
from human3r.records import Frame, TensorRecord

TOLERANCE = 1e-4
"""Relative to the largest value: other orders of summation, through exponentials."""


def predictions(clip, model, batch_size=1, **options):
    model = replace(model, profile=replace(model.profile, cpu_batch_size=batch_size))
    events = forward(clip, model, ReconstructOptions(**options))
    return [event.prediction for event in events if isinstance(event, Stepped)]


def assert_close(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        values: list[list[torch.Tensor]] = [[], []]
        for record, kept in zip((one, other), values, strict=True):
            assert isinstance(record, TensorRecord)
            record.map(lambda tensor, kept=kept: kept.append(tensor) or tensor)
        assert torch.equal(one.people.track_id, other.people.track_id)
        for first, second in zip(*values, strict=True):
            assert first.shape == second.shape
            if first.numel():
                worst = (first.double() - second.double()).abs().max()
                assert worst <= TOLERANCE * second.double().abs().max().clamp_min(1e-3)


@pytest.fixture(scope="module")
def one_by_one(tiny, clip):
    return predictions(clip, tiny)


@pytest.mark.parametrize("batch_size", [2, 20])
def test_a_clip_in_groups_is_the_clip_frame_by_frame(tiny, clip, one_by_one, batch_size):
    assert_close(predictions(clip, tiny, batch_size=batch_size), one_by_one)


def test_groups_with_the_gate_are_frames_with_the_gate(tiny, clip):
    expected = predictions(clip, tiny, use_ttt3r=True)
    assert_close(predictions(clip, tiny, batch_size=4, use_ttt3r=True), expected)


def test_resets_in_the_middle_of_a_group_are_kept(tiny, clip):
    expected = predictions(clip, tiny, reset_interval=3)
    assert_close(predictions(clip, tiny, batch_size=4, reset_interval=3), expected)


def test_frames_that_are_passed_over_spoil_nothing_of_their_group(tiny, frames):
    stream = [frames[0], np.zeros_like(frames[0]), *frames[1:4]]
    alone = Session(tiny)
    expected = [alone.step(frame) for frame in stream]
    session = Session(tiny)
    prepared = [session.prepare(frame) for frame in stream]
    looked = session.recurrence.look_ahead(prepared)
    looked[3] = replace(looked[3], stepped=_poisoned(looked[3].stepped))
    found = [session.step_prepared(frame, ahead=ahead) for frame, ahead in zip(prepared, looked, strict=True)]
    assert session.num_rejected == alone.num_rejected == 1
    assert_close(found, expected)


def _poisoned(stepped):
    prediction, state = stepped
    return replace(prediction, focal_px=prediction.focal_px * float("nan")), state


def test_a_group_is_run_through_the_point_head_at_once(tiny, frames, monkeypatch):
    sizes = []
    healthy = tiny.network.point_head.dpt.forward

    def forward_and_note(levels, grid):
        sizes.append(len(levels[0]))
        return healthy(levels, grid)

    monkeypatch.setattr(tiny.network.point_head.dpt, "forward", forward_and_note)
    session = Session(tiny)
    prepared = [session.prepare(frame) for frame in frames[:3]]
    for frame, ahead in zip(prepared, session.recurrence.look_ahead(prepared), strict=True):
        session.step_prepared(frame, ahead=ahead)
    assert sizes == [3]


def test_a_frame_of_another_size_in_a_group_is_refused_in_its_turn(tiny, frames):
    session = Session(tiny)
    prepared = [session.prepare(frame) for frame in (frames[0], frames[1][:40])]
    first, second = session.recurrence.look_ahead(prepared)
    session.step_prepared(prepared[0], ahead=first)
    with pytest.raises(InputError, match="the stream is 80 x 60"):
        session.step_prepared(prepared[1], ahead=second)


@pytest.mark.parametrize(("buckets", "batch_size"), [((1, 2, 4, 8, 16), 1), ((64,), 3), ((1,), 1), ((1,), 3)])
def test_people_padded_to_buckets_are_the_same_people(tiny, clip, one_by_one, buckets, batch_size):
    padded = replace(tiny, people_buckets=buckets)
    assert_close(predictions(clip, padded, batch_size=batch_size), one_by_one)


def test_shapes_of_the_network_are_those_of_the_buckets(tiny, clip, monkeypatch):
    capacities = []
    healthy = tiny.network.step

    def step(tokens, state, **options):
        capacities.append(options["people_capacity"])
        return healthy(tokens, state, **options)

    monkeypatch.setattr(tiny.network, "step", step)
    predictions(clip, replace(tiny, people_buckets=(4, 32)))
    assert set(capacities) <= {4, 32}
    assert len(capacities) >= 9


def test_groups_end_at_shots_and_know_the_frame_before_within_a_shot(tiny, frames):
    session, calls = Session(tiny), []

    def look(prepared, before):
        calls.append((len(prepared), before is not None))
        return encode(tiny, prepared)

    stream = [Frame(frames[0], index, index / 30, begins_shot=index == 3) for index in range(7)]
    items = [(frame, session.prepare(frame.image)) for frame in stream]
    grouped = [frame.frame_index for (frame, _), _ in in_groups(items, 2, look)]
    assert grouped == list(range(7))
    assert calls == [(2, False), (1, True), (2, False), (2, True)]


def test_the_first_frame_of_a_shot_waits_for_no_other(tiny, frames):
    session = Session(tiny)
    stream = [Frame(frames[0], index, index / 30, begins_shot=index == 5) for index in range(9)]
    items = [(frame, session.prepare(frame.image)) for frame in stream]
    groups = [[frame.frame_index for frame, _ in group] for group, _ in begin_groups(tiny, items, 4)]
    assert groups == [[0], [1, 2, 3], [4], [5], [6, 7, 8]]
