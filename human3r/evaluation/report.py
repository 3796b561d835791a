"""What a run says to people and to programs: a Markdown table beside the published rows, and a JSON summary."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from human3r.evaluation.plots import camera_plot
from human3r.evaluation.protocol import PublishedRow, ScoreGroup
from human3r.evaluation.runner import SCHEMA, EvaluationRun, finite_or_none
from human3r.export.atomic import write_bytes, write_text


def summary_of(run: EvaluationRun) -> dict[str, object]:
    """Return the run as one JSON object; scores are averages by ``group.metric``."""
    return {
        "schema": SCHEMA,
        "benchmark": run.benchmark.protocol.name,
        "protocol": asdict(run.benchmark.protocol),
        "model": run.model,
        "model_sha256": run.model_sha256,
        "precision": run.precision,
        "num_sequences": len(run.sequences),
        "num_frames": sum(scores.num_frames for scores in run.sequences),
        "missing_sequences": list(run.missing),
        "is_complete": not run.missing,
        "scores": run.scores,
        "sequences": {
            scores.sequence: {
                "num_frames": scores.num_frames,
                "num_rejected": scores.num_rejected,
                "seconds": scores.seconds,
                "groups": {
                    group.name: {"weight": group.weight, **finite_or_none(group.values)} for group in scores.groups
                },
            }
            for scores in run.sequences
        },
    }


def markdown_of(run: EvaluationRun) -> str:
    """Return the report: the result beside published rows, every metric, every sequence, and the protocol."""
    protocol, scores = run.benchmark.protocol, run.scores
    columns = list(run.benchmark.headline)
    rows = [[row.method, *(_number(row.values.get(name)) for name in columns), row.source] for row in _published(run)]
    rows.append([f"**{run.model} (this run)**", *(_number(scores.get(name)) for name in columns), "measured here"])
    parts = [f"# {protocol.title}", _coverage(run), _table(["method", *columns, "source"], rows)]
    parts += ["## All metrics", _table(["metric", "value"], [[name, _number(scores[name])] for name in sorted(scores)])]
    per_sequence = []
    for item in run.sequences:
        values = {f"{group.name}.{name}": value for group in item.groups for name, value in group.values.items()}
        per_sequence.append(
            [
                item.sequence,
                str(item.num_frames),
                *(_number(values.get(name)) for name in columns),
                f"{item.seconds:.1f}",
            ]
        )
    parts += ["## Sequences", _table(["sequence", "frames", *columns, "seconds"], per_sequence)]
    plots = [f"![{name}]({name})" for name in _plot_groups(run)]
    parts += ["## Camera paths", *plots] if plots else []
    facts = [[name, _plain(value)] for name, value in asdict(protocol).items() if name != "title"]
    facts.append(["gate of the state", "official networks only"])
    facts += [["model sha256", run.model_sha256], ["precision", run.precision]]
    parts += ["## Protocol", _table(["setting", "value"], facts)]
    return "\n\n".join(parts) + "\n"


def write_report(run: EvaluationRun, out: Path) -> None:
    """Write ``summary.json``, ``report.md`` and the plots.

    Raises:
        DiskFullError: The folder cannot be written.
    """
    write_text(out / "summary.json", json.dumps(summary_of(run), indent=1) + "\n")
    write_text(out / "report.md", markdown_of(run))
    for name, content in _plots(run).items():
        (out / name).parent.mkdir(exist_ok=True)
        write_bytes(out / name, content)


def _plots(run: EvaluationRun) -> dict[str, bytes]:
    """Draw every camera path; the keys are paths beside the report."""
    return {name: camera_plot(group, title) for name, (title, group) in _plot_groups(run).items()}


def _plot_groups(run: EvaluationRun) -> dict[str, tuple[str, ScoreGroup]]:
    return {
        f"plots/{item.sequence.replace('/', '__')}.png": (item.sequence, group)
        for item in run.sequences
        for group in item.groups
        if group.name == "camera" and group.series
    }


def _published(run: EvaluationRun) -> list[PublishedRow]:
    """Merge rows of one method and one source, which tables of several alignments give separately."""
    merged: dict[tuple[str, str], dict[str, float]] = {}
    for row in run.benchmark.published:
        merged.setdefault((row.method, row.source), {}).update(row.values)
    return [PublishedRow(method, values, source) for (method, source), values in merged.items()]


def _coverage(run: EvaluationRun) -> str:
    frames = sum(scores.num_frames for scores in run.sequences)
    rejected = sum(scores.num_rejected for scores in run.sequences)
    text = f"{len(run.sequences)} sequences, {frames} frames, {rejected} of them without a usable prediction."
    if run.missing:
        text += f" **Incomplete: not comparable with the published rows.** Missing: {', '.join(run.missing)}."
    return text


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4g}"


def _plain(value: object) -> str:
    return ", ".join(str(item) for item in value) or "all" if isinstance(value, tuple) else str(value)
