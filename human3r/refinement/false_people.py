"""Remove false identities of a finished clip: seen too briefly, below the floor, or inside of somebody else."""

from __future__ import annotations

import numpy as np

from human3r.geometry.rigid import transform_points
from human3r.results.person_table import PersonTable
from human3r.skeleton import TRUNK_JOINTS, Joint

_MIN_TRACK_S = 0.09
"""False detections in real clips last a single frame; at 10 frames per second and fewer a second one confirms."""
_BRIEF_S = 2.0
"""A person seen for longer may really be on a lower level."""
_SAME_PLACE_M, _SAME_LOG_DISTANCE = 0.15, 0.2
"""Trunks nearer than this across the view and, logarithmically, along it would be in the same place."""
_MOSTLY = 0.6
"""Share of the observations of a doublet that are."""


def without_short_tracks(people: PersonTable, time_s: np.ndarray, min_frames: int) -> PersonTable:
    """Drop identities with too few frames in too short a time.

    Args:
        people: N rows.
        time_s: ``T`` of the processed frames, seconds.
        min_frames: Identities with at least this many are kept.
    """
    _, inverse, counts = np.unique(people.person_track, return_inverse=True, return_counts=True)
    if len(counts) == 0 or counts.min() >= min_frames:
        return people
    return people.select(((counts >= min_frames) | (_spans(people, time_s) >= _MIN_TRACK_S))[inverse])


def without_doublets(people: PersonTable, time_s: np.ndarray, camera_position: np.ndarray) -> PersonTable:
    """Drop identities that are seen briefly, and then mostly inside of another person who is seen more often.

    The detector sometimes finds one person twice, with left and right exchanged or with other limbs.

    Args:
        people: N rows.
        time_s: ``T`` of the processed frames, seconds.
        camera_position: ``N 3`` of each row's camera, world, meters.
    """
    identities, inverse, counts = np.unique(people.person_track, return_inverse=True, return_counts=True)
    if len(identities) < 2:
        return people
    trunk = people.joints_world[:, TRUNK_JOINTS].mean(axis=1) - camera_position
    distance = np.maximum(np.linalg.norm(trunk, axis=1), 1e-3)
    bearing = trunk / distance[:, None]
    is_brief = _spans(people, time_s) <= _BRIEF_S
    is_inside = np.zeros(len(people))
    for row in np.flatnonzero(is_brief[inverse]):
        others = np.flatnonzero(
            (people.person_frame == people.person_frame[row]) & (counts[inverse] > counts[inverse[row]])
        )
        aside = np.linalg.norm(bearing[others] - bearing[row], axis=1) * distance[row]
        along = np.abs(np.log(distance[others] / distance[row]))
        is_inside[row] = ((aside < _SAME_PLACE_M) & (along < _SAME_LOG_DISTANCE)).any()
    share = np.bincount(inverse, is_inside) / counts
    return people.select(share[inverse] < _MOSTLY) if (share >= _MOSTLY).any() else people


def without_buried(people: PersonTable, time_s: np.ndarray, T_gravity_world: np.ndarray) -> PersonTable:
    """Drop identities that are seen briefly and whose heads are below the floor (y = 0 after ``T_gravity_world``).

    False detections on furniture last a few frames and, being of the wrong size, lie below the floor.
    """
    identities, inverse = np.unique(people.person_track, return_inverse=True)
    heights = transform_points(T_gravity_world.astype(np.float64), people.joints_world[:, Joint.HEAD])[:, 1]
    is_below = np.array([np.median(heights[inverse == row]) < 0 for row in range(len(identities))], dtype=bool)
    dropped = is_below & (_spans(people, time_s) <= _BRIEF_S)
    return people.select(~dropped[inverse]) if dropped.any() else people


def _spans(people: PersonTable, time_s: np.ndarray) -> np.ndarray:
    """Return the time from the first to the last observation of every identity, in ascending order of identities."""
    identities, inverse = np.unique(people.person_track, return_inverse=True)
    times = time_s[people.person_frame]
    first, last = np.full(len(identities), np.inf), np.full(len(identities), -np.inf)
    np.minimum.at(first, inverse, times)
    np.maximum.at(last, inverse, times)
    return last - first
