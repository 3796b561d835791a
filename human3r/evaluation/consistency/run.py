"""Run a model over clips, or read saved results, and measure fit and consistency; tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from human3r.benchmarking.table import markdown_table
from human3r.errors import InputError
from human3r.evaluation.consistency.fit import PriorKeypoints, measure_fit
from human3r.evaluation.consistency.measures import measure
from human3r.geometry.camera import pixels_in_source
from human3r.inference.encoding import encode, in_groups
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.profile import COMPACT_PROFILE, profile_of
from human3r.inference.session import Session
from human3r.models.compact.look_ahead import seen_people
from human3r.models.compact.people.lifting.refine import RefineConfig, Refiner
from human3r.refinement.finishing import FinishOptions, finish
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling, rate_of
from human3r.video.sniff import VIDEO_SUFFIXES

Figures = dict[str, float | int | None]
"""Measures by name; None where undefined."""


def figures_of(*records: Any) -> Figures:
    """Return the fields of records of measures together; NaN becomes None."""
    values = {name: value for record in records for name, value in asdict(record).items()}
    return {name: None if value != value else value for name, value in values.items()}


def without_parts(model: LoadedModel, *, refine: bool, smoothing: bool) -> LoadedModel:
    """Return ``compact`` without its fit to the keypoints or its causal filter; changes the network in place."""
    if not refine:
        person_head: Any = model.network.person_head
        person_head.refiner = Refiner(RefineConfig(steps=0))
    session = replace(model.profile.session, causal_filter=None)
    return model if smoothing else replace(model, profile=replace(model.profile, session=session))


def find_inputs(paths: list[Path]) -> list[Path]:
    """Return the clips and results among ``paths``; folders are searched one level deep.

    Raises:
        InputError: There is none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [item for item in inside if item.suffix.lower() in (*VIDEO_SUFFIXES, ".npz") and item.is_file()]
    if not found:
        raise InputError("There is no clip and no reconstruction.npz.", "Give videos, results, or a folder of them.")
    return found


def report_on(
    path: Path,
    model: LoadedModel | None,
    max_frames: int | None = None,
    finishing: FinishOptions | None = None,
) -> tuple[str, Figures]:
    """Return the name and the figures of a saved result, or of the result of ``model`` on a clip.

    Args:
        path: One of ``find_inputs``.
        model: ``compact``; None for saved results.
        max_frames: Of a clip; None for all.
        finishing: Refinements of a clip; None for the model's.
    """
    if path.suffix.lower() == ".npz":
        name = path.parent.name if path.name == "reconstruction.npz" else path.stem
        return name, figures_of(measure(Reconstruction.load(path)))
    if model is None or profile_of(model.config) is not COMPACT_PROFILE:
        raise InputError("Clips are measured with the model 'compact' only.", "Give saved results of other models.")
    result, prior = reconstruct_beside_prior(path, model, max_frames, finishing)
    return path.stem, figures_of(measure(result), measure_fit(result, prior))


def reconstruct_beside_prior(
    clip: Path, model: LoadedModel, max_frames: int | None = None, finishing: FinishOptions | None = None
) -> tuple[Reconstruction, PriorKeypoints]:
    """Reconstruct a clip as ``reconstruct`` does and keep the frozen prior's keypoints of every frame."""
    finishing = finishing or model.profile.finishing
    session = Session(model)
    store = ResultStore(with_views=model.profile.finishing.agreeing_views)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    try:
        with FrameReader(clip, Sampling(max_frames=max_frames)) as reader:
            # Encoded in groups, as a run does.
            items = ((frame, session.prepare(frame.image)) for frame in reader)
            groups = in_groups(items, model.profile.cpu_batch_size, partial(encode, model))
            for (frame, image), ahead in groups:
                store.add(session.step_prepared(image, frame.time_s, frame.frame_index, ahead))
                people = seen_people(ahead.tokens)
                pixels = pixels_in_source(people.keypoints_px, ahead.tokens.image_size, image.source_rect_px)
                row = np.full(len(people), len(store) - 1)
                rows.append((row, pixels.float().numpy(), people.keypoint_score.float().numpy()))
            fps = rate_of(store.time_s, default_fps=reader.info.fps)
        result = finish(store, fps, {"model": model.name, "source": clip.name}, finishing, model.body)
    finally:
        store.close()
    return result, PriorKeypoints(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def table_of(first: str, rows: Sequence[tuple[str, Figures]]) -> str:
    """Return a table with a row per clip and a column per figure; ``first`` is over their names."""
    names = list(dict.fromkeys(name for _, figures in rows for name in figures))
    cells = [[clip, *(_cell(figures.get(name)) for name in names)] for clip, figures in rows]
    return "\n".join(markdown_table([first, *names], cells))


def _cell(value: float | int | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3g}"
