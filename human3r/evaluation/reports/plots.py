"""One picture per sequence: paths beside the truth, and errors over the frames.

Drawn with Pillow, so that no plotting library is required.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from human3r.evaluation.protocol import PATH_SERIES, ScoreGroup

_PANEL = (320, 420)
"""(height, width) of one panel, pixels."""
_MARGIN_PX = 42
_COLUMNS = 2
_INK, _TRUE = (60, 60, 60), (150, 150, 150)
PREDICTED_COLORS = ((200, 60, 30), (40, 100, 200), (40, 150, 90), (160, 90, 190), (220, 150, 20))
"""Colors of the curves in one panel, in order; a predicted path has the first."""


def sequence_plot(groups: tuple[ScoreGroup, ...], title: str) -> bytes | None:
    """Draw everything of a sequence that has series as one PNG; None without series.

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
    panels = [_path_panel(group, title) for group in paths]
    panels += [_curve_panel(name, owners) for name, owners in curves.items()]
    num_columns = min(num_panels, _COLUMNS)
    image = Image.new("RGB", (num_columns * width, -(-num_panels // num_columns) * height), "white")
    for place, panel in enumerate(panels):
        image.paste(panel, (place % num_columns * width, place // num_columns * height))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _path_panel(group: ScoreGroup, title: str) -> Image.Image:
    height, width = _PANEL
    columns = [np.array(group.series[name]) for name in PATH_SERIES]
    truth, predicted = np.stack(columns[:2], -1), np.stack(columns[2:], -1)
    both = np.concatenate([truth, predicted])
    aspect = (width - 2 * _MARGIN_PX) / (height - 2 * _MARGIN_PX)
    half = max(float(np.ptp(both, axis=0).max()) / 2, 1e-6) * np.array([aspect, 1.0])
    center = (both.max(0) + both.min(0)) / 2
    low, high = center - half, center + half
    panel = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(panel)
    _frame(draw, f"{title}: {group.name} path [m], gray = truth", low, high)
    _curve(draw, truth, low, high, _TRUE)
    _curve(draw, predicted, low, high, PREDICTED_COLORS[0])
    return panel


def _curve_panel(name: str, owners: list[ScoreGroup]) -> Image.Image:
    height, width = _PANEL
    lines = []
    for group in owners:
        values = np.array(group.series[name])
        frames = np.array(group.series.get("frame", range(len(values))), np.float64)
        lines.append(np.stack([frames, np.nan_to_num(values)], -1))
    points = np.concatenate(lines)
    low = np.array([points[:, 0].min(), 0.0])
    high = np.array([max(points[:, 0].max(), low[0] + 1), max(points[:, 1].max(), 1e-9)])
    panel = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(panel)
    _frame(draw, f"{name} over frames", low, high)
    colors = [PREDICTED_COLORS[index % len(PREDICTED_COLORS)] for index in range(len(owners))]
    for line, color in zip(lines, colors, strict=True):
        _curve(draw, line, low, high, color)
    if len(owners) > 1:
        for index, (group, color) in enumerate(zip(owners, colors, strict=True)):
            draw.text((_MARGIN_PX + 6, _MARGIN_PX + 4 + 12 * index), group.name, fill=color)
    return panel


def _frame(draw: ImageDraw.ImageDraw, title: str, low: np.ndarray, high: np.ndarray) -> None:
    height, width = _PANEL
    box = (_MARGIN_PX, _MARGIN_PX, width - _MARGIN_PX, height - _MARGIN_PX)
    draw.rectangle(box, outline=_INK)
    draw.text((_MARGIN_PX, 14), title, fill=_INK)
    draw.text((box[0], box[3] + 6), f"{low[0]:.3g}", fill=_INK)
    draw.text((box[2] - 24, box[3] + 6), f"{high[0]:.3g}", fill=_INK)
    draw.text((2, box[3] - 10), f"{low[1]:.3g}", fill=_INK)
    draw.text((2, box[1]), f"{high[1]:.3g}", fill=_INK)


def _curve(
    draw: ImageDraw.ImageDraw,
    points: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    color: tuple[int, int, int],
) -> None:
    height, width = _PANEL
    share = (points - low) / (high - low)
    x = _MARGIN_PX + share[:, 0] * (width - 2 * _MARGIN_PX)
    y = height - _MARGIN_PX - share[:, 1] * (height - 2 * _MARGIN_PX)
    draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=color, width=2)
    if len(points) == 1:
        draw.ellipse((x[0] - 3, y[0] - 3, x[0] + 3, y[0] + 3), fill=color)
