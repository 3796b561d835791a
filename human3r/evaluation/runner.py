"""Run a benchmark with one result file per sequence, so that an interrupted run can be resumed.

A stored result is reused only for the same benchmark, protocol and weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from human3r.atomic import write_bytes, write_text
from human3r.errors import InputError
from human3r.evaluation.inference import open_session, predict_frames
from human3r.evaluation.protocol import Benchmark, Protocol, Recording, ScoreGroup, SequenceScores, WorstFrame
from human3r.evaluation.worst_frames import FrameKeeper, draw_frame, find_worst
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.records import FramePrediction

SCHEMA = "human3r-evaluation/2"

OnSequence = Callable[[SequenceScores, int, int, bool], None]
"""Called after each sequence with its scores, the numbers done and in total, and whether it was a stored result."""


@dataclass(frozen=True)
class EvaluationRun:
    """The results of a benchmark over all available sequences."""

    benchmark: Benchmark
    model: str
    model_sha256: str
    precision: str
    sequences: tuple[SequenceScores, ...]
    missing: tuple[str, ...]
    """Sequences of the published subset that were not evaluated."""

    @property
    def is_complete(self) -> bool:
        """Whether every sequence of the published set was evaluated."""
        is_real = not self.benchmark.is_miniature
        return is_real and not self.missing and self.benchmark.protocol.num_sequences in (None, len(self.sequences))

    @property
    def scores(self) -> dict[str, float]:
        """Average of every metric over the sequences, by ``group.metric``."""
        return average(self.sequences)


def run_benchmark(
    benchmark: Benchmark,
    root: Path,
    out: Path,
    load: Callable[[], LoadedModel],
    *,
    max_sequences: int | None = None,
    on_sequence: OnSequence | None = None,
) -> EvaluationRun:
    """Evaluate every sequence below ``root``, reusing stored results.

    Args:
        root: The data set in its public layout.
        out: Folder of the results, created if missing.
        load: Loads the model; called only if there are sequences.
        max_sequences: Number of first sequences to evaluate.

    Raises:
        InputError: The folder holds no sequence of the benchmark.
        FormatError: A file of the data set is damaged; finished sequences stay.
    """
    if max_sequences is not None and max_sequences < 1:
        raise InputError(f"The number of sequences is {max_sequences}; it must be 1 or more.")
    if not root.is_dir():
        raise InputError(f"There is no folder {str(root)!r}.", f"Expected {benchmark.layout}.")
    protocol = benchmark.protocol
    recordings = benchmark.find(root, protocol)[:max_sequences]
    if not recordings:
        raise InputError(f"{str(root)!r} holds no sequence of {protocol.name}.", f"Expected {benchmark.layout}.")
    model = load()
    fingerprint = fingerprint_of(protocol, model)
    (out / "sequences").mkdir(parents=True, exist_ok=True)
    done: list[SequenceScores] = []
    for recording in recordings:
        path = out / "sequences" / f"{file_stem(recording.name)}.json"
        scores = load_scores(path, fingerprint)
        is_stored = scores is not None
        if scores is None:
            scores = score_sequence(benchmark, recording, model, out)
            save_scores(path, fingerprint, scores)
        done.append(scores)
        if on_sequence is not None:
            on_sequence(scores, len(done), len(recordings), is_stored)
    names = {scores.sequence for scores in done}
    missing = tuple(name for name in protocol.sequences if name not in names)
    return EvaluationRun(benchmark, model.name, model.sha256, model.precision, tuple(done), missing)


def score_sequence(
    benchmark: Benchmark, recording: Recording, model: LoadedModel, out: Path | None = None
) -> SequenceScores:
    """Run the model on one sequence and score it; draw its worst frames below ``out`` unless that is None."""
    protocol = benchmark.protocol
    session = open_session(model, protocol)
    timed = _Stopwatch(predict_frames(session, recording.images, protocol, recording.times_s))
    keeper = FrameKeeper(iter(timed), keeps_depth=bool(recording.depths))
    score = benchmark.score
    if benchmark.scores_finished:
        score = partial(score, finishing=model.profile.finishing)
    groups = score(recording, protocol, iter(keeper))
    worst = []
    if out is not None:
        used = next((group for group in groups if benchmark.worst_by and group.name == benchmark.worst_by[0]), None)
        for frame, measure, value in find_worst(groups, benchmark.worst_by, timed.num_frames):
            picture = f"worst/{file_stem(recording.name)}_{frame:05d}.jpg"
            (out / picture).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(out / picture, draw_frame(recording, frame, keeper, model.body, used))
            worst.append(WorstFrame(frame, measure, round(value, 5), picture))
    seconds = round(timed.seconds, 3)
    return SequenceScores(recording.name, timed.num_frames, session.num_rejected, seconds, groups, tuple(worst))


def file_stem(sequence: str) -> str:
    """Return a sequence's name without folders in it."""
    return sequence.replace("/", "__")


class _Stopwatch:
    """Counts predictions and the time for them, excluding their consumers."""

    def __init__(self, predictions: Iterator[FramePrediction]) -> None:
        self._predictions = predictions
        self.num_frames = 0
        self.seconds = 0.0

    def __iter__(self) -> Iterator[FramePrediction]:
        while True:
            start = time.perf_counter()
            prediction = next(self._predictions, None)
            self.seconds += time.perf_counter() - start
            if prediction is None:
                return
            self.num_frames += 1
            yield prediction


def average(sequences: tuple[SequenceScores, ...]) -> dict[str, float]:
    """Average every finite metric over sequences with the weights of its group."""
    sums: dict[str, tuple[float, float]] = {}
    for scores in sequences:
        for group in scores.groups:
            for name, value in group.values.items():
                if group.weight > 0 and math.isfinite(value):
                    key = f"{group.name}.{name}"
                    total, weight = sums.get(key, (0.0, 0.0))
                    sums[key] = (total + group.weight * value, weight + group.weight)
    return {key: total / weight for key, (total, weight) in sums.items()}


def fingerprint_of(protocol: Protocol, model: LoadedModel) -> str:
    """Hash all settings that a stored result depends on, except the data set."""
    facts = {"schema": SCHEMA, "protocol": asdict(protocol), "model": model.sha256, "precision": model.precision}
    facts["body"] = model.body.name
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_scores(path: Path, fingerprint: str, scores: SequenceScores) -> None:
    """Write the result of one sequence atomically; NaN becomes null."""
    groups = [
        {
            "name": group.name,
            "weight": group.weight,
            "values": finite_or_none(group.values),
            "series": {name: [_finite(value) for value in values] for name, values in group.series.items()},
        }
        for group in scores.groups
    ]
    entry = {"schema": SCHEMA, "fingerprint": fingerprint} | asdict(replace(scores, groups=())) | {"groups": groups}
    write_text(path, json.dumps(entry, indent=1) + "\n")


def finite_or_none(values: dict[str, float]) -> dict[str, float | None]:
    """Replace values that JSON does not support."""
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]


def load_scores(path: Path, fingerprint: str) -> SequenceScores | None:
    """Read a stored result; None if it is missing, damaged, or of another protocol or model."""
    try:
        entry = json.loads(path.read_text())
        if entry["schema"] != SCHEMA or entry["fingerprint"] != fingerprint:
            return None
        groups = tuple(
            ScoreGroup(
                str(group["name"]),
                float(group["weight"]),
                {name: _number(value) for name, value in group["values"].items()},
                {name: tuple(_number(value) for value in values) for name, values in group["series"].items()},
            )
            for group in entry["groups"]
        )
        return SequenceScores(
            sequence=str(entry["sequence"]),
            num_frames=int(entry["num_frames"]),
            num_rejected=int(entry["num_rejected"]),
            seconds=float(entry["seconds"]),
            groups=groups,
            worst=tuple(
                WorstFrame(int(frame["frame"]), str(frame["measure"]), float(frame["value"]), str(frame["picture"]))
                for frame in entry["worst"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
