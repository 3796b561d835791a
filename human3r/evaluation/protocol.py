"""The nouns of an evaluation: a benchmark is a protocol (data), a reader of its public folder layout, and a score.

Nothing here reads files or runs a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from human3r.evaluation.metrics import DepthAlignment
from human3r.evaluation.scoring.matching import MatchingCost
from human3r.records import FramePrediction

JointSet = Literal["smplx22", "smpl24", "lsp14"]
"""22 body joints of SMPL-X; 24 of SMPL; 14 that the H36M regressor gives (ankles to head top)."""
PELVIS_JOINTS: dict[JointSet, tuple[int, int]] = {"smplx22": (1, 2), "smpl24": (1, 2), "lsp14": (2, 3)}
"""The hips, whose mean is the pelvis of the local errors. Source: Human3R (arXiv 2510.06219), evaluation."""


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
    num_sequences: int | None = None
    """How many there are where they are not named; fewer are not comparable with published rows."""
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
    """How people are matched; see ``human3r.evaluation.scoring.matching``."""
    min_visible_fraction: float = 0.0
    """People who show less of themselves need not be found; finding them is no mistake either."""
    joint_set: JointSet = "smplx22"
    """Joints that are scored."""
    world_metrics: tuple[str, ...] = ()
    """Errors of motion in the world, named as in ``evaluation.bodies.people``; none for still-image sets."""
    references: tuple[str, ...] = ()
    """Defects of the public evaluation that are reproduced beside the corrected result: ``evaluation.reference``."""


@dataclass(frozen=True)
class Trajectory:
    """True cameras of a sequence."""

    time_s: np.ndarray | None
    """``T`` seconds on the data set's clock; None where cameras are counted, not timed."""
    T_world_camera: np.ndarray
    """``T 4 4`` float64, metres; rows with non-finite numbers have no truth."""


@dataclass(frozen=True)
class PosedPeople:
    """P people of one frame, predicted or true."""

    joints_camera: np.ndarray
    """``P J 3`` metres, the joints of the protocol's set."""
    joints_px: np.ndarray
    """``P J 2`` pixels of the source image; finite, behind the camera too."""
    T_world_camera: np.ndarray
    """``4 4`` the camera of this side: predicted or true."""
    identity: np.ndarray
    """``P`` int64: who is who over time, on this side."""
    vertices_camera: np.ndarray | None = None
    """``P V 3`` metres where surfaces are scored."""
    is_required: np.ndarray | None = None
    """``P`` bool: true people who count as missed when they are not found; None is everyone."""


ReadPeople = Callable[[int], PosedPeople]
"""Returns the true people of one of a recording's images."""


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
    read_people: ReadPeople | None = None
    """Poses the true people where they are scored."""
    read_reference_people: ReadPeople | None = None
    """The same with the defects of the public evaluation that ``Protocol.references`` names; None where none apply."""
    times_s: tuple[float, ...] = ()
    """Seconds of every image; empty where nothing counts on them: 30 per second are then assumed."""


PATH_SERIES = ("true_u_m", "true_v_m", "predicted_u_m", "predicted_v_m")
"""A path seen in a plane, aligned."""


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
    """Values per scored frame, for the plots: ``frame`` (row of the image), a path (``PATH_SERIES``), and curves."""


@dataclass(frozen=True)
class WorstFrame:
    """A frame on which the network did badly, as a picture."""

    frame: int
    """Row of the image in its sequence."""
    measure: str
    """The error that chose it, as ``group.series``."""
    value: float
    picture: str
    """Path beside the report."""


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
    worst: tuple[WorstFrame, ...] = ()
    """Worst first."""


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
    references: tuple[str, ...] = ()
    """Defects of the public evaluation that exist here."""
    worst_by: tuple[str, str] | None = None
    """(group, series) whose largest values choose the worst frames."""
