"""``python -m human3r.evaluation.one_world RESULTS``: agreement of standing people with scene and floor.

Computed from ``reconstruction.npz`` alone, without ground truth. ``--before RESULT`` adds the displacement of people's
joints in the image relative to an earlier result.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from human3r.errors import run_main
from human3r.evaluation.consistency.run import Figures, figures_of, find_inputs, table_of
from human3r.geometry.rigid import transform_points
from human3r.refinement.world.standing import FEET, OVERHEAD_M, is_in_image, is_standing, lower_sole, surface_below
from human3r.results.reconstruction import Reconstruction
from human3r.skeleton import NUM_BODY_JOINTS

_ON_SCENE_M, _ON_FLOOR_M = 0.1, 0.05


@dataclass(frozen=True)
class OneWorld:
    """Figures of one result over its standing people; NaN where undefined."""

    standing: int
    """Observations of standing people."""
    on_scene_percent: float
    """Lower sole within 10 cm of the scene below it, of observations with scene points below."""
    on_scene_strict_percent: float
    """The same of all standing observations: without scene points below, the sole counts as off."""
    on_ground_percent: float
    """As ``on_scene_percent``, without ceilings and other points more than a meter above the sole."""
    gap_m: float
    """Median height of the lower sole above the scene."""
    has_floor_percent: float
    """Feet inside the image with scene points of nearly one height below; ceilings do not count."""
    on_floor_percent: float
    """Lower sole within 5 cm of the plane y = 0."""
    skating_mm: float
    """Displacement per frame of the slower foot, median."""
    locked_skating_mm: float
    """Displacement per frame of feet in contact (``foot_contact`` above 0.5) in both frames, 95th percentile."""
    acceleration: float
    """Mean over people, frames and joints, meters per second squared."""
    moved_px: float = float("nan")
    """Mean distance of the projected body joints from those of an earlier result."""


def measure(result: Reconstruction, before: Reconstruction | None = None) -> OneWorld:
    """Measure one result.

    Args:
        before: Another result of the same clip, for ``moved_px``.
    """
    T = result.T_gravity_world.astype(np.float64)
    joints = transform_points(T, result.joints_world[:, :NUM_BODY_JOINTS].astype(np.float64))
    points = transform_points(T, result.points_world.astype(np.float64))
    stands = is_standing(joints)
    soles, side = lower_sole(joints[stands])
    below, ground = surface_below(points, soles), surface_below(points, soles, OVERHEAD_M)
    gap, gap_to_ground = (soles[:, 1] - surface.height for surface in (below, ground))
    is_on_scene = np.abs(gap) < _ON_SCENE_M
    pixels = result.joints_image_px[stands][np.arange(len(soles)), np.array(FEET)[side]]
    height, width = result.image_size
    is_seen = is_in_image(pixels, (int(height), int(width)))
    return OneWorld(
        standing=int(stands.sum()),
        on_scene_percent=_percent(is_on_scene[np.isfinite(gap)]),
        on_scene_strict_percent=_percent(is_on_scene),
        on_ground_percent=_percent(np.abs(gap_to_ground[np.isfinite(gap_to_ground)]) < _ON_SCENE_M),
        gap_m=float(np.nanmedian(gap)) if np.isfinite(gap).any() else float("nan"),
        has_floor_percent=_percent(ground.is_floor[is_seen]),
        on_floor_percent=_percent(np.abs(soles[:, 1]) < _ON_FLOOR_M),
        **_motion(result, joints, stands),
        moved_px=float("nan") if before is None else moved_px(result, before),
    )


def _motion(result: Reconstruction, joints: np.ndarray, stands: np.ndarray) -> dict[str, float]:
    order = np.lexsort((result.person_frame, result.person_track))
    track, frame, joints, stands = result.person_track[order], result.person_frame[order], joints[order], stands[order]
    follows = (track[1:] == track[:-1]) & (frame[1:] == frame[:-1] + 1)
    steps = 1000 * np.linalg.norm(np.diff(joints[:, FEET], axis=0), axis=-1)
    both = follows & stands[1:] & stands[:-1]
    skating, locked = steps[both].min(axis=1), np.zeros(0)
    if result.foot_contact is not None:
        touches = result.foot_contact[order] > 0.5
        locked = steps[follows[:, None] & touches[1:] & touches[:-1]]
    middle = np.flatnonzero(follows[1:] & follows[:-1]) + 1
    step_s = np.maximum(result.time_s[frame[middle + 1]] - result.time_s[frame[middle - 1]], 1e-3) / 2
    second = np.linalg.norm(joints[middle + 1] - 2 * joints[middle] + joints[middle - 1], axis=-1)
    return {
        "skating_mm": float(np.median(skating)) if len(skating) else float("nan"),
        "locked_skating_mm": float(np.percentile(locked, 95)) if len(locked) else float("nan"),
        "acceleration": float((second / step_s[:, None] ** 2).mean()) if len(middle) else float("nan"),
    }


def moved_px(result: Reconstruction, before: Reconstruction) -> float:
    """Return the mean image distance of body joints between two results, over people and frames of both."""
    old_keys, new_keys = (
        list(zip(one.person_frame.tolist(), one.person_track.tolist(), strict=True)) for one in (before, result)
    )
    rows = {key: row for row, key in enumerate(old_keys)}
    pairs = [(row, rows[key]) for row, key in enumerate(new_keys) if key in rows]
    if not pairs:
        return float("nan")
    new, old = np.array(pairs).T
    moved = result.joints_image_px[new, :NUM_BODY_JOINTS] - before.joints_image_px[old, :NUM_BODY_JOINTS]
    return float(np.linalg.norm(moved, axis=-1).mean())


def _percent(values: np.ndarray) -> float:
    return 100 * float(np.mean(values)) if len(values) else float("nan")


def mean_of(rows: Sequence[Figures]) -> Figures:
    """Return the mean of every figure over the results that have it."""
    known = {name: [row[name] for row in rows if row[name] is not None] for name in (rows[0] if rows else ())}
    return {name: float(np.mean(values)) if values else None for name, values in known.items()}  # pyright: ignore


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m human3r.evaluation.one_world", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="reconstruction.npz files, or folders of them")
    parser.add_argument("--before", type=Path, default=None, help="earlier result of the same clip")
    parser.add_argument("--json", action="store_true", help="one JSON object per result instead of a table")
    options = parser.parse_args(arguments)
    before = None if options.before is None else Reconstruction.load(options.before)
    paths = [path for path in find_inputs(options.results) if path.suffix.lower() == ".npz"]
    rows = [(str(path), figures_of(measure(Reconstruction.load(path), before))) for path in paths]
    if options.json:
        for path, figures in rows:
            sys.stdout.write(json.dumps({"result": path} | figures) + "\n")
    else:
        mean = ("mean", mean_of([figures for _, figures in rows]))
        sys.stdout.write(table_of("result", [*rows, mean]) + "\n")
    return 0


if __name__ == "__main__":
    run_main(main)
