"""The options that ``reconstruct`` and ``batch`` share, and running one clip with them."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from human3r.assets.registry import WEIGHT_SUFFIXES
from human3r.errors import DiskFullError, InputError
from human3r.exporting import DEFAULT_FORMATS, check_formats, write_all
from human3r.exporting.formats import SURFACE_FORMATS
from human3r.exporting.manifest import remove_listed
from human3r.exporting.source import PeopleWear
from human3r.exporting.viewer.moments import Moments
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.model import load_model
from human3r.inference.pipeline import FrameSink, RunControl
from human3r.inference.pipeline import reconstruct as run_pipeline
from human3r.inference.stream import Forward, ReconstructOptions, forward
from human3r.results.reconstruction import Reconstruction
from human3r.surface.keyframes.collecting import KeyframeCollector
from human3r.temporary import reclaim
from human3r.video.limits import DEFAULT_LIMITS, raise_limits

_MIN_FREE_BYTES = 50_000_000
"""Free space of the output folder's disk, about what the files of a short clip need."""


@dataclass(frozen=True)
class RunSettings:
    """Options of the command line under their names: plain values that are sent to workers as JSON."""

    model: str
    device: str
    precision: str
    body: str | None
    compile: bool
    start: float
    duration: float | None
    fps: float | None
    max_frames: int | None
    limit: tuple[str, ...]
    use_ttt3r: bool | None
    reset_interval: int | None
    cuts: bool
    rotate: int | None
    save_depth: bool
    formats: str | None
    points: bool = False
    """Show the scene's points beside its surface."""
    people_colors: PeopleWear = "identity"
    """Whose colors people wear."""
    one_world: bool = False
    """Estimate scale, floor and sizes of people together, with any model."""

    @classmethod
    def of(cls, options: argparse.Namespace) -> RunSettings:
        """Take the settings from parsed options."""
        return cls.from_values({each.name: getattr(options, each.name) for each in fields(cls)})

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> RunSettings:
        """Restore settings from ``asdict``, or from its JSON."""
        settings: dict[str, Any] = {**values, "limit": tuple(values["limit"])}
        return cls(**settings)

    def with_absolute_paths(self) -> RunSettings:
        """Return settings that do not depend on the working folder."""
        model = str(Path(self.model).absolute()) if self.model.endswith(WEIGHT_SUFFIXES) else self.model
        return replace(self, model=model, body=None if self.body is None else str(Path(self.body).absolute()))

    def wanted_formats(self) -> list[str]:
        """Return the names of the formats; raises ``InputError`` for an unknown one."""
        return check_formats(self.formats or DEFAULT_FORMATS)

    def run_options(self) -> ReconstructOptions:
        """Return the options of a run; raises ``InputError`` for an invalid value."""
        return ReconstructOptions(
            start_s=self.start,
            duration_s=self.duration,
            fps=self.fps,
            max_frames=self.max_frames,
            use_ttt3r=self.use_ttt3r,
            reset_interval=self.reset_interval,
            finds_cuts=self.cuts,
            rotate=self.rotate,
            save_depth=self.save_depth,
            one_world=self.one_world,
            limits=raise_limits(DEFAULT_LIMITS, self.limit),
        )

    def check(self) -> None:
        """Raise ``InputError`` for an invalid setting."""
        self.wanted_formats()
        self.run_options()

    def load_model(self) -> LoadedModel:
        """Load the model; see ``load_model`` for what is raised."""
        return load_model(self.model, self.device, self.precision, self.body, compiled=self.compile)


@dataclass(frozen=True)
class ClipFiles:
    """Result of one clip."""

    result: Reconstruction
    files: list[Path]
    """In writing order, the manifest last."""


@dataclass(frozen=True)
class ClipRun:
    """How one clip is run; see ``human3r.inference.pipeline.reconstruct``."""

    options: ReconstructOptions
    sinks: Sequence[FrameSink] = ()
    control: RunControl | None = None
    forward: Forward = forward


def reconstruct_into(
    folder: Path, clip: Path, model: LoadedModel, settings: RunSettings, run: ClipRun | None = None
) -> ClipFiles:
    """Run one clip and write the wanted formats into a folder, replacing the files of an earlier run.

    Args:
        run: None runs with the options of the settings.

    Raises:
        Human3RError: See ``human3r.inference.pipeline.reconstruct`` and ``write_all``.
    """
    formats, run = settings.wanted_formats(), run or ClipRun(settings.run_options())
    moments = Moments() if "html" in formats else None
    wearing = model.body if settings.people_colors == "clip" else None
    keyframes = KeyframeCollector(wearing) if SURFACE_FORMATS.intersection(formats) else None
    sinks = [sink for sink in (moments, keyframes, *run.sinks) if sink is not None]
    result = run_pipeline(clip, model, run.options, sinks=sinks, control=run.control, forward=run.forward)
    remove_listed(folder, keep=clip)
    files = write_all(
        result,
        folder,
        formats,
        body=model.body,
        clip=clip,
        moments=moments,
        keyframes=keyframes,
        with_points=settings.points,
        people_wear=settings.people_colors,
    )
    return ClipFiles(result, files)


def make_output_folder(folder: Path) -> Path:
    """Create the folder for the files, if necessary, and check that it can be written.

    Temporary files of killed runs are removed.

    Raises:
        InputError: It cannot be created or written.
        DiskFullError: Its disk is nearly full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be created ({error.strerror}).", "Choose another one.") from error
    reclaim(folder)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written ({error.strerror}).", "Choose another one.") from error
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE_BYTES:
        message = f"The disk of {folder} has {free / 1e6:.0f} MB free; a run needs {_MIN_FREE_BYTES / 1e6:.0f} MB."
        raise DiskFullError(message, "Free some space or choose another folder.")
    return folder


def summarize(result: Reconstruction, model: LoadedModel, seconds: float) -> dict[str, object]:
    """Return the figures of a run; ``seconds`` includes loading and writing."""
    return {
        "frames": result.num_frames,
        "people": len(result.track_id),
        "observations": len(result.person_frame),
        "points": len(result.points_world),
        "shots": len(np.unique(result.shot)),
        "fps": result.fps,
        "seconds": round(seconds, 3),
        "seconds_per_frame": round(float(result.meta["seconds"]) / result.num_frames, 4),  # type: ignore[arg-type]
        "model": model.name,
        "device": str(model.device),
        "precision": model.precision,
        "turned_deg": result.meta["options"]["rotate"],  # type: ignore[index]
        "warnings": result.meta["warnings"],
    }
