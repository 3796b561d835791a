"""Hand pose components in SMPL-X's layout: 45 orthonormal rows per hand and a mild resting curl.

The first six rows are hand-designed synergies, the others complete the basis. They serve tools that
use PCA hands; this package poses hands without PCA and with a flat mean.
"""

from __future__ import annotations

import numpy as np

from human3r.skeleton import FINGERS
from human3r.training.body.skeleton import SIDES

_CURL = (0.20, 0.30, 0.25)
"""Resting curl of the three knuckles, radians."""
_FINGER_WEIGHTS: dict[str, dict[str, float]] = {
    "all": dict.fromkeys(("index", "middle", "ring", "pinky"), 1.0),
    "thumb": {"thumb": 1.0},
    "point": {"index": 1.0, "middle": -0.33, "ring": -0.33, "pinky": -0.33},
    "halves": {"index": 0.5, "middle": 0.5, "ring": -0.5, "pinky": -0.5},
    "inner": {"index": 0.5, "middle": -0.5, "ring": -0.5, "pinky": 0.5},
}


def hand_components(side: str) -> tuple[np.ndarray, np.ndarray]:
    """Components ``45 45`` (rows) and mean ``45`` of one hand, axis-angle in SMPL-X's finger order."""
    sign = SIDES[side][1]
    curl = {finger: np.array([0.0, 0.0, -sign]) for finger in FINGERS}
    curl["thumb"] = np.array([0.55, -0.75 * sign, -0.35 * sign])
    rows = [_synergy(weights, curl) for weights in _FINGER_WEIGHTS.values()]
    spread = np.zeros((5, 3, 3))
    for finger, amount in {"index": -1.0, "ring": 0.5, "pinky": 1.0}.items():
        spread[FINGERS.index(finger), 0, 1] = sign * amount
    basis = np.concatenate([np.stack([*rows, spread.ravel()]).T, np.eye(45)], axis=1)
    columns: list[np.ndarray] = []
    for candidate in basis.T:
        for column in columns:
            candidate = candidate - (candidate @ column) * column
        length = np.linalg.norm(candidate)
        if length > 1e-6:
            columns.append(candidate / length)
    mean = np.stack(
        [np.array(_CURL)[:, None] * curl[finger] * (0.4 if finger == "thumb" else 1.0) for finger in FINGERS]
    )
    return np.stack(columns), mean.ravel()


def _synergy(weights: dict[str, float], curl: dict[str, np.ndarray]) -> np.ndarray:
    pose = np.zeros((5, 3, 3))
    for finger, amount in weights.items():
        pose[FINGERS.index(finger)] = amount * np.array([1.0, 1.0, 0.7])[:, None] * curl[finger]
    return pose.ravel()
