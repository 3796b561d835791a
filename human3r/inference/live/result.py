"""What is kept of a live stream: at its end a result like that of a clip."""

from __future__ import annotations

import time
from collections.abc import Sequence

from human3r._version import __version__
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.threads import stage_threads
from human3r.records import FramePrediction
from human3r.refinement.finishing import finish
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore
from human3r.video.sampling import rate_of

_DEFAULT_FPS = 30.0
FINISHING_BYTES = 100_000
"""Memory that finishing takes per person and frame: 83 to 85 kB were measured with ``compact``."""


class LiveResult:
    """Collects the predictions of a live stream; use it in a ``with`` block.

    Args:
        model: The model that makes them.
        source: Name of the source, for the result.
        max_people: Of all frames together; when there are more, no further frames are kept. Rows are on the disk until
            ``finish``, which takes ``FINISHING_BYTES`` for each. None keeps all frames.
    """

    def __init__(self, model: LoadedModel, source: str, max_people: int | None = None) -> None:
        self._model, self._source, self._max_people = model, source, max_people
        self._store = ResultStore()
        self.is_full = False
        """Frames came that were not kept."""
        self._started_s = time.monotonic()

    def __len__(self) -> int:
        return len(self._store)

    def add(self, prediction: FramePrediction, *, with_scene: bool = True) -> bool:
        """Take the next frame; return whether it was kept. ``with_scene`` False leaves the fused scene alone.

        Raises:
            DiskFullError: No room for the rows.
        """
        is_over = self._max_people is not None and self._store.num_people + len(prediction.people) > self._max_people
        self.is_full = self.is_full or is_over
        if not self.is_full:
            self._store.add(prediction, with_scene=with_scene)
        return not self.is_full

    def finish(self, warnings: Sequence[str] = ()) -> Reconstruction:
        """Refine the frames, at least one, as those of a finished clip; ``warnings`` are sentences for the user."""
        model, store = self._model, self._store
        meta = {
            "model": model.name,
            "model_sha256": model.sha256,
            "body": model.body.name,
            "version": __version__,
            "source": self._source,
            "device": str(model.device),
            "precision": model.precision,
            "options": {"live": True},
            "seconds": round(time.monotonic() - self._started_s, 3),
            "warnings": [*warnings, *self._own_warnings()],
        }
        with stage_threads(model.profile, model.device):
            fps = rate_of(store.time_s.tolist(), default_fps=_DEFAULT_FPS)
            return finish(store, fps, meta, model.profile.finishing, model.body)

    def _own_warnings(self) -> list[str]:
        warnings = [] if self._store.num_people else ["No people were found."]
        if self.is_full:
            minutes = (self._store.time_s[-1] - self._store.time_s[0]) / 60
            warnings.append(
                f"The result ends after {minutes:.1f} minutes of the stream. It has {self._store.num_people} poses; "
                f"the memory of this machine is enough to finish {self._max_people}."
            )
        return warnings

    def close(self) -> None:
        """Drop the tables."""
        self._store.close()

    def __enter__(self) -> LiveResult:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
