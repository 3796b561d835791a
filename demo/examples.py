"""The example clips and their precomputed results.

A result is a ``reconstruction.npz`` that ``python -m demo.tools.precompute`` made with the default model. It is shown
while that model is in use, with a note when its weights have changed since; with another model, opening an example
starts a run.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from demo import messages
from demo.engine import Engine
from demo.storage import ResultStore, RunFolder
from demo.updates import Outcome, outcome_of
from human3r import KEYFRAMES_NAME, MOMENTS_NAME, PLAYER_SCENE_NAME, Reconstruction

ROOT = Path(__file__).parent.parent / "examples"
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Example:
    """One tile of the page; the files other than the clip may be absent."""

    slug: str
    """Name of its files."""
    title: str
    """Text of the tile."""

    @property
    def clip(self) -> Path:
        """The video."""
        return ROOT / f"{self.slug}.mp4"

    def precomputed(self, ending: str) -> Path:
        """Return a precomputed file: the result, its keyframes (``.surface.npz``), its moments or the thumbnail."""
        return ROOT / "precomputed" / f"{self.slug}{ending}"

    @property
    def icon(self) -> str | None:
        """Path of the thumbnail, where there is one."""
        path = self.precomputed(".jpg")
        return str(path) if path.is_file() else None


EXAMPLES = (
    Example("sports2d_walk_and_flip", "Walk and flip"),
    Example("pose2sim_two_people_portrait", "In the lab"),
    Example("rendered_two_people_orbit", "On the street"),
)


def available_examples() -> tuple[Example, ...]:
    """Return the examples whose clip is in this copy of the repository."""
    return tuple(example for example in EXAMPLES if example.clip.is_file())


class Gallery:
    """Opens precomputed results; each is prepared once and shared by all visitors.

    Args:
        engine: Writes the recording and the downloads.
        store: Holds their folders, which never expire.
    """

    def __init__(self, engine: Engine, store: ResultStore) -> None:
        self._engine = engine
        self._store = store
        self._locks = {example.slug: threading.Lock() for example in EXAMPLES}
        self._wanted: set[str] = set()
        """Examples that visitors have asked for."""
        self._open: dict[str, Outcome] = {}

    def open(self, example: Example) -> Outcome | None:
        """Return the result of an example, or None when there is none of the default model."""
        self._wanted.add(example.slug)
        return self._opened(example, lambda: False)

    def _opened(self, example: Example, is_busy: Callable[[], bool]) -> Outcome | None:
        def pause(*_: object) -> None:
            while example.slug not in self._wanted and is_busy():
                time.sleep(_LOOK_EVERY_S)

        with self._locks[example.slug]:
            if example.slug not in self._open:
                outcome = self._prepare(example, pause)
                if outcome is None:
                    return None
                self._open[example.slug] = outcome
            return self._open[example.slug]

    def opened(self, example: Example) -> Outcome | None:
        """Return the result of an example if it is prepared already."""
        return self._open.get(example.slug)

    def open_all(self, is_busy: Callable[[], bool]) -> None:
        """Prepare every example, so that the first click finds it ready.

        Args:
            is_busy: Whether a run needs the processor: the preparation waits, unless a visitor asks for the example.
        """
        for example in available_examples():
            self._opened(example, is_busy)

    def clip_of(self, folder: RunFolder) -> Path | None:
        """Return the clip of an example's folder, or None for a visitor's folder."""
        slugs = [slug for slug, outcome in list(self._open.items()) if outcome.folder.token == folder.token]
        return next((example.clip for example in EXAMPLES if example.slug in slugs), None)

    def _prepare(self, example: Example, pause: Callable[..., object]) -> Outcome | None:
        if not example.precomputed(".npz").is_file():
            return None
        result = Reconstruction.load(example.precomputed(".npz"))
        source = self._engine.source_of(result)
        if source == "other model":
            return None
        folder = self._store.open(owner="")
        result.save(folder.path / "reconstruction.npz")
        ready = ["reconstruction.npz"]
        if example.precomputed(".moments.bin").is_file():
            shutil.copyfile(example.precomputed(".moments.bin"), folder.path / MOMENTS_NAME)
            ready.append(MOMENTS_NAME)
        if example.precomputed(".surface.npz").is_file():
            shutil.copyfile(example.precomputed(".surface.npz"), folder.path / KEYFRAMES_NAME)
        for name in (PLAYER_SCENE_NAME, "overlay.mp4"):
            pause()
            if self._engine.export(result, example.clip, folder, name, pause):
                ready.append(name)
        outcome = outcome_of(result, folder, 0.0, tuple(ready))
        if source == "earlier weights":
            outcome = replace(outcome, warnings=(*outcome.warnings, messages.EARLIER_WEIGHTS))
        return outcome
