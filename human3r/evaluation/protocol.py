"""The nouns of an evaluation: a benchmark is a protocol (data), a reader of its public folder layout, and a score.

Nothing here reads files or runs a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from human3r.evaluation.matching import MatchingCost
from human3r.evaluation.metrics import DepthAlignment
from human3r.records import FramePrediction


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is run, as plain data: it is printed in the report and is part of every stored result."""

    name: str
    """What the command calls it."""
    title: str
    """What the report calls it."""
    loader: Literal["crop", "resize"]
    """How the sides become multiples of the patch: cut, centred, or squeezed so that the whole frame is seen."""
    sequences: tuple[str, ...] = ()
    """Names of the published subset; empty takes every sequence of the folder."""
    num_frames: int | None = None
    """First so many images of each sequence; None takes all."""
    reset_interval: int | None = None
    """Frames after which state and memory start anew; None never."""
    use_ttt3r: bool = True
    """Gate of the state update (official networks only). Source: Human3R (arXiv 2510.06219), all published numbers."""
    max_depth_m: float | None = None
    """True depths at or beyond this are not counted."""
    clip_prediction: bool = False
    """Clip aligned depths to ``max_depth_m``."""
    alignments: tuple[DepthAlignment, ...] = ()
    """Ways to align the depth of a sequence; each gives its own scores."""
    association_s: float = 0.01
    """Largest difference of time stamps where true cameras and images differ in number, seconds."""
    matching_cost: MatchingCost = "frobenius"
    """How people are matched; see ``human3r.evaluation.matching``."""
    min_visible_fraction: float = 0.0
    """People who show less of themselves need not be found; finding them is no mistake either."""


@dataclass(frozen=True)
class Trajectory:
    """True cameras of a sequence."""

    time_s: np.ndarray | None
    """``T`` seconds on the data set's clock; None where cameras are counted, not timed."""
    T_world_camera: np.ndarray
    """``T 4 4`` float64, metres; rows with non-finite numbers have no truth."""


@dataclass(frozen=True)
class Recording:
    """One sequence in its public layout; nothing is decoded until it is asked for."""

    name: str
    folder: Path
    images: tuple[Path, ...]
    """In temporal order."""
    depths: tuple[Path, ...] = ()
    """One per image where depth is scored."""
    read_depth: Callable[[Path], np.ndarray] | None = None
    """Decodes one of ``depths`` to ``H W`` metres, 0 where there is no truth."""
    read_trajectory: Callable[[], Trajectory] | None = None
    """Decodes the true cameras where they are scored."""


@dataclass(frozen=True)
class ScoreGroup:
    """Numbers of one sequence that are averaged over sequences with one weight."""

    name: str
    """E.g. ``scale`` (an alignment of depth), ``camera`` or ``people``."""
    weight: float
    """Weight in the average: valid pixels, 1, or matched observations. 0 leaves the sequence out."""
    values: dict[str, float]
    """Metric by name; a value that is not a number is left out of the average."""
    series: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Values per frame, for the plots."""


@dataclass(frozen=True)
class SequenceScores:
    """What was measured on one sequence."""

    sequence: str
    num_frames: int
    num_rejected: int
    """Frames on which the network gave no usable answer."""
    seconds: float
    """Wall time of running the network, reading images included."""
    groups: tuple[ScoreGroup, ...]


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table."""

    method: str
    values: dict[str, float]
    """Value by ``group.metric``, in the units of our metrics."""
    source: str


@dataclass(frozen=True)
class Benchmark:
    """Everything that the runner needs to know about one benchmark."""

    protocol: Protocol
    layout: str
    """The folder layout in one line, for messages."""
    find: Callable[[Path, Protocol], list[Recording]]
    """List the sequences that are there, in a fixed order."""
    score: Callable[[Recording, Protocol, Iterator[FramePrediction]], tuple[ScoreGroup, ...]]
    """Score one sequence; must take every prediction."""
    headline: tuple[str, ...]
    """Columns (``group.metric``) of the table beside the published rows."""
    published: tuple[PublishedRow, ...] = field(default=())
