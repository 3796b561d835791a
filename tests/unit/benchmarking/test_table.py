"""Tables from what benchmarks printed."""

from __future__ import annotations

import json

import pytest

from human3r.benchmarking.comparison import Comparison, Difference
from human3r.cli import main

TIMING = {"seconds_median": 0.5, "seconds_p95": 0.75}
RUN = {
    "model": "tiny", "weights": "random", "precision": "fp32", "device_name": "a processor", "threads": 2,
    "torch_version": "2.13", "network_size": [144, 256], "people_mean": 2.6, "forward": TIMING, "end_to_end": TIMING,
    "share_of_peak": 0.25, "peak_memory_mb": 1234.0,
}  # fmt: skip


COMPARISON = Comparison(
    model="tiny", against="plain", precision="fp32", threads=2, frames=1, seconds_other=0.4, seconds_fast=0.1,
    speed_up=4.0, gflop_other=3.0, gflop_fast=2.0, peak_gflops={"fp32": 100.0}, speed_up_limit=10.0,
    differences=(Difference((2, 2), 0.001, 0.0001, 0.002, 0.25, 0.125), Difference((2, 2), 0.003, 0.0, 0.0, 0.0, 0.0)),
)  # fmt: skip


def test_runs_and_comparisons_become_tables(tmp_path, capsys):
    (tmp_path / "runs.json").write_text(f"{json.dumps(RUN)}\n{json.dumps(RUN | {'threads': 8})}\n")
    (tmp_path / "other.json").write_text(json.dumps(COMPARISON.to_dict()))
    assert main(["benchmark", "--table", str(tmp_path / "runs.json"), str(tmp_path / "other.json")]) == 0
    printed = capsys.readouterr().out.splitlines()
    row = "| `tiny`, fp32, random weights | 256x144 | 3 | 0.500 (0.750) | 0.500 (0.750) | 25 % | 1.2 GB |"
    assert printed.count(row) == 2
    assert [line for line in printed if line.startswith("a processor, 8 threads, torch 2.13")]
    assert printed[-1] == "| `tiny`, fp32 | plain, fp32 | 4.00 | 0.003 % | 0.0001 deg | 0.002 % | 0.25 mm |"


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{"fps": 3}'])
def test_other_files_are_refused(text, tmp_path, capsys):
    (tmp_path / "other.json").write_text(text)
    assert main(["benchmark", "--table", str(tmp_path / "other.json")]) == 2
    assert "other.json is not output of 'benchmark --json'" in capsys.readouterr().err
