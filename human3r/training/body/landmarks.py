"""The 68 face landmarks (iBUG order) in SMPL-X's layout: 51 fixed ones, and 17 of the contour that slide with yaw.

All positions follow from the face's own geometry: lid and lip rims, the nose's profile, and silhouettes.
"Right" is the person's right, x < 0; iBUG counts from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from human3r.training.body.skeleton import INDEX

YAW_STEPS_DEG = (*range(0, -40, -1), *range(1, 40))
"""Head yaw of each row of the contour table. Source: smplx.lbs.find_dynamic_lmk_idx_and_bcoords."""
NUM_CONTOUR = 17
_CONTOUR_BIN_DEG = 7.0
_BEFORE_EAR_M = 0.018
"""Minimum distance of the contour in front of the ear keypoint, which excludes the ear."""
_FACE_DEPTH_M = 0.08
"""Depth of the contour's center in front of the ears."""
_GAP_M = 1e-4
"""Rim points closer than this to a triangle's outline count as on it."""
_UPPER_LIP_M, _LOWER_LIP_M, _LIP_CORNER_M = 0.007, 0.009, 0.004
"""Height of the lips' red above and below the rim of the mouth, and width beyond its corners, on the mean face."""


@dataclass(frozen=True)
class Face:
    """The surface on which landmarks are located; mean body, meters."""

    vertices: np.ndarray
    """``N 3``"""
    faces: np.ndarray
    """``F 3`` faces of the skin, without cavities and eyeballs."""
    face_rows: np.ndarray
    """``F`` their rows in the shipped face list."""
    weights: np.ndarray
    """``N 55``"""


def rims(
    vertices: np.ndarray, faces: np.ndarray, is_interior: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Points ``n 3`` on the rims of the two lid openings and of the mouth: skin that touches a cavity."""
    touching = np.zeros(len(vertices), dtype=bool)
    mixed = faces[is_interior[faces].any(axis=1)]
    touching[mixed] = True
    touching &= ~is_interior
    on_eyeball = weights[:, INDEX["left_eye"]] + weights[:, INDEX["right_eye"]] > 0.5
    points = vertices[touching & ~on_eyeball]
    eye_height = vertices[on_eyeball, 1].mean()
    is_eye = np.abs(points[:, 1] - eye_height) < 0.025
    return {
        "right_eye": points[is_eye & (points[:, 0] < 0)],
        "left_eye": points[is_eye & (points[:, 0] > 0)],
        "mouth": points[~is_eye],
    }


def static_landmarks(face: Face, rim: dict[str, np.ndarray], nose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the shipped face list ``51`` and barycentric coordinates ``51 3`` of iBUG landmarks 17 to 67."""
    points = np.concatenate([_brows(rim), _nose(face, rim, nose), *_eyes(rim), _mouth(rim["mouth"])])
    located = [_from_the_front(face, point) for point in points]
    return np.array([row for row, _ in located]), np.stack([weights for _, weights in located])


def contour_landmarks(face: Face, rim: dict[str, np.ndarray], ear_z: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``79 17`` and barycentric coordinates ``79 17 3`` of iBUG landmarks 0 to 16 for each head yaw."""
    head = face.weights[:, INDEX["head"]] + face.weights[:, INDEX["jaw"]]
    is_used = np.zeros(len(face.vertices), dtype=bool)
    is_used[face.faces] = True
    candidates = np.flatnonzero(is_used & (head > 0.85) & (face.vertices[:, 2] > ear_z + _BEFORE_EAR_M))
    eye_height = np.concatenate([rim["left_eye"], rim["right_eye"]])[:, 1].mean()
    points = face.vertices[candidates] - np.array([0.0, eye_height, ear_z])
    wanted = np.radians(180.0 + 180.0 * np.arange(NUM_CONTOUR) / (NUM_CONTOUR - 1))
    corner_of = {
        int(vertex): (row, corner) for row, face_ in enumerate(face.faces) for corner, vertex in enumerate(face_)
    }
    rows = np.zeros((len(YAW_STEPS_DEG), NUM_CONTOUR), dtype=np.int64)
    weights = np.zeros((len(YAW_STEPS_DEG), NUM_CONTOUR, 3))
    for step, yaw_deg in enumerate(YAW_STEPS_DEG):
        yaw = np.radians(yaw_deg)
        across = points[:, 0] * np.cos(yaw) + points[:, 2] * np.sin(yaw)
        across = across - _FACE_DEPTH_M * np.sin(yaw)
        radius = np.hypot(across, points[:, 1])
        angle = np.arctan2(points[:, 1], across)
        for index, target in enumerate(wanted):
            off = np.abs(np.angle(np.exp(1j * (angle - target))))
            score = np.where(off < np.radians(_CONTOUR_BIN_DEG), radius - 0.05 * off, -np.inf)
            row, corner = corner_of[int(candidates[score.argmax()])]
            rows[step, index] = face.face_rows[row]
            weights[step, index, corner] = 1.0
    return rows, weights


def _brows(rim: dict[str, np.ndarray]) -> np.ndarray:
    """Five points per brow along the ridge above the lids, outer to inner on the right, inner to outer on the left."""
    right = []
    opening = rim["right_eye"]
    inner, outer, top = opening[:, 0].max(), opening[:, 0].min(), opening[:, 1].max()
    width = inner - outer
    for along, height in ((0.0, 0.42), (0.25, 0.58), (0.5, 0.62), (0.75, 0.58), (1.0, 0.48)):
        x = outer - 0.28 * width + along * (1.28 * width + 0.10 * width)
        right.append([x, top + height * width, 0.0])
    right = np.array(right)
    return np.concatenate([right, right[::-1] * (-1, 1, 1)])


def _nose(face: Face, rim: dict[str, np.ndarray], tip: np.ndarray) -> np.ndarray:
    eye_height = np.concatenate([rim["left_eye"], rim["right_eye"]])[:, 1].mean()
    bridge = [[0.0, height, 0.0] for height in np.linspace(eye_height + 0.001, tip[1], 4)]
    lip = rim["mouth"][:, 1].max()
    base = tip[1] - 0.45 * (tip[1] - lip)
    half_width = 0.42 * (rim["left_eye"][:, 0].min() - rim["right_eye"][:, 0].max())
    wings = [[x * half_width, base + 0.003 * abs(x), 0.0] for x in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    return np.array([*bridge, *wings])


def _eyes(rim: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Six points on each lid rim: 36 to 41 from the right eye's outer corner, 42 to 47 from the left's inner corner."""
    lids = []
    for side in ("right_eye", "left_eye"):
        opening = rim[side]
        first, last = opening[opening[:, 0].argmin()], opening[opening[:, 0].argmax()]
        upper = [_on_rim(opening, first[0] + part * (last[0] - first[0]), upper=True) for part in (0.33, 0.67)]
        lower = [_on_rim(opening, first[0] + part * (last[0] - first[0]), upper=False) for part in (0.67, 0.33)]
        lids.append(np.array([first, *upper, last, *lower]))
    return lids[0], lids[1]


def _mouth(rim: np.ndarray) -> np.ndarray:
    """Landmarks 48 to 59 around the lips' red, then 60 to 67 along the rim of the mouth, both from the right corner."""
    half = 0.5 * (rim[:, 0].max() - rim[:, 0].min())
    right, left = rim[rim[:, 0].argmin()], rim[rim[:, 0].argmax()]

    def at(part: float, *, upper: bool) -> np.ndarray:
        return _on_rim(rim, part * half, upper=upper)

    outwards, up = np.array([_LIP_CORNER_M, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    raised = {-0.62: 0.75, -0.25: 1.15, 0.0: 1.0, 0.25: 1.15, 0.62: 0.75}
    upper = [at(part, upper=True) + _UPPER_LIP_M * amount * up for part, amount in raised.items()]
    lowered = {0.62: 0.75, 0.3: 1.0, 0.0: 1.05, -0.3: 1.0, -0.62: 0.75}
    lower = [at(part, upper=False) - _LOWER_LIP_M * amount * up for part, amount in lowered.items()]
    inner_upper = [at(part, upper=True) for part in (-0.4, 0.0, 0.4)]
    inner_lower = [at(part, upper=False) for part in (0.4, 0.0, -0.4)]
    return np.array([right - outwards, *upper, left + outwards, *lower, right, *inner_upper, left, *inner_lower])


def _on_rim(rim: np.ndarray, x: float, *, upper: bool) -> np.ndarray:
    """The rim's highest or lowest point near an x, interpolated between its own vertices."""
    middle = np.median(rim[:, 1])
    corners = rim[[rim[:, 0].argmin(), rim[:, 0].argmax()]]
    half = rim[rim[:, 1] >= middle] if upper else rim[rim[:, 1] <= middle]
    half = np.unique(np.concatenate([half, corners]), axis=0)
    half = half[np.argsort(half[:, 0], kind="stable")]
    return np.array([x, np.interp(x, half[:, 0], half[:, 1]), np.interp(x, half[:, 0], half[:, 2])])


def _from_the_front(face: Face, point: np.ndarray) -> tuple[int, np.ndarray]:
    """The foremost skin triangle at the point's x and y: its shipped row and barycentric coordinates.

    Decimation opens gaps of a fraction of a millimeter along rims, where the nearest triangle counts.
    """
    a, b, c = (face.vertices[face.faces[:, corner]] for corner in range(3))
    area = _cross(b - a, c - a)
    parts = [_cross(b - point, c - point), _cross(c - point, a - point), _cross(a - point, b - point)]
    weights = np.clip(np.stack(parts, axis=1) / np.where(np.abs(area) < 1e-12, 1.0, area)[:, None], 0.0, 1.0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    located = weights[:, :1] * a + weights[:, 1:2] * b + weights[:, 2:] * c
    distance = np.where(area > 1e-12, np.hypot(*(located - point)[:, :2].T), np.inf)
    near = np.flatnonzero(distance < distance.min() + _GAP_M)
    best = int(near[located[near, 2].argmax()])
    return int(face.face_rows[best]), weights[best]


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
