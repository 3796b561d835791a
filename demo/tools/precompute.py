"""``python -m demo.tools.precompute [--model NAME] [--force] [SLUG ...]``: make the examples' results and thumbnails.

Run it again whenever the embedded model changes; the page ignores results of another model.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys

import numpy as np
from PIL import Image

import human3r
from demo.examples import Example, available_examples

MAX_BYTES = 2_500_000
"""Maximum size of a result in the repository."""
_MAX_RAW_MOMENTS_BYTES = 4_000_000
"""Size of the single frames' points before compression, which halves it approximately."""
_FPS = 10.0
_THUMBNAIL_WIDTH = 240


def main(arguments: list[str] | None = None) -> int:
    """Precompute the examples that are missing or outdated, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.tools.precompute", description="Precompute the examples.")
    parser.add_argument("slugs", nargs="*", metavar="SLUG", help="examples to make (all)")
    parser.add_argument("--model", default="compact", help="model name (%(default)s)")
    parser.add_argument("--force", action="store_true", help="make current ones, too")
    options = parser.parse_args(arguments)
    model = human3r.load_model(options.model)
    for example in available_examples():
        if options.slugs and example.slug not in options.slugs:
            continue
        if options.force or not _is_current(example, model):
            _precompute(example, model)
        else:
            print(f"{example.slug}: current")
    return 0


def _is_current(example: Example, model: human3r.LoadedModel) -> bool:
    if not example.precomputed(".npz").is_file() or not example.precomputed(".jpg").is_file():
        return False
    return human3r.Reconstruction.load(example.precomputed(".npz")).meta.get("model_sha256") == model.sha256


def _precompute(example: Example, model: human3r.LoadedModel) -> None:
    predictions: list[human3r.FramePrediction] = []
    moments, keyframes = human3r.Moments(), human3r.KeyframeCollector(model.body)
    sinks = [moments, keyframes]
    result = human3r.reconstruct(example.clip, model, fps=_FPS, sinks=sinks, on_frame=predictions.append)
    example.precomputed(".npz").parent.mkdir(exist_ok=True)
    kept = len(result.points_world)
    while True:
        thinned = thin_points(result, kept)
        thinned.save(example.precomputed(".npz"))
        size = example.precomputed(".npz").stat().st_size
        if size <= MAX_BYTES or kept == 0:
            break
        kept = int(kept * 0.9 * MAX_BYTES / size)
    surface = example.precomputed(".surface.npz")
    human3r.save_keyframes(surface, keyframes.finish(), result, keyframes.people_colors())
    moments.write(example.precomputed(".moments.bin"), result, _MAX_RAW_MOMENTS_BYTES)
    busiest = max(predictions, key=lambda prediction: len(prediction.people))
    _save_thumbnail(busiest.image.numpy(), example, result.image_size)
    print(f"{example.slug}: {result.num_frames} frames, {len(result.track_id)} people, {kept} points, {size} bytes")


def thin_points(result: human3r.Reconstruction, num_points: int) -> human3r.Reconstruction:
    """Return the result with at most so many scene points, drawn evenly from all of them."""
    total = len(result.points_world)
    if num_points >= total:
        return result
    rows = np.sort(np.random.default_rng(0).permutation(total)[:num_points])
    names = ("points_world", "points_color", "points_confidence", "points_frame")
    return dataclasses.replace(result, **{name: getattr(result, name)[rows] for name in names})


def _save_thumbnail(image: np.ndarray, example: Example, image_size: np.ndarray) -> None:
    height, width = (int(value) for value in image_size)
    size = (_THUMBNAIL_WIDTH, round(_THUMBNAIL_WIDTH * height / width))
    Image.fromarray(image).resize(size, Image.Resampling.LANCZOS).save(example.precomputed(".jpg"), quality=82)


if __name__ == "__main__":
    sys.exit(main())
