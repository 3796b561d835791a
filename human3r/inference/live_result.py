"""From the tables of a live stream to a result like that of a clip."""

from __future__ import annotations

from collections.abc import Sequence

from human3r._version import __version__
from human3r.inference.loaded_model import LoadedModel
from human3r.inference.threads import stage_threads
from human3r.refinement.finishing import finish
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore
from human3r.video.sampling import rate_of

_DEFAULT_FPS = 30.0


def finish_live(
    store: ResultStore, model: LoadedModel, source: str, seconds: float, warnings: Sequence[str] = ()
) -> Reconstruction:
    """Refine what a live stream left in a store, as a finished clip.

    Args:
        store: At least one frame.
        model: The model that made them.
        source: Name of the source, for the result.
        seconds: How long the stream ran.
        warnings: Sentences for the user.
    """
    meta = {
        "model": model.name,
        "model_sha256": model.sha256,
        "body": model.body.name,
        "version": __version__,
        "source": source,
        "device": str(model.device),
        "precision": model.precision,
        "options": {"live": True},
        "seconds": round(seconds, 3),
        "warnings": [*warnings, *([] if len(store.people()) else ["No people were found."])],
    }
    with stage_threads(model.profile, model.device):
        fps = rate_of(store.time_s.tolist(), default_fps=_DEFAULT_FPS)
        return finish(store, fps, meta, model.profile.finishing, model.body)
