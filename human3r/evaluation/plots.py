"""One picture per sequence: paths beside the truth, and errors over the frames.

Drawn with Pillow, so that an evaluation needs no plotting library. What is drawn is stored with the scores.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from human3r.evaluation.protocol import PATH_SERIES, ScoreGroup

_PANEL = (320, 420)
"""(height, width) of one panel, pixels."""
_MARGIN_PX = 42
_INK, _TRUE = (60, 60, 60), (150, 150, 150)
PREDICTED_COLORS = ((200, 60, 30), (40, 100, 200), (40, 150, 90), (160, 90, 190), (220, 150, 20))
"""Colours of the curves in one panel, in order; a predicted path has the first."""


def sequence_plot(groups: tuple[ScoreGroup, ...], title: str) -> bytes | None:
    """Draw everything of a sequence that has series as one PNG; None where nothing has.

    Groups with a path get a panel each, with one scale for both axes. Curves of one name share a panel.
    """
    paths = [group for group in groups if all(name in group.series for name in PATH_SERIES)]
    curves: dict[str, list[ScoreGroup]] = {}
    for group in groups:
        for name in group.series:
            if name not in (*PATH_SERIES, "frame") and len(group.series[name]):
                curves.setdefault(name, []).append(group)
    num_panels = len(paths) + len(curves)
    if not num_panels:
        return None
    height, width = _PANEL
    image = Image.new("RGB", (num_panels * width, height), "white")
    draw = ImageDraw.Draw(image)
    for place, group in enumerate(paths):
        _draw_path(draw, place * width, group, title)
    for place, (name, owners) in enumerate(curves.items(), start=len(paths)):
        _draw_curves(draw, place * width, name, owners)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _draw_path(draw: ImageDraw.ImageDraw, left: int, group: ScoreGroup, title: str) -> None:
    height, width = _PANEL
    columns = [np.array(group.series[name]) for name in PATH_SERIES]
    truth, predicted = np.stack(columns[:2], -1), np.stack(columns[2:], -1)
    both = np.concatenate([truth, predicted])
    # One scale for both axes: a path must not be stretched.
    aspect = (width - 2 * _MARGIN_PX) / (height - 2 * _MARGIN_PX)
    half = max(float(np.ptp(both, axis=0).max()) / 2, 1e-6) * np.array([aspect, 1.0])
    centre = (both.max(0) + both.min(0)) / 2
    low, high = centre - half, centre + half
    _frame(draw, left, f"{title}: {group.name} path [m], grey = truth", low, high)
    _curve(draw, left, truth, low, high, _TRUE)
    _curve(draw, left, predicted, low, high, PREDICTED_COLORS[0])


def _draw_curves(draw: ImageDraw.ImageDraw, left: int, name: str, owners: list[ScoreGroup]) -> None:
    lines = []
    for group in owners:
        values = np.array(group.series[name])
        frames = np.array(group.series.get("frame", range(len(values))), np.float64)
        lines.append(np.stack([frames, np.nan_to_num(values)], -1))
    points = np.concatenate(lines)
    low = np.array([points[:, 0].min(), 0.0])
    high = np.array([max(points[:, 0].max(), low[0] + 1), max(points[:, 1].max(), 1e-9)])
    _frame(draw, left, f"{name} over frames", low, high)
    colors = [PREDICTED_COLORS[index % len(PREDICTED_COLORS)] for index in range(len(owners))]
    for line, color in zip(lines, colors, strict=True):
        _curve(draw, left, line, low, high, color)
    if len(owners) > 1:
        for index, (group, color) in enumerate(zip(owners, colors, strict=True)):
            draw.text((left + _MARGIN_PX + 6, _MARGIN_PX + 4 + 12 * index), group.name, fill=color)


def _frame(draw: ImageDraw.ImageDraw, left: int, title: str, low: np.ndarray, high: np.ndarray) -> None:
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
    if len(points) == 1:
        draw.ellipse((x[0] - 3, y[0] - 3, x[0] + 3, y[0] + 3), fill=color)
