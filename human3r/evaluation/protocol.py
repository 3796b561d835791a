"""Records of an evaluation: a benchmark is a protocol (data), a reader of its public folder layout, and a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from human3r.evaluation.metrics import DepthAlignment
from human3r.evaluation.metrics.matching import MatchingCost

JointSet = Literal["smplx22", "smpl24", "lsp14"]
"""22 body joints of SMPL-X; 24 of SMPL; 14 that the H36M regressor gives (ankles to head top)."""
PELVIS_JOINTS: dict[JointSet, tuple[int, int]] = {"smplx22": (1, 2), "smpl24": (1, 2), "lsp14": (2, 3)}
"""The hips, whose mean is the pelvis of the local errors. Source: Human3R (arXiv 2510.06219), evaluation."""


@dataclass(frozen=True)
class Protocol:
    """Settings of a benchmark; printed in the report and part of every stored result."""

    name: str
    """On the command line."""
    title: str
    """In the report."""
    loader: Literal["crop", "resize"]
    """``crop``: a centered crop to multiples of the patch; ``resize``: the whole frame resized to them."""
    sequences: tuple[str, ...] = ()
    """Names of the published subset; empty: every sequence of the folder."""
    num_sequences: int | None = None
    """Size of the published set where sequences are not named."""
    num_frames: int | None = None
    """Number of first images of each sequence; None: all."""
    reset_interval: int | None = None
    """Frames between resets of state and memory; None: never."""
    use_ttt3r: bool = True
    """Gate of the state update (paper networks only). Source: Human3R (arXiv 2510.06219), all published numbers."""
    max_depth_m: float | None = None
    """Upper bound (exclusive) of the true depths that are scored."""
    clip_prediction: bool = False
    """Clip aligned depths to ``max_depth_m``."""
    alignments: tuple[DepthAlignment, ...] = ()
    """Alignments of the depth of a sequence, scored separately."""
    association_s: float = 0.01
    """Largest time difference between an image and its true camera, seconds."""
    matching_cost: MatchingCost = "frobenius"
    """Cost of matching people: ``human3r.evaluation.metrics.matching``."""
    min_visible_fraction: float = 0.0
    """People with a smaller visible fraction count neither as missed nor as false positives."""
    joint_set: JointSet = "smplx22"
    """Joints that are scored."""
    world_metrics: tuple[str, ...] = ()
    """Errors of motion in the world, named as in ``evaluation.bodies.people``."""
    references: tuple[str, ...] = ()
    """Defects of the public evaluation to reproduce beside the corrected result: ``evaluation.reference``."""


@dataclass(frozen=True)
class Trajectory:
    """True cameras of a sequence."""

    time_s: np.ndarray | None
    """``T`` seconds on the data set's clock; None without time stamps."""
    T_world_camera: np.ndarray
    """``T 4 4`` float64, meters; rows that are not finite have no truth."""


@dataclass(frozen=True)
class PosedPeople:
    """P people of one frame, predicted or true."""

    joints_camera: np.ndarray
    """``P J 3`` meters, the joints of the protocol's set."""
    joints_px: np.ndarray
    """``P J 2`` pixels of the source image; finite even behind the camera."""
    T_world_camera: np.ndarray
    """``4 4`` predicted or true camera."""
    identity: np.ndarray
    """``P`` int64 identity over time, predicted or true."""
    vertices_camera: np.ndarray | None = None
    """``P V 3`` meters where surfaces are scored."""
    is_required: np.ndarray | None = None
    """``P`` bool: true people who count as missed if not found; None: all."""


ReadPeople = Callable[[int], PosedPeople]
"""Returns the true people of one of a recording's images."""


@dataclass(frozen=True)
class Recording:
    """One sequence in its public layout, decoded on demand."""

    name: str
    folder: Path
    images: tuple[Path, ...]
    """In temporal order."""
    depths: tuple[Path, ...] = ()
    """One per image where depth is scored."""
    read_depth: Callable[[Path], np.ndarray] | None = None
    """Decodes one of ``depths`` to ``H W`` meters, 0 where there is no truth."""
    read_trajectory: Callable[[], Trajectory] | None = None
    """Decodes the true cameras where they are scored."""
    read_people: ReadPeople | None = None
    """Poses the true people where they are scored."""
    read_reference_people: ReadPeople | None = None
    """The same with the defects in ``Protocol.references``; None where none apply."""
    times_s: tuple[float, ...] = ()
    """Seconds of every image; empty: 30 images per second."""


PATH_SERIES = ("true_u_m", "true_v_m", "predicted_u_m", "predicted_v_m")
"""Series of an aligned path in a plane."""


@dataclass(frozen=True)
class ScoreGroup:
    """Metrics of one sequence that share their weight in the average over sequences."""

    name: str
    """For example ``scale`` (an alignment of depth), ``camera`` or ``people``."""
    weight: float
    """Valid pixels, 1, or matched observations; 0 excludes the sequence."""
    values: dict[str, float]
    """Metric by name; NaN is excluded from the average."""
    series: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Values per scored frame, for the plots: ``frame`` (row of the image), a path (``PATH_SERIES``), and curves."""


@dataclass(frozen=True)
class WorstFrame:
    """A frame of large error, as a picture."""

    frame: int
    """Row of the image in its sequence."""
    measure: str
    """The error it was chosen by, as ``group.series``."""
    value: float
    picture: str
    """Path beside the report."""


@dataclass(frozen=True)
class SequenceScores:
    """Scores of one sequence."""

    sequence: str
    num_frames: int
    num_rejected: int
    """Frames without a usable prediction."""
    seconds: float
    """Wall time of the network, including reading images."""
    groups: tuple[ScoreGroup, ...]
    worst: tuple[WorstFrame, ...] = ()
    """Worst first."""


FindRecordings = Callable[[Path, Protocol], list[Recording]]
"""Lists the sequences of a folder in a fixed order."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as the runner uses it."""

    protocol: Protocol
    layout: str
    """The folder layout in one line, for messages."""
    find: FindRecordings
    score: Callable[..., tuple[ScoreGroup, ...]]
    """Score one sequence from a ``Recording``, a ``Protocol`` and an iterator over predictions, to its end."""
    headline: tuple[str, ...]
    """Columns (``group.metric``) of the table beside the published rows."""
    references: tuple[str, ...] = ()
    """Defects of the public evaluation that affect this benchmark."""
    is_miniature: bool = False
    """Generated frames replace the data set: results are reported apart from published rows."""
    scores_finished: bool = False
    """``score`` also takes ``finishing``: how clips of the model are finished."""
    worst_by: tuple[str, str] | None = None
    """(group, series) whose largest values select the worst frames."""
