"""The fast network beside its twin: what they cost, and how far apart they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from human3r.benchmarking import flops
from human3r.benchmarking.comparison import compare
from human3r.benchmarking.flops import count_flops, flop_page
from human3r.models.config import PRESETS

POINTMAP_PERCENT, ROTATION_DEG, TRANSLATION_PERCENT, VERTICES_MM = 0.5, 0.05, 0.2, 0.3
"""What reduced precision may cost."""
BF16_VERTICES_MM = 1.0
"""Of ``mixed`` with bf16: random regressors read the rounded features directly; measured 0.6 mm."""


@pytest.mark.parametrize("against", ["plain", "reference"])
def test_fp32_differs_from_the_reference_by_rounding_only(small_body, against):
    report = compare(PRESETS["tiny"], "fp32", against, small_body, num_frames=1)
    assert len(report.differences) == report.frames + 1
    for difference in report.differences:
        assert difference.people[0] == difference.people[1] > 0
        assert difference.pointmap_percent < 0.01
        assert difference.rotation_deg < 0.001
        assert difference.vertices_mm < 0.05
    assert report.seconds_fast > 0
    seconds_at_the_limit = report.gflop_fast / (report.peak_gflops["fp32"] / report.threads)
    assert report.speed_up_limit == pytest.approx(report.seconds_other / seconds_at_the_limit)


@pytest.mark.parametrize(("precision", "vertices_mm"), [("mixed16", VERTICES_MM), ("mixed", BF16_VERTICES_MM)])
def test_mixed_precision_stays_within_the_written_tolerances(small_body, precision, vertices_mm):
    report = compare(PRESETS["tiny"], precision, "plain", small_body, num_frames=1)
    for difference in report.differences:
        assert difference.people[0] == difference.people[1] > 0
        assert difference.pointmap_percent < POINTMAP_PERCENT
        assert difference.rotation_deg < ROTATION_DEG
        assert difference.translation_percent < TRANSLATION_PERCENT
        assert difference.vertices_mm < vertices_mm


@pytest.mark.parametrize(("precision", "pointmap_percent", "rotation_deg"), [("fp16", 1.0, 0.2), ("bf16", 10, 2)])
def test_errors_of_half_precision_everywhere_are_those_of_its_bits(
    small_body, precision, pointmap_percent, rotation_deg
):
    report = compare(PRESETS["tiny"], precision, "plain", small_body, num_frames=1)
    assert 0 < max(difference.pointmap_percent for difference in report.differences) < pointmap_percent
    assert 0 < max(difference.rotation_deg for difference in report.differences) < rotation_deg


def test_the_parts_of_a_frame_add_up_and_extra_heads_are_the_difference():
    table = count_flops(PRESETS["human3r_672s"])
    assert table.full - table.lean == table.parts["extra heads"] > 2 * 135e9
    # 24 blocks of 12 D^2 weights on 576 tokens, their attention, and the patch embedding.
    encoder = 24 * (2 * 576 * 12 * 1024**2 + 4 * 576**2 * 1024) + 2 * 576 * 768 * 1024
    assert table.parts["image encoder"] == encoder


def test_the_table_of_operations_names_every_preset_and_the_machine(monkeypatch):
    counted = count_flops(PRESETS["human3r_672s"])
    monkeypatch.setattr(flops, "count_flops", lambda config: replace(counted, model=config.name))
    page = flop_page("this processor", {"fp32": 1e11})
    assert all(name in page for name in PRESETS if name != "tiny")
    assert "this processor, fp32 (measured) | 0.1 TFLOP/s" in page
