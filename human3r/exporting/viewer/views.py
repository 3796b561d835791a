"""Where a viewer stands at first, and above: views of a scene in the y-up world whose floor is y = 0."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

FIELD_OF_VIEW_RAD = 0.85
"""Vertical field of view of the viewer; viser's own 75 degrees make people near the edge look bent."""
_TOP_FIELD_OF_VIEW_RAD = 0.8
_MIN_HALF_WIDTH_M = 2.0
_ROOM = 1.15
"""Around a subject, for hands, feet and the labels over heads."""


@dataclass(frozen=True)
class View:
    """One place to look from."""

    position: tuple[float, float, float]
    """Of the viewer, meters."""
    look_at: tuple[float, float, float]
    """Point in the middle of the picture, meters."""
    up: tuple[float, float, float]
    """Direction that is up in the picture."""
    fov: float
    """Vertical field of view, radians."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields for JSON."""
        return asdict(self)


def framing_view(subject: np.ndarray, view_direction: np.ndarray) -> View:
    """Choose a three-quarter view of a subject.

    Args:
        subject: ``n 3`` points to frame, y up, meters; at least one.
        view_direction: ``3`` direction in which the filming camera looks.
    """
    low, high = np.quantile(subject, 0.05, axis=0), np.quantile(subject, 0.95, axis=0)
    center = (low + high) / 2
    radius = max(float(np.linalg.norm(high - low)) / 2, 1.0)
    flat = np.array([view_direction[0], 0.0, view_direction[2]])
    flat = flat / np.linalg.norm(flat) if np.linalg.norm(flat) > 1e-3 else np.array([0.0, 0.0, -1.0])
    turn = np.deg2rad(22)
    sideways = np.array([flat[2], 0.0, -flat[0]])
    backwards = -np.cos(turn) * flat + np.sin(turn) * sideways
    distance = _ROOM * radius / np.tan(FIELD_OF_VIEW_RAD / 2)
    position = center + distance * (backwards + np.array([0.0, 0.38, 0.0]))
    return View(_listed(position), _listed(center), (0.0, 1.0, 0.0), FIELD_OF_VIEW_RAD)


def top_view(subject: np.ndarray, view_direction: np.ndarray) -> View:
    """Look straight down on a subject ``n 3``, with the filming camera's forward direction up in the picture."""
    low, high = np.quantile(subject, 0.02, axis=0), np.quantile(subject, 0.98, axis=0)
    center = (low + high) / 2
    half_width = max(_MIN_HALF_WIDTH_M, float(np.linalg.norm((high - low)[[0, 2]])))
    up = np.array([view_direction[0], 0.0, view_direction[2]])
    if np.linalg.norm(up) < 1e-3:  # the camera itself looks straight down
        up = np.array([0.0, 0.0, -1.0])
    height = 1.5 * half_width / np.tan(_TOP_FIELD_OF_VIEW_RAD / 2)
    # A hair off the vertical: straight down, the client's orbit control has no sideways.
    position = center + np.array([0.0, height, 0.0]) - 0.01 * height * up / np.linalg.norm(up)
    return View(_listed(position), _listed(center), _listed(up / np.linalg.norm(up)), _TOP_FIELD_OF_VIEW_RAD)


def _listed(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 4) for value in vector)
    return x, y, z
