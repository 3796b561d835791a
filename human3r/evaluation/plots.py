"""One picture per sequence: the camera path from above beside the truth, and the error over time.

Drawn with Pillow, so that an evaluation needs no plotting library. What is drawn is stored with the scores.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from human3r.evaluation.protocol import ScoreGroup

_PANEL = (320, 420)
"""(height, width) of one panel, pixels."""
_MARGIN_PX = 42
_INK, _TRUE, _PREDICTED = (60, 60, 60), (150, 150, 150), (200, 60, 30)


def camera_plot(group: ScoreGroup, title: str) -> bytes:
    """Draw a camera group's series as a PNG: path seen along y (x right, z up), and position error over frames."""
    height, width = _PANEL
    image = Image.new("RGB", (2 * width, height), "white")
    draw = ImageDraw.Draw(image)
    series = {name: np.array(values) for name, values in group.series.items()}
    truth = np.stack([series["true_x_m"], series["true_z_m"]], -1)
    predicted = np.stack([series["predicted_x_m"], series["predicted_z_m"]], -1)
    both = np.concatenate([truth, predicted])
    # One scale for both axes: a path must not be stretched.
    aspect = (width - 2 * _MARGIN_PX) / (height - 2 * _MARGIN_PX)
    half = max(float(np.ptp(both, axis=0).max()) / 2, 1e-6) * np.array([aspect, 1.0])
    centre = (both.max(0) + both.min(0)) / 2
    low, high = centre - half, centre + half
    _panel(draw, 0, f"{title}: path from above [m], grey = truth", low, high)
    _curve(draw, 0, truth, low, high, _TRUE)
    _curve(draw, 0, predicted, low, high, _PREDICTED)
    error = series["error_m"]
    curve = np.stack([np.arange(len(error)), error], -1)
    low, high = np.zeros(2), np.array([max(len(error) - 1, 1), max(float(error.max()), 1e-9)])
    _panel(draw, width, "position error [m] over frames", low, high)
    _curve(draw, width, curve, low, high, _PREDICTED)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _panel(draw: ImageDraw.ImageDraw, left: int, title: str, low: np.ndarray, high: np.ndarray) -> None:
    height, width = _PANEL
    box = (left + _MARGIN_PX, _MARGIN_PX, left + width - _MARGIN_PX, height - _MARGIN_PX)
    draw.rectangle(box, outline=_INK)
    draw.text((left + _MARGIN_PX, 14), title, fill=_INK)
    draw.text((box[0], box[3] + 6), f"{low[0]:.3g}", fill=_INK)
    draw.text((box[2] - 24, box[3] + 6), f"{high[0]:.3g}", fill=_INK)
    draw.text((left + 2, box[3] - 10), f"{low[1]:.3g}", fill=_INK)
    draw.text((left + 2, box[1]), f"{high[1]:.3g}", fill=_INK)


def _curve(
    draw: ImageDraw.ImageDraw,
    left: int,
    points: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    color: tuple[int, int, int],
) -> None:
    height, width = _PANEL
    share = (points - low) / (high - low)
    x = left + _MARGIN_PX + share[:, 0] * (width - 2 * _MARGIN_PX)
    y = height - _MARGIN_PX - share[:, 1] * (height - 2 * _MARGIN_PX)
    draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=color, width=2)
