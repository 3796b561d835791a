"""The soak script itself: it sees what rises, and runs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).resolve().parents[2] / "soak" / "soak.py"


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak_script", _SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def samples(slope_mb, descriptors=(9, 9), process=1, count=20):
    return [
        {
            "process": process,
            "stage": "running",
            "frame": 1000 * (index + 1),
            "resident_mb": 400 + slope_mb * index,
            "descriptors": descriptors[index * len(descriptors) // count],
            "people_per_frame": 2.0,
            "identities": 5,
        }
        for index in range(count)
    ]


def test_a_flat_run_passes_and_a_rising_one_does_not(soak):
    assert soak.judge(samples(0.1))["mb_per_1000_frames"] == pytest.approx(0.1)
    assert soak.judge(samples(0.1))["is_ok"]
    assert not soak.judge(samples(6.0))["is_ok"]
    assert not soak.judge(samples(0.1, descriptors=(9, 12)))["is_ok"]


def test_a_resumed_run_is_judged_by_its_longest_process(soak):
    assert soak.judge([*samples(6.0, process=1, count=5), *samples(0.0, process=2)])["is_ok"]


def test_a_short_soak_runs_through_the_pipeline(soak, tmp_path):
    reports = []
    soak.run(tmp_path, 30, every=10, report=reports.append)
    written = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [sample["stage"] for sample in written] == ["running"] * 3 + ["finished", "saved"]
    assert json.loads(reports[0])["frames"] == 30
    assert written[-1]["people_per_frame"] > 0
    assert (tmp_path / "reconstruction.npz").exists()
