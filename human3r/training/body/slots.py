"""SMPL-X's special vertex slots: find the matching vertices of our mesh and renumber it accordingly.

``smplx.SMPLX`` and other code hard-code these ids.
"""

from __future__ import annotations

import numpy as np
from smplx.vertex_ids import vertex_ids

from human3r.skeleton import FINGERS
from human3r.training.body.skeleton import INDEX, SIDES
from human3r.training.body.source import AnnySource

SLOTS: dict[str, int] = vertex_ids["smplx"]


def find_slot_vertices(source: AnnySource, vertices: np.ndarray, weights: np.ndarray) -> dict[str, int]:
    """Pick one vertex of our surface for each of SMPL-X's named slots.

    Args:
        source: Anny's topology and its own COCO keypoints.
        vertices: ``N 3`` mean body in the rest pose.
        weights: ``N 55`` joint weights.
    """
    keypoints = dict(zip(source.coco_names.tolist(), source.coco_regressor @ vertices, strict=True))
    outside = np.flatnonzero(~source.is_interior)
    found: dict[str, int] = {}

    def nearest(point: np.ndarray, rows: np.ndarray) -> int:
        return int(rows[((vertices[rows] - point) ** 2).sum(axis=1).argmin()])

    found["nose"] = _furthest(vertices, outside[weights[outside, INDEX["head"]] > 0.5], (0, 0, 1))
    for side, (_, sign) in SIDES.items():
        short, capital = side[0], side[0].upper()
        eyeball = np.flatnonzero(weights[:, INDEX[f"{side}_eye"]] > 0.99)
        found[f"{short}eye"] = _furthest(vertices, eyeball, (0, 0, 1))
        found[f"{short}ear"] = nearest(keypoints[f"{side}_ear"], outside)
        for finger in FINGERS:
            tip = np.flatnonzero(weights[:, INDEX[f"{side}_{finger}3"]] > 0.5)
            direction = (sign, -0.8, 1.2) if finger == "thumb" else (sign, 0, 0)
            found[f"{short}{finger}"] = _furthest(vertices, tip, direction)
        found[f"{capital}BigToe"] = nearest(keypoints[f"{side}_big_toe"], outside)
        found[f"{capital}SmallToe"] = nearest(keypoints[f"{side}_small_toe"], outside)
        found[f"{capital}Heel"] = nearest(keypoints[f"{side}_heel"], outside)
    if len(set(found.values())) != len(SLOTS):
        raise ValueError("two of the named slots fell on one vertex")
    return found


def slot_order(num_vertices: int, slot_rows: dict[str, int]) -> np.ndarray:
    """Order of the old rows that puts every named vertex into SMPL-X's slot and keeps the others in sequence.

    Args:
        num_vertices: 10475.
        slot_rows: Slot name -> old row.
    """
    order = np.full(num_vertices, -1)
    for name, row in slot_rows.items():
        order[SLOTS[name]] = row
    rest = np.setdiff1d(np.arange(num_vertices), list(slot_rows.values()))
    order[order < 0] = rest
    return order


def _furthest(vertices: np.ndarray, rows: np.ndarray, direction: tuple[float, float, float]) -> int:
    return int(rows[(vertices[rows] @ np.array(direction)).argmax()])
