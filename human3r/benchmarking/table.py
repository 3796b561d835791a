"""Tables of speed in Markdown from the output of ``benchmark --json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from human3r.errors import InputError

Report = Mapping[str, Any]
"""JSON of a ``BenchmarkReport`` or a ``Comparison``."""
_HEAD = (
    "model, arithmetic", "input", "people", "forward, s", "clip to `reconstruction.npz`, s", "share of peak", "memory",
)  # fmt: skip
_COMPARISON_HEAD = (
    "model, arithmetic", "against", "times faster", "points", "rotation", "translation", "vertices",
)  # fmt: skip


def read_reports(paths: Sequence[Path]) -> list[Report]:
    """Read files that ``benchmark --json`` wrote, one report per line.

    Raises:
        InputError: A file cannot be read or has other contents.
    """
    reports: list[Report] = []
    for path in paths:
        try:
            found = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise InputError(f"{path.name} is not output of 'benchmark --json' ({error}).") from error
        if not all(isinstance(one, dict) and ("end_to_end" in one or "speed_up" in one) for one in found):
            raise InputError(f"{path.name} is not output of 'benchmark --json'.")
        reports += found
    return reports


def speed_tables(reports: Sequence[Report]) -> str:
    """Return Markdown tables: runs by machine, and comparisons with ``--against``."""
    runs = [report for report in reports if "end_to_end" in report]
    comparisons = [report for report in reports if "speed_up" in report]
    lines: list[str] = []
    for machine in dict.fromkeys(_machine(report) for report in runs):
        rows = [_run_row(report) for report in runs if _machine(report) == machine]
        lines += [f"{machine}; median (95th percentile) per frame:", "", *markdown_table(_HEAD, rows), ""]
    if comparisons:
        lines += markdown_table(_COMPARISON_HEAD, [_comparison_row(report) for report in comparisons])
    return "\n".join(lines).rstrip() + "\n"


def _machine(report: Report) -> str:
    return f"{report['device_name']}, {report['threads']} threads, torch {report['torch_version']}"


def _run_row(report: Report) -> list[str]:
    height, width = report["network_size"]
    weights = "" if report["weights"] == "loaded" else ", random weights"
    times = [
        f"{timing['seconds_median']:.3f} ({timing['seconds_p95']:.3f})"
        for timing in (report["forward"], report["end_to_end"])
    ]
    return [
        f"`{report['model']}`, {report['precision']}{weights}",
        f"{width}x{height}",
        f"{report['people_mean']:.0f}",
        *times,
        f"{100 * report['share_of_peak']:.0f} %",
        f"{report['peak_memory_mb'] / 1000:.1f} GB",
    ]


def _comparison_row(report: Report) -> list[str]:
    def worst(name: str) -> float:
        return max(difference[name] for difference in report["differences"])

    return [
        f"`{report['model']}`, {report['precision']}",
        f"{report['against']}, fp32",
        f"{report['speed_up']:.2f}",
        f"{worst('pointmap_percent'):.3f} %",
        f"{worst('rotation_deg'):.4f} deg",
        f"{worst('translation_percent'):.3f} %",
        f"{worst('vertices_mm'):.2f} mm",
    ]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
