"""``python -m demo.tools.precompute [--model NAME] [--force] [SLUG ...]``: make the examples' results and thumbnails.

Run it again whenever the embedded model changes; the page ignores results of another model.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import human3r
from demo.examples import Example, available_examples
from human3r.export.viewer.moments import Moments

MAX_BYTES = 2_500_000
"""Largest result that is shipped."""
_MAX_RAW_MOMENTS_BYTES = 4_000_000
"""The points of single frames before compression, which halves them about."""
_FPS = 10.0
_THUMBNAIL_WIDTH = 240


def main(arguments: list[str] | None = None) -> int:
    """Precompute the examples that are missing or outdated, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.tools.precompute", description=__doc__.splitlines()[0])
    parser.add_argument("slugs", nargs="*", metavar="SLUG", help="examples to make (all)")
    parser.add_argument("--model", default="compact", help="model name (%(default)s)")
    parser.add_argument("--force", action="store_true", help="make them again even where they are current")
    options = parser.parse_args(arguments)
    model = human3r.load_model(options.model)
    for example in available_examples():
        if options.slugs and example.slug not in options.slugs:
            continue
        if not options.force and _is_current(example, model):
            print(f"{example.slug}: current")
            continue
        _precompute(example, model)
    return 0


def _is_current(example: Example, model: human3r.LoadedModel) -> bool:
    if not example.precomputed.is_file() or not example.thumbnail.is_file():
        return False
    return human3r.Reconstruction.load(example.precomputed).meta.get("model_sha256") == model.sha256


def _precompute(example: Example, model: human3r.LoadedModel) -> None:
    best: tuple[int, np.ndarray] | None = None
    moments = Moments()

    def keep(prediction: human3r.FramePrediction) -> None:
        nonlocal best
        if best is None or len(prediction.people) > best[0]:
            best = (len(prediction.people), prediction.image.numpy().copy())

    result = human3r.reconstruct(example.clip, model, sinks=[moments], on_frame=keep, fps=_FPS)
    example.precomputed.parent.mkdir(exist_ok=True)
    kept = len(result.points_world)
    while True:
        fitting = thin_points(result, kept)
        size = _size_of(fitting)
        if size <= MAX_BYTES or kept == 0:
            break
        kept = int(kept * 0.9 * MAX_BYTES / size)
    fitting.save(example.precomputed)
    moments.write(example.moments, result, _MAX_RAW_MOMENTS_BYTES)
    assert best is not None  # a result has at least one frame
    _save_thumbnail(best[1], result.image_size, example.thumbnail)
    print(f"{example.slug}: {result.num_frames} frames, {len(result.track_id)} people, {kept} points, {size} bytes")


def thin_points(result: human3r.Reconstruction, num_points: int) -> human3r.Reconstruction:
    """Return the result with at most so many scene points, evenly chosen from all of them."""
    total = len(result.points_world)
    if num_points >= total:
        return result
    rows = np.random.default_rng(0).permutation(total)[:num_points]
    rows.sort()
    names = ("points_world", "points_color", "points_confidence", "points_frame")
    return dataclasses.replace(result, **{name: getattr(result, name)[rows] for name in names})


def _size_of(result: human3r.Reconstruction) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reconstruction.npz"
        result.save(path)
        return path.stat().st_size


def _save_thumbnail(image: np.ndarray, image_size: np.ndarray, path: Path) -> None:
    height, width = (int(value) for value in image_size)
    size = (_THUMBNAIL_WIDTH, round(_THUMBNAIL_WIDTH * height / width))
    stream = io.BytesIO()
    Image.fromarray(image).resize(size, Image.Resampling.LANCZOS).save(stream, "JPEG", quality=82)
    path.write_bytes(stream.getvalue())


if __name__ == "__main__":
    sys.exit(main())
