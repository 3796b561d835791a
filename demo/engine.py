"""The bridge to ``human3r``: the one place of the demo that calls it.

The page and the runs see the ``Engine`` protocol, so that tests can pass a small stand-in. Models are loaded once and
kept; only one is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from demo.viewer import LiveScene
    from human3r import Reconstruction
    from human3r.records import FramePrediction
    from human3r.video.probe import ClipInfo
    from human3r.video.sampling import Sampling


Maker = Literal["this model", "earlier weights", "another model"]
"""Who made a saved result: the default model, the same model before its weights changed, or another one."""


@dataclass(frozen=True)
class RunOptions:
    """What a visitor may choose for a run."""

    start_s: float = 0.0
    """Skip this much of the clip."""
    duration_s: float | None = None
    """Use this much of it; None for the rest."""
    fps: float | None = None
    """Frames per second to use; None for all of them."""
    max_frames: int = 300
    """Most frames to use."""
    model: str = "auto"
    """One of ``Engine.model_names``, or ``auto`` for the default."""
    use_ttt3r: bool = False
    """Gate the state update by confidence (steadier on long clips)."""
    reset_interval: int | None = None
    """Restart the state every so many frames; None for the model's own choice."""


def frames_to_use(clip: ClipInfo, wanted: RunOptions | Sampling) -> int:
    """Return how many frames a run will use, as well as the clip's header allows to say."""
    available = max(0.0, clip.duration_s - wanted.start_s)
    length_s = available if wanted.duration_s is None else min(available, wanted.duration_s)
    fps = clip.fps if wanted.fps is None else min(clip.fps, wanted.fps)
    most = clip.num_frames if wanted.max_frames is None else min(clip.num_frames, wanted.max_frames)
    return max(1, min(most, round(length_s * fps)))


@dataclass(frozen=True)
class RunListener:
    """Who hears from a run while it works, in the run's own thread."""

    on_start: Callable[[ClipInfo], None]
    """Called once, with the facts about the clip and how many frames will be used."""
    on_frame: Callable[[FramePrediction], None]
    """Called after every frame."""
    should_stop: Callable[[], bool]
    """Asked before every frame."""
    folder: Path | None = None
    """Where files go that only the run itself can write; None for nowhere."""


class Engine(Protocol):
    """Everything that the demo needs from the reconstruction package."""

    def probe(self, clip: Path) -> ClipInfo:
        """Measure a clip. Raises ``InputError``."""

    def peek(self, clip: Path, start_s: float) -> np.ndarray | None:
        """Return the frame at a time, small: ``H W 3`` uint8, or None when there is none. Raises ``InputError``."""

    def load(self, model: str) -> None:
        """Have an offered model ready. Raises ``AssetError``, ``CheckpointError``, ``InputError``."""

    def reconstruct(self, clip: Path, options: RunOptions, listener: RunListener) -> Reconstruction:
        """Run the model; when stopped, return what there is. Raises ``InputError``, ``Cancelled``."""

    def open_live(self) -> LiveScene | None:
        """Open a live viewer, or None where that is impossible."""

    def preview(self, prediction: FramePrediction) -> np.ndarray:
        """Draw the people over the frame: ``H W 3`` uint8."""

    def export(self, result: Reconstruction, clip: Path | None, folder: Path, name: str) -> bool:
        """Write one file of a result; False for a name that is unknown or needs a clip that is not there."""

    def maker_of(self, result: Reconstruction) -> Maker:
        """Say which model made a result, compared with the default one."""

    def model_names(self) -> tuple[str, ...]:
        """Return the models that visitors can choose, the default first; names, never paths."""

    def describe(self) -> dict[str, object]:
        """Return model name, device and package version."""

    def seconds_per_frame(self) -> float | None:
        """Return the measured time per frame on this machine, or None before the first one."""
