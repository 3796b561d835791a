"""The keyframes of a finished result, gathered again from its clip: the forward pass runs once more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.errors import FormatError, InputError
from human3r.inference.loading.model import load_model
from human3r.inference.stream import ReconstructOptions, Stepped, forward
from human3r.surface.keyframes.collecting import KeyframeCollector

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.inference.loading.loaded_model import LoadedModel
    from human3r.results.reconstruction import Reconstruction

_KEPT_OPTIONS = ("start_s", "duration_s", "fps", "max_frames", "use_ttt3r", "reset_interval", "finds_cuts", "rotate")


def gather_again(
    reconstruction: Reconstruction,
    clip: Path,
    body: SmplxBody | None = None,
    *,
    model: LoadedModel | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> KeyframeCollector:
    """Run the result's model over its clip and return the collector of keyframes.

    Args:
        reconstruction: The result.
        clip: Its source clip.
        body: The result's body model, for the colors of its people; without it they are not gathered.
        model: The result's model; None loads it by its name.
        progress: Called as (frames done, frames in all).

    Raises:
        InputError: The clip cannot be read or has other frames, or the result was made with other weights.
        AssetError: The model's weights are missing or damaged.
    """
    meta = reconstruction.meta
    loaded = model or load_model(str(meta.get("model")))
    if loaded.sha256 != meta.get("model_sha256"):
        raise InputError(
            f"The result was made with other weights of the model {loaded.name!r}.", "Reconstruct the clip again."
        )
    known = meta.get("options")
    kept = {name: value for name, value in known.items() if name in _KEPT_OPTIONS} if isinstance(known, dict) else {}
    if not all(value is None or isinstance(value, (int, float)) for value in kept.values()):
        raise FormatError("The meta entry 'options' holds values of the wrong kind.", "Reconstruct the clip again.")
    collector = KeyframeCollector(body)
    expected = reconstruction.frame_index.tolist()
    with closing(forward(clip, loaded, ReconstructOptions(**kept))) as events:
        steps = (event for event in events if isinstance(event, Stepped))
        found = []
        for step in steps:
            found.append(step.prediction.frame_index)
            # A stopped run ends before the clip.
            if found != expected[: len(found)]:
                break
            collector.add(step.prediction)
            if step.source is not None:
                collector.add_source(step.source)
            progress(len(found), len(expected))
            if len(found) == len(expected):
                break
    if found != expected:
        raise InputError("The clip has other frames than the reconstruction.", "Give the original clip.")
    return collector
