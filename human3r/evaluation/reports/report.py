"""Results of a run: a JSON summary, and a report of tables and pictures that is written as Markdown or HTML."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from human3r.atomic import write_bytes, write_text
from human3r.benchmarking.table import markdown_table
from human3r.evaluation.reference import DEFECTS
from human3r.evaluation.reports.plots import sequence_plot
from human3r.evaluation.runner import SCHEMA, EvaluationRun, file_stem, finite_or_none

_NUM_WORST_SHOWN = 12
_PUBLISHED = Path(__file__).with_name("published.json")
"""Rows of published tables by benchmark.

Rows "as quoted by later papers" were read in tables of other papers than the method's own: protocols agree in name,
preprocessing may differ. Published scale-and-shift values were made with Adam; ours stand beside them only with that
reference option.
"""


@dataclass(frozen=True)
class Picture:
    """A picture of the report."""

    path: str
    """Beside the report."""
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of the report; shown if it has rows or pictures."""

    title: str
    text: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    own_rows: tuple[int, ...] = ()
    """Rows measured in this run."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table."""

    method: str
    source: str
    values: dict[str, float]
    """Value by ``group.metric``, in the units of our metrics."""


def published_rows(benchmark: str) -> list[PublishedRow]:
    """Return the published rows of a benchmark; none where nothing is published."""
    return [PublishedRow(**row) for row in json.loads(_PUBLISHED.read_text(encoding="utf-8")).get(benchmark, [])]


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
        "is_miniature": run.benchmark.is_miniature,
        "is_complete": run.is_complete,
        "scores": run.scores,
        "sequences": {
            scores.sequence: {
                "num_frames": scores.num_frames,
                "num_rejected": scores.num_rejected,
                "seconds": scores.seconds,
                "groups": {
                    group.name: {"weight": group.weight, **finite_or_none(group.values)} for group in scores.groups
                },
                "worst": [asdict(frame) for frame in scores.worst],
            }
            for scores in run.sequences
        },
    }


def sections_of(run: EvaluationRun) -> list[Section]:
    """Return the report: the result beside published rows, every metric, every sequence, pictures, the protocol."""
    scores = run.scores
    metrics = tuple((name, _number(scores[name])) for name in sorted(scores))
    sections = [
        _comparison(run),
        _sequences(run),
        Section("Plots", pictures=tuple(Picture(path, sequence) for sequence, path in _plot_paths(run).items())),
        _worst(run),
        _elsewhere(run),
        Section("All metrics", header=("metric", "value"), rows=metrics),
        _protocol(run),
    ]
    return [section for section in sections if section.rows or section.pictures]


def _comparison(run: EvaluationRun) -> Section:
    """Return this run, also with the reference's defects if these were asked for, beside comparable published rows."""
    columns, scores = run.benchmark.headline, run.scores
    rows = [] if run.benchmark.is_miniature else _published(run)
    own = [(f"{run.model} (this run)", *(_number(scores.get(name)) for name in columns), "measured here")]
    references = run.benchmark.protocol.references
    text = _coverage(run)
    if references:
        text += " Reference options: " + "; ".join(f"{name} ({DEFECTS[name]})" for name in references) + "."
        replaced = {name: scores[other] for name in columns if (other := _reference_name(name)) in scores}
        if replaced:
            values = (_number(replaced.get(name, scores.get(name))) for name in columns)
            own.append((f"{run.model}, as the reference computes", *values, f"with {', '.join(references)}"))
    return Section(
        "Result on the miniature" if run.benchmark.is_miniature else "Result",
        text,
        ("method", *map(label_of, columns), "source"),
        (*rows, *own),
        own_rows=tuple(range(len(rows), len(rows) + len(own))),
    )


def _elsewhere(run: EvaluationRun) -> Section:
    """Return the published rows of the real data set, apart from a miniature's figures."""
    if not run.benchmark.is_miniature:
        return Section("Published rows")
    text = "Measured on the real data set by others; not comparable with the figures of the miniature."
    header = ("method", *map(label_of, run.benchmark.headline), "source")
    return Section("Published rows, real data", text, header, tuple(_published(run)))


def _published(run: EvaluationRun) -> list[tuple[str, ...]]:
    rows = published_rows(run.benchmark.protocol.name)
    columns = run.benchmark.headline
    return [(row.method, *(_number(row.values.get(name)) for name in columns), row.source) for row in rows]


_LABELS = {
    "pa_mpjpe_mm": "PA-MPJPE [mm]",
    "mpjpe_mm": "MPJPE [mm]",
    "pve_mm": "PVE [mm]",
    "root_error_mm": "MRPE [mm]",
    "wa_mpjpe_mm": "WA-MPJPE [mm]",
    "w_mpjpe_mm": "W-MPJPE [mm]",
    "rte_percent": "RTE [%]",
    "jitter_10m_s3": "jitter [10 m/s³]",
    "foot_sliding_mm": "foot sliding [mm]",
    "recall": "recall [%]",
    "precision": "precision [%]",
    "f1": "F1 [%]",
    "missed": "people missed",
    "ate_m": "ATE [m]",
    "rpe_translation_m": "RPE [m]",
    "rpe_rotation_deg": "RPE [°]",
    "error_m": "position error [m]",
    "abs_rel": "AbsRel",
    "delta_1": "δ < 1.25",
}
_ALIGNMENTS = {
    "metric": "metric",
    "scale": "scale",
    "scale_shift": "scale & shift",
    "scale_shift_adam": "scale & shift by Adam",
    "median": "median",
}


def label_of(name: str) -> str:
    """Return the label of a metric ``group.metric``, or its name."""
    group, metric = name.split(".")
    label = _LABELS.get(metric, name)
    return f"{_ALIGNMENTS[group]}: {label}" if group in _ALIGNMENTS else label


def _reference_name(name: str) -> str:
    group, metric = name.split(".")
    return f"{group}_reference.{metric}"


def _sequences(run: EvaluationRun) -> Section:
    columns, rows = run.benchmark.headline, []
    for item in run.sequences:
        values = {f"{group.name}.{name}": value for group in item.groups for name, value in group.values.items()}
        cells = (_number(values.get(name)) for name in columns)
        rows.append((item.sequence, str(item.num_frames), *cells, f"{item.seconds:.1f}"))
    return Section("Sequences", header=("sequence", "frames", *map(label_of, columns), "seconds"), rows=tuple(rows))


def _worst(run: EvaluationRun) -> Section:
    if run.benchmark.worst_by is None:
        return Section("Worst frames")
    frames = sorted(
        ((frame.value, item.sequence, frame) for item in run.sequences for frame in item.worst),
        key=lambda entry: -entry[0],
    )
    pictures = tuple(
        Picture(frame.picture, f"{sequence}, frame {frame.frame}: {label_of(frame.measure)} {_number(value)}")
        for value, sequence, frame in frames[:_NUM_WORST_SHOWN]
    )
    has_depth = any(group.series.get("abs_rel") for item in run.sequences for group in item.groups)
    legend = "Colored: predicted people. Rings: true joints, where people are scored."
    if has_depth and run.benchmark.worst_by[1] == "abs_rel":
        legend += " Then predicted depth after alignment, true depth, and relative error up to 0.3."
    return Section("Worst frames", legend if pictures else "", pictures=pictures)


def _protocol(run: EvaluationRun) -> Section:
    facts = [(name, _setting(value)) for name, value in asdict(run.benchmark.protocol).items() if name != "title"]
    facts += [("gate of the state", "paper networks only")]
    facts += [("model sha256", run.model_sha256), ("precision", run.precision)]
    return Section("Protocol", header=("setting", "value"), rows=tuple(facts))


def markdown_of(run: EvaluationRun) -> str:
    """Return the report as Markdown."""
    parts = [f"# {run.benchmark.protocol.title}"]
    for section in sections_of(run):
        parts.append(f"## {section.title}")
        parts += [section.text] if section.text else []
        if section.rows:
            rows = [
                tuple(
                    f"**{cell}**" if place == 0 and index in section.own_rows else cell
                    for place, cell in enumerate(row)
                )
                for index, row in enumerate(section.rows)
            ]
            parts.append(_table(section.header, rows))
        parts += [f"![{picture.caption}]({picture.path})\n\n{picture.caption}" for picture in section.pictures]
    return "\n\n".join(parts) + "\n"


def write_report(run: EvaluationRun, out: Path) -> None:
    """Write ``summary.json``, ``report.md`` and the plots.

    Raises:
        DiskFullError: The folder cannot be written.
    """
    write_text(out / "summary.json", json.dumps(summary_of(run), indent=1) + "\n")
    write_text(out / "report.md", markdown_of(run))
    paths = _plot_paths(run)
    for item in run.sequences:
        content = sequence_plot(item.groups, item.sequence)
        if content is not None:
            (out / paths[item.sequence]).parent.mkdir(exist_ok=True)
            write_bytes(out / paths[item.sequence], content)


def _plot_paths(run: EvaluationRun) -> dict[str, str]:
    """Return paths of the plots by sequence, relative to the report."""
    return {
        item.sequence: f"plots/{file_stem(item.sequence)}.png"
        for item in run.sequences
        if any(group.series for group in item.groups)
    }


def _coverage(run: EvaluationRun) -> str:
    frames = sum(scores.num_frames for scores in run.sequences)
    rejected = sum(scores.num_rejected for scores in run.sequences)
    count = len(run.sequences)
    text = f"{count} sequence{'s' * (count != 1)}, {frames} frames, {rejected} without a usable prediction."
    if run.benchmark.is_miniature:
        return f"{text} Generated frames replace the data set: the figures do not measure the model."
    if not run.is_complete:
        text += " Incomplete: not comparable with the published rows."
    if run.missing:
        text += f" Missing: {', '.join(run.missing)}."
    return text


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(markdown_table(header, [[cell.replace("|", "/") for cell in row] for row in rows]))


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4g}"


def _setting(value: object) -> str:
    return ", ".join(str(item) for item in value) or "all" if isinstance(value, tuple) else str(value)
