"""Pictures of the frames with the largest errors: predicted people, true joints, depth maps.

A reduced copy of every prediction is kept while a sequence runs; pictures are drawn once its errors are known.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageDraw

from human3r.bodies.smplx import SmplxBody
from human3r.evaluation.inference import load_image
from human3r.evaluation.protocol import PosedPeople, Recording, ScoreGroup
from human3r.records import FramePrediction
from human3r.rendering.overlay import OverlayStyle, draw_prediction
from human3r.rendering.overlay_video import shrink

NUM_WORST = 3
"""Pictures per sequence."""
_LONG_SIDE_PX = 640
_DEPTH_STEP = 4
"""Stride of the depth maps that are kept."""
_MAX_KEPT_DEPTH_M = 60_000.0
"""Below the largest half-precision number."""
_TRUE_COLOR = (255, 255, 255)
_MISSES = ("detection", "missed")
_RAMP = np.array(
    [(13, 8, 135), (84, 2, 163), (139, 10, 165), (185, 50, 137), (219, 92, 104), (244, 136, 73), (254, 188, 43)],
    np.float64,
)
"""Colors from near to far, and from no error to large."""
_FULL_ERROR = 0.3
"""Relative depth error of the last color."""


@dataclass(frozen=True)
class _Memory:
    """A prediction without its images, and a coarse depth map where depth is scored."""

    prediction: FramePrediction
    depth: np.ndarray | None


class FrameKeeper:
    """Passes predictions on and keeps a reduced copy of each."""

    def __init__(self, predictions: Iterator[FramePrediction], *, keeps_depth: bool) -> None:
        self._predictions = predictions
        self._keeps_depth = keeps_depth
        self.frames: list[_Memory] = []

    def __iter__(self) -> Iterator[FramePrediction]:
        for prediction in self._predictions:
            depth = None
            if self._keeps_depth:
                coarse = prediction.pointmap_camera[::_DEPTH_STEP, ::_DEPTH_STEP, 2]
                depth = coarse.clamp(0, _MAX_KEPT_DEPTH_M).numpy().astype(np.float16)
            self.frames.append(_Memory(_without_pictures(prediction), depth))
            yield prediction


def _without_pictures(prediction: FramePrediction) -> FramePrediction:
    """Drop everything that has pixels."""
    none = torch.zeros(0, 0)
    points, image = torch.zeros(0, 0, 3), torch.zeros(0, 0, 3, dtype=torch.uint8)
    return replace(prediction, pointmap_camera=points, confidence=none, person_mask=none, image=image)


def find_worst(
    groups: tuple[ScoreGroup, ...], worst_by: tuple[str, str] | None, num_frames: int
) -> list[tuple[int, str, float]]:
    """Return (frame, name of the error, error) of the worst frames, worst first and apart from each other.

    Args:
        worst_by: (group, series) to search for the largest values; missed people if it is absent.
        num_frames: Of the sequence; frames nearer to a chosen one than a tenth of it are skipped.
    """
    series = {group.name: group.series for group in groups}
    places = [place for place in (worst_by, _MISSES) if place and place[1] in series.get(place[0], {})]
    if not places:
        return []
    group, measure = places[0]
    pairs = sorted(zip(series[group][measure], series[group]["frame"], strict=True), reverse=True)
    chosen: list[tuple[int, str, float]] = []
    for value, frame in pairs:
        if value > 0 and all(abs(frame - other) > num_frames / 10 for other, _, _ in chosen):
            chosen.append((int(frame), f"{group}.{measure}", float(value)))
    return chosen[:NUM_WORST]


def draw_frame(
    recording: Recording, frame: int, keeper: FrameKeeper, body: SmplxBody, group: ScoreGroup | None
) -> bytes:
    """Draw one frame as a JPEG: predicted people and true joints over the image; depth maps in a row beside it.

    Args:
        frame: Row of the image.
        group: Holds scale and shift of the depth alignment; None where depth is not scored.
    """
    memory = keeper.frames[frame]
    image = shrink(load_image(recording.images[frame]), _LONG_SIDE_PX)
    picture = draw_prediction(image, memory.prediction, body, OverlayStyle(opacity=0.6, draw_labels=False))
    if recording.read_people is not None:
        picture = _with_true_joints(picture, recording.read_people(frame), memory.prediction.camera.image_size)
    panels = [picture]
    if memory.depth is not None and group is not None and recording.read_depth is not None:
        truth = recording.read_depth(recording.depths[frame])
        panels += _depth_panels(memory.depth, truth, group.values, (image.shape[0], image.shape[1]))
    stream = io.BytesIO()
    Image.fromarray(np.concatenate(panels, 1)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _with_true_joints(picture: np.ndarray, truth: PosedPeople, source_size: tuple[int, int]) -> np.ndarray:
    """Mark true joints by rings."""
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    scale = np.array([canvas.width / source_size[1], canvas.height / source_size[0]])
    radius = max(2.0, min(canvas.size) / 120)
    for x, y in (truth.joints_px * scale).reshape(-1, 2):
        if -radius < x < canvas.width + radius and -radius < y < canvas.height + radius:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_TRUE_COLOR, width=2)
    return np.asarray(canvas)


def _depth_panels(
    depth: np.ndarray, truth: np.ndarray, alignment: dict[str, float], size: tuple[int, int]
) -> list[np.ndarray]:
    """Return predicted depth, true depth and relative error as pictures of one size; black has no truth."""
    aligned = alignment["scale"] * depth.astype(np.float32) + alignment["shift"]
    predicted = _resized(aligned, size, Image.Resampling.BILINEAR)
    truth = _resized(np.where(np.isfinite(truth), truth, 0).astype(np.float32), size, Image.Resampling.NEAREST)
    valid = truth > 0
    near, far = np.percentile(truth[valid], (2, 98)) if valid.any() else (0.0, 1.0)
    reach = max(far - near, 1e-6)
    error = np.abs(predicted - truth) / np.maximum(truth, 1e-6) / _FULL_ERROR
    pictures = [_colored((predicted - near) / reach), _colored((truth - near) / reach), _colored(error)]
    return [pictures[0], *(np.where(valid[..., None], picture, 0).astype(np.uint8) for picture in pictures[1:])]


def _resized(values: np.ndarray, size: tuple[int, int], resample: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), resample))


def _colored(share: np.ndarray) -> np.ndarray:
    """Color ``H W`` shares of the ramp: ``H W 3`` uint8."""
    place = np.nan_to_num(np.clip(share, 0, 1)) * (len(_RAMP) - 1)
    return np.stack([np.interp(place, np.arange(len(_RAMP)), _RAMP[:, c]) for c in range(3)], -1).astype(np.uint8)
