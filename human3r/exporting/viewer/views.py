"""The initial view and the top view of a scene, in the y-up world whose floor is y = 0."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

FIELD_OF_VIEW_RAD = 0.85
"""Vertical field of view of the viewer; viser's own 75 degrees make people near the edge look bent."""
_TOP_FIELD_OF_VIEW_RAD = 0.8
_TURNS, _LIFTS = np.deg2rad([24, -24, 36, -36, 48, -48]), np.deg2rad([20, 30])
"""Angles of the first view, sideways and down; the first pair that shows everything is used."""
_TALL_TURNS, _TALL_LIFTS = np.deg2rad([12, -12, 24, -24, 36, -36]), np.deg2rad([35, 25])
"""The same for windows that are taller than wide: the filming camera is below the people, not beside them."""
_CLEAR = 0.03
"""Enough room between people and the camera's picture, radians."""
_CAMERA_RADIUS_M = 0.35
"""The drawn camera lies within."""
_ASPECT, _TALL_ASPECT = 1.3, 0.7
"""Width over height of a picture that shows everything, at most: about that of windows on desktops, and on phones."""
_ROOM = 1.12
"""Around what is shown, for hands, feet, labels over heads, and panels."""
_NEAR_REACH = 2.0
"""Of the near part of the scene from above, in distances of the filming camera from the people."""
_CENTERING_STEPS = 4
_MAX_POINTS = 10_000
"""Of the scene that the first view is made for."""
_MIN_DISTANCE_M, _MIN_HEIGHT_M = 2.5, 5.0


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
    aspect: float
    """Width over height of a window of this field of view in which everything is seen; narrower ones need more."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Content:
    """Contents of a scene, in the y-up world."""

    people: np.ndarray
    """``n 3`` joints of everyone at all times; may be empty."""
    scene: np.ndarray
    """``M 3`` points of the scene; may be empty."""
    T_gravity_camera: np.ndarray
    """``T 4 4`` filming cameras, at least one."""

    @property
    def cameras(self) -> np.ndarray:
        """``T 3`` positions of the filming camera."""
        return self.T_gravity_camera[:, :3, 3]

    @property
    def forward(self) -> np.ndarray:
        """``3`` level direction in which the filming camera looks at first."""
        direction = self.T_gravity_camera[0, :3, 2] * (1, 0, 1)
        length = np.linalg.norm(direction)
        return direction / length if length > 1e-3 else np.array([0.0, 0.0, -1.0])

    @property
    def subject(self) -> np.ndarray:
        """``n 3`` people, or without people the scene nearby, or the cameras."""
        if len(self.people):
            return _without_outliers(self.people)
        if len(self.scene):
            distance = np.linalg.norm(self.scene - self.cameras[0], axis=1)
            return _without_outliers(self.scene[distance <= np.median(distance)])
        return self.cameras

    def scene_near(self, reach: float, outliers: float) -> np.ndarray:
        """Return ``n 3`` scene around the subject, up to ``reach`` times as far from it as the filming camera is.

        The share ``outliers`` of it at every side is drawn in.
        """
        middle = self.subject.mean(axis=0)
        radius = reach * np.linalg.norm(self.cameras - middle, axis=1).max()
        near = self.scene[np.linalg.norm(self.scene - middle, axis=1) < radius]
        return _without_outliers(near, outliers)


def all_views(content: Content) -> dict[str, View]:
    """Return what the player offers: the first view, that of tall windows, and the scene from above, its near part."""
    return {
        "world": framing_view(content),
        "tall": framing_view(content, is_tall=True),
        "top": top_view(content),
        "near": top_view(content, is_near=True),
    }


def framing_view(content: Content, *, is_tall: bool = False) -> View:
    """Choose the first view: from behind and above the filming camera, aside; people, camera and what is behind them.

    Nothing is known behind the camera, so no wall occludes the people. ``is_tall`` is for windows taller than wide.
    """
    turns, lifts, aspect = (_TALL_TURNS, _TALL_LIFTS, _TALL_ASPECT) if is_tall else (_TURNS, _LIFTS, _ASPECT)
    near = content.scene_near(1, 0.1)
    shown = _outermost(np.concatenate([content.subject, content.cameras, near[:: max(1, len(near) // _MAX_POINTS)]]))
    options = [_behind(content, shown, (turn, lift), aspect) for lift in lifts for turn in turns]
    return max(options, key=lambda view: min(_clearance(content, view), _CLEAR))


def _behind(content: Content, shown: np.ndarray, turn_lift: tuple[float, float], max_aspect: float) -> View:
    """Return a view of ``n 3`` from behind the filming camera, turned aside about the people and lifted over it."""
    turn, lift = turn_lift
    forward, sideways = content.forward, np.cross(content.forward, (0.0, 1.0, 0.0))
    towards = np.cos(lift) * (np.cos(turn) * forward + np.sin(turn) * sideways) - np.sin(lift) * np.array([0, 1, 0])
    right = np.cross(towards, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    people = content.subject.mean(axis=0)
    up, center, distance = np.array([0.0, 1.0, 0.0]), people, _MIN_DISTANCE_M
    # What is nearer looks larger: the middle of the picture is found step by step.
    for _ in range(_CENTERING_STEPS):
        distance = _distance(shown - center, towards, up, FIELD_OF_VIEW_RAD, max_aspect)
        offsets = shown - center + distance * towards
        for axis in (right, np.cross(right, towards)):
            slope = offsets @ axis / (offsets @ towards)
            center = center + axis * distance * (slope.min() + slope.max()) / 2
    position = center - distance * towards
    aspect = _aspect(shown - position, towards, up, FIELD_OF_VIEW_RAD, max_aspect)
    look_at = center + towards * ((people - center) @ towards)  # visitors turn about it
    return View(_listed(position), _listed(look_at), (0.0, 1.0, 0.0), FIELD_OF_VIEW_RAD, aspect)


def _clearance(content: Content, view: View) -> float:
    """Return the angle between people and the drawn camera, radians; negative where it hides them."""
    if len(content.people) == 0:
        return _CLEAR
    position = np.array(view.position)
    to_people, to_camera = content.people - position, content.cameras[0] - position
    distance = np.linalg.norm(to_camera)
    cosine = to_people @ to_camera / np.maximum(np.linalg.norm(to_people, axis=1) * distance, 1e-9)
    return float(np.arccos(np.clip(cosine, -1, 1)).min() - _CAMERA_RADIUS_M / max(distance, 1e-9))


def top_view(content: Content, *, is_near: bool = False) -> View:
    """Look straight down on people, camera and scene, with the filming camera's forward direction up in the picture.

    People are specks in a landscape, where the player marks them; with ``is_near`` its near part is shown.
    """
    scene = content.scene_near(_NEAR_REACH, 0.02) if is_near else _without_outliers(content.scene, 0.005)
    shown = np.concatenate([content.subject, content.cameras, scene])
    center = (shown.min(axis=0) + shown.max(axis=0)) / 2
    down, forward = np.array([0.0, -1.0, 0.0]), content.forward
    height = max(_distance(shown - center, down, forward, _TOP_FIELD_OF_VIEW_RAD, _ASPECT), _MIN_HEIGHT_M)
    # Slightly off the vertical, where the client's orbit control is singular.
    position = center - height * down - 0.01 * height * forward
    aspect = _aspect(shown - center + height * down, down, forward, _TOP_FIELD_OF_VIEW_RAD, _ASPECT)
    return View(_listed(position), _listed(center), _listed(forward), _TOP_FIELD_OF_VIEW_RAD, aspect)


def _distance(offsets: np.ndarray, towards: np.ndarray, up: np.ndarray, fov: float, aspect: float) -> float:
    """Return how far from a center a viewer sees all points at ``offsets`` from it, ``n 3``."""
    across = (_across(offsets, towards, up) / (aspect, 1)).max(axis=1)
    # A point is in the picture if it is at most this far from the axis, per meter of its own distance.
    return max(float(np.max(_ROOM * across / np.tan(fov / 2) - offsets @ towards)), _MIN_DISTANCE_M)


def _aspect(offsets: np.ndarray, towards: np.ndarray, up: np.ndarray, fov: float, max_aspect: float) -> float:
    """Return the width over height of a picture in which all points at ``offsets`` from the viewer are."""
    sideways = _across(offsets, towards, up)[:, 0] / np.maximum(offsets @ towards, 1e-6)
    return round(float(np.clip(_ROOM * sideways.max() / np.tan(fov / 2), 0.1, max_aspect)), 3)


def _across(offsets: np.ndarray, towards: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return how far ``n 3`` offsets are from the viewer's axis: ``n 2``, sideways and up or down."""
    right = np.cross(towards, up)
    right /= np.linalg.norm(right)
    return np.abs(np.stack([offsets @ right, offsets @ np.cross(right, towards)], axis=1))


def _outermost(points: np.ndarray) -> np.ndarray:
    """Return those of ``n 3`` points at which any view of them can end; all, where they span no volume."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[np.sort(ConvexHull(points).vertices)]
    except QhullError:
        return points


def _without_outliers(points: np.ndarray, share: float = 0.02) -> np.ndarray:
    if len(points) == 0:
        return points
    low, high = np.quantile(points, share, axis=0), np.quantile(points, 1 - share, axis=0)
    return np.clip(points, low, high)


def _listed(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 4) for value in vector)
    return x, y, z
