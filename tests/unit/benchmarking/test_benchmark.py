"""What a benchmark reports, and that timing parts changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from human3r.benchmarking import benchmark, breakdown
from human3r.benchmarking.benchmark import BenchmarkOptions, run_benchmark
from human3r.benchmarking.breakdown import PartClock, measure_parts
from human3r.benchmarking.flops import count_compact_flops
from human3r.benchmarking.report import BenchmarkReport, RunTimes, summarize
from human3r.cli import main


@pytest.fixture
def clock(monkeypatch):
    """A clock of parts on which every look at the time takes one second."""
    seconds = iter(range(1000))
    monkeypatch.setattr(breakdown, "device_clock", lambda device: float(next(seconds)))
    return PartClock(torch.device("cpu"))


def test_several_runs_are_summed_up_by_median_and_percentile_of_all_frames():
    runs = [
        RunTimes([0.1, 0.1, 0.2], 0.5, 0.9),
        RunTimes([0.1, 0.1, 0.1], 0.3, 0.9),
        RunTimes([0.2, 0.2, 1.0], 1.5, 1.8),
    ]

    timing = summarize("frames", runs)

    assert (timing.runs, timing.frames) == (3, 3)
    assert timing.seconds_median == pytest.approx(0.1)
    assert timing.seconds_p95 == pytest.approx(0.2 + 0.6 * 0.8)
    assert timing.fps_total_runs == pytest.approx((6.0, 10.0, 2.0))
    assert timing.fps_total == pytest.approx(6.0)
    assert timing.cpu_seconds == pytest.approx(0.4)


def test_a_part_within_a_part_is_counted_once(clock):
    with clock.part("outer"):
        with clock.part("inner"):
            pass
        with clock.part("inner"):
            pass

    assert dict(clock.seconds) == {"outer": 3.0, "inner": 2.0}


def test_a_wrapped_method_is_timed_and_given_back(clock):
    class Worker:
        def work(self) -> int:
            return 7

    worker, other = Worker(), Worker()
    other.work = lambda: 8
    own = other.work
    with clock.wrapped(worker, "work", "work"), clock.wrapped(other, "work", "other"):
        assert (worker.work(), other.work()) == (7, 8)

    assert dict(clock.seconds) == {"work": 1.0, "other": 1.0}
    assert "work" not in vars(worker)
    assert other.work is own


def test_every_part_of_a_run_has_its_time_and_the_network_is_left_as_it_was(tiny, clip):
    before = {name: set(vars(part)) for name, part in tiny.network.named_modules()}

    parts = measure_parts(tiny, clip, num_frames=4, num_warmup=1)

    assert list(parts)[:5] == ["decode", "prepare", "prior", "trunk", "prompts"]
    assert list(parts)[-3:] == ["stream", "fusion", "writing"]
    assert all(seconds >= 0 for seconds in parts.values())
    assert parts["decode"] > 0
    assert {name: set(vars(part)) for name, part in tiny.network.named_modules()} == before


def test_a_report_says_everything_that_its_figures_depend_on(capsys, monkeypatch):
    reports = []

    def run_twice(options: BenchmarkOptions) -> BenchmarkReport:
        assert options.num_runs == 3
        reports.append(run_benchmark(replace(options, num_runs=2)))
        return reports[0]

    monkeypatch.setattr(benchmark, "run_benchmark", run_twice)
    options = ["--model", "tiny", "--frames", "2", "--warmup", "1", "--size", "96x64", "--device", "cpu", "--json"]
    assert main(["benchmark", *options]) == 0

    values = json.loads(capsys.readouterr().out)
    for part in ("forward", "end_to_end"):
        assert values[part]["fps_p95"] <= values[part]["fps_median"] * 1.001
        assert values[part]["what"]
    assert values["peak_memory_mb"] > 50
    assert values["bytes_kept_per_frame"] > 0
    assert values["network_size"] == [160, 256]
    assert values["forward"]["runs"] == values["end_to_end"]["runs"] == 2
    assert len(values["end_to_end"]["fps_total_runs"]) == 2
    assert values["warmup_frames"] == 1
    assert values["threads"] == torch.get_num_threads()
    assert values["precision"] == values["matrix_precision"] == "fp32"
    assert values["flops_per_step"] > 1e6
    assert values["share_of_peak"] > 0
    assert values["host_waits"] >= 1
    text = reports[0].to_text()
    for words in (
        "2 runs of 2 frames",
        "1 warm-up frames",
        "decoder",
        "writing",
        "waits for the device",
        "peak memory",
    ):
        assert words in text


def test_operations_of_compact_grow_with_the_image():
    small, large = (count_compact_flops(torch.zeros(1, 3, 64, side)) for side in (64, 128))

    assert 1.5 * small < large < 2.5 * small
