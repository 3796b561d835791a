"""The example clips and their precomputed results.

A result is a ``reconstruction.npz`` that ``python -m demo.tools.precompute`` made with the default model. It is shown
only while that model is in use, with a remark when its weights have changed since; with another model, a click on an
example starts a run.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo.engine import Engine
from demo.page import messages
from demo.runs import Outcome, outcome_of
from demo.storage import MOMENTS_NAME, Shelf, Store

if TYPE_CHECKING:
    from human3r import Reconstruction

ROOT = Path(__file__).parent.parent / "examples"


@dataclass(frozen=True)
class Example:
    """One tile of the page."""

    slug: str
    """Name of its files."""
    title: str
    """On the tile."""

    @property
    def clip(self) -> Path:
        """The video."""
        return ROOT / f"{self.slug}.mp4"

    @property
    def thumbnail(self) -> Path:
        """A small picture of it."""
        return ROOT / "precomputed" / f"{self.slug}.jpg"

    @property
    def precomputed(self) -> Path:
        """Its result, or a path that does not exist."""
        return ROOT / "precomputed" / f"{self.slug}.npz"

    @property
    def moments(self) -> Path:
        """The points of its single frames, or a path that does not exist."""
        return ROOT / "precomputed" / f"{self.slug}.moments.bin"


EXAMPLES = (
    Example("sports2d_walk_and_flip", "Walk and flip"),
    Example("pose2sim_two_people_portrait", "In the lab"),
    Example("rendered_two_people_orbit", "On the street"),
)


def available_examples() -> tuple[Example, ...]:
    """Return the examples whose clip is in this copy of the repository."""
    return tuple(example for example in EXAMPLES if example.clip.is_file())


class Gallery:
    """Opens precomputed results; each is prepared once and shared by all visitors (it holds nothing of theirs).

    Args:
        engine: Writes the recording and the downloads.
        store: Where they go; the shelf of an example never expires.
    """

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._locks = {example.slug: threading.Lock() for example in EXAMPLES}
        self._open: dict[str, Outcome] = {}

    def open(self, example: Example) -> Outcome | None:
        """Return the result of an example, or None when it has to be computed first."""
        with self._locks[example.slug]:
            if example.slug not in self._open:
                result = self._load(example)
                if result is None:
                    return None
                self._open[example.slug] = self._prepare(example, result, self._store.open(owner=""))
            return self._open[example.slug]

    def open_all(self) -> None:
        """Prepare every example ahead, so that the first click finds it ready."""
        for example in available_examples():
            self.open(example)

    def clip_of(self, shelf: Shelf) -> Path | None:
        """Return the clip behind an example's shelf, or None when the shelf is no example's."""
        slugs = [slug for slug, outcome in list(self._open.items()) if outcome.shelf.token == shelf.token]
        return next((example.clip for example in EXAMPLES if example.slug in slugs), None)

    def _load(self, example: Example) -> Reconstruction | None:
        from human3r import Reconstruction

        if not example.precomputed.is_file():
            return None
        result = Reconstruction.load(example.precomputed)
        return None if self._engine.maker_of(result) == "another model" else result

    def _prepare(self, example: Example, result: Reconstruction, shelf: Shelf) -> Outcome:
        result.save(shelf.folder / "reconstruction.npz")
        ready = ["reconstruction.npz"]
        if example.moments.is_file():
            shutil.copyfile(example.moments, shelf.folder / MOMENTS_NAME)
            ready.append(MOMENTS_NAME)
        for name in ("scene.viser", "overlay.mp4"):
            if self._engine.export(result, example.clip, shelf.folder, name):
                ready.append(name)
        outcome = outcome_of(result, shelf, 0.0, tuple(ready))
        if self._engine.maker_of(result) == "earlier weights":
            outcome = replace(outcome, warnings=(*outcome.warnings, messages.EARLIER_WEIGHTS))
        return outcome
