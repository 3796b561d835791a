"""Streams that do not wait: which frames are processed, what is counted, and what a late stream leaves out."""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from human3r.errors import InputError
from human3r.inference.live.budget import LEVELS, Budget, BudgetOptions
from human3r.inference.live.handover import Handover
from human3r.inference.live.report import Timings
from human3r.inference.live.result import LiveResult
from human3r.inference.live.stream import LiveStream
from human3r.inference.session import Session
from human3r.video.live.reader import LiveFrame


@pytest.fixture(params=["alone", "overlapping"])
def model(request, tiny):
    return replace(tiny, profile=replace(tiny.profile, overlaps_on_cpu=request.param == "overlapping"))


def in_step(frames, taken: threading.Semaphore):
    """Yield every frame after the one before it was taken."""
    for frame in frames:
        yield frame
        taken.acquire()


def test_a_stream_that_keeps_up_is_the_session(model, frames):
    taken = threading.Semaphore(0)
    predictions = []
    with LiveStream(model, in_step(frames[:5], taken)) as stream:
        for prediction in stream:
            predictions.append(prediction)
            taken.release()
    session = Session(model)
    for prediction, frame in zip(predictions, frames[:5], strict=True):
        expected = session.step(frame, prediction.time_s)
        # One core per stage adds up in another order than all cores.
        torch.testing.assert_close(prediction.camera.T_world_camera, expected.camera.T_world_camera, rtol=0, atol=1e-4)
        assert prediction.people.track_id.equal(expected.people.track_id)
    report = stream.report()
    assert (report.offered, report.processed, report.dropped) == (5, 5, 0)


def test_of_frames_that_came_meanwhile_only_the_newest_is_processed(model, frames):
    came = threading.Event()

    def burst():
        yield frames[0]
        assert came.wait(60)
        yield from frames[1:]
        came.clear()

    processed = []
    with LiveStream(model, burst()) as stream:
        for prediction in stream:
            if not processed:
                came.set()
                while came.is_set():
                    pass
            processed.append(prediction.frame_index)
    report = stream.report()
    assert processed[0] == 0
    assert processed[-1] == len(frames) - 1
    assert report.offered == len(frames)
    assert report.processed == len(processed)
    # While the consumer is held up, one frame may be in each of the two stages before it, and one waits.
    assert report.dropped >= len(frames) - 4


def test_stopping_ends_a_source_that_never_ends(model, frames):
    def forever():
        while True:
            yield frames[0]

    with LiveStream(model, forever()) as stream:
        for _ in stream:
            stream.stop()
    assert 1 <= stream.report().processed <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("human3r-live")]


def test_errors_of_the_source_reach_the_consumer(model, frames):
    def broken():
        yield frames[0]
        raise InputError("The camera is gone.")

    with LiveStream(model, broken()) as stream, pytest.raises(InputError, match="The camera is gone"):
        list(stream)


def test_errors_of_the_model_reach_the_consumer(model, frames):
    with LiveStream(model, [frames[0][..., :2]]) as stream, pytest.raises(InputError, match="uint8 RGB"):
        list(stream)


def test_latencies_are_counted_by_the_millisecond():
    timings = Timings()
    for milliseconds in range(1, 101):
        timings.add(milliseconds / 1000, timings.started_s + milliseconds)
    report = timings.report(200)
    assert report.latency_median_s == pytest.approx(0.050, abs=1e-3)
    assert report.latency_p95_s == pytest.approx(0.095, abs=1e-3)
    assert (report.processed, report.dropped) == (100, 100)
    assert report.fps == pytest.approx(1.0)


def test_a_report_without_frames_has_no_latency():
    report = Timings().report(0)
    assert report.latency_median_s is None
    assert report.fps == 0


def test_a_late_stream_skips_work_step_by_step_and_resumes_it():
    budget, now_s = Budget(BudgetOptions(frame_s=0.1, first_level=0)), 0.0
    left_out = []
    for _ in range(40):
        now_s += 0.2
        budget.add(0.2, now_s)
        left_out.append(
            {
                "second looks": budget.effort.second_look_interval > 1,
                "looks at all": budget.effort.max_second_looks == 1,
                "scene": not (budget.takes_scene(now_s) & budget.takes_scene(now_s)),
                "surface": not budget.takes_surface,
                "hands": not (budget.takes_hands(now_s) & budget.takes_hands(now_s)),
            }
        )
    first = {name: next(index for index, each in enumerate(left_out) if each[name]) for name in left_out[0]}
    assert list(first.values()) == sorted(set(first.values())), first
    assert first["hands"] * 0.2 <= 5, "the budget does not adapt within seconds"
    for _ in range(80):
        now_s += 0.1
        budget.add(0.01, now_s)
    assert budget.level == 0
    assert budget.effort.second_look_interval == 1
    assert budget.takes_scene(now_s)
    assert budget.takes_scene(now_s)


def test_a_stream_shows_people_before_its_surface():
    budget, now_s = Budget(BudgetOptions(frame_s=0.1)), 0.0
    assert not budget.takes_surface
    while not budget.takes_surface and now_s < 5:
        now_s += 0.05
        budget.add(0.05, now_s)
    assert budget.takes_surface
    assert now_s < 3


def test_thinned_out_is_twice_a_second():
    budget = Budget(BudgetOptions(frame_s=0.1))
    budget.level = len(LEVELS) - 1
    for takes in (budget.takes_scene, budget.takes_hands):
        assert [takes(index * 0.1) for index in range(10)] == [True, *[False] * 4, True, *[False] * 4]


def test_the_level_of_a_budget_stays_between_its_marks():
    budget = Budget(BudgetOptions(frame_s=0.1, first_level=0))
    for index in range(50):
        budget.add(0.2 if budget.level == 0 else 0.08, index * 0.2)
    assert budget.level == 1


def test_a_handover_replaces_what_waits_and_counts_it():
    place: Handover[int] = Handover()
    for number in (1, 2, 3):
        place.replace(number)
    assert (place.take(), place.num_replaced) == (3, 2)
    place.close()
    assert place.take() is None
    assert not place.replace(4)


def test_a_handover_gives_its_error_to_the_taker_after_the_last_item():
    place: Handover[int] = Handover()
    place.replace(1)
    place.close(ValueError("no more"))
    assert place.take() == 1
    with pytest.raises(ValueError, match="no more"):
        place.take()


def test_frames_of_a_live_stream_are_numbered_in_the_order_they_came(model, frames):
    with LiveStream(model, [np.ascontiguousarray(frames[0])]) as stream:
        [prediction] = list(stream)
    assert prediction.frame_index == 0
    assert prediction.time_s >= 0


def test_the_example_follows_a_clip(clip, capsys):
    path = Path(__file__).resolve().parents[3] / "examples" / "04_live_frames.py"
    spec = importlib.util.spec_from_file_location("live_frames", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main(clip, "tiny")
    printed = capsys.readouterr().out.splitlines()
    assert "ms late" in printed[0]
    assert printed[-1].startswith("LiveReport(offered=9, processed=")


def test_a_result_ends_where_more_could_not_be_finished(tiny, frames):
    session = Session(tiny)
    predictions = [session.step(frame) for frame in frames[:3]]
    num_people = sum(len(each.people) for each in predictions[:2])
    assert len(predictions[2].people) > 0
    with LiveResult(tiny, "camera", max_people=num_people) as kept:
        assert [kept.add(each) for each in predictions] == [True, True, False]
        result = kept.finish()
    assert result.num_frames == 2
    assert f"enough to finish {num_people}" in result.meta["warnings"][0]


def test_behind_a_cut_there_is_a_new_world(model):
    here, there = (
        np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        for seed in (0, 1)
    )
    taken = threading.Semaphore(0)

    def source():
        for index in range(3):
            yield LiveFrame(here, index, index / 10)
            taken.acquire()
        # Whatever of these is not looked at: the last one is.
        yield LiveFrame(there, 3, 0.3)
        yield LiveFrame(there, 4, 2.0)

    with LiveStream(model, source()) as stream:
        shots = {}
        for prediction in stream:
            shots[prediction.frame_index] = prediction.shot
            taken.release()
    with LiveStream(model, [LiveFrame(here, 0, 0.0)], finds_cuts=False) as stream:
        assert [prediction.shot for prediction in stream] == [0]
    assert [shots[index] for index in range(3)] == [0, 0, 0]
    assert shots.get(4, 1) == 1
    assert 3 not in shots or shots[3] == 1
