"""Remove false identities of a finished clip: seen too briefly, or below the floor."""

from __future__ import annotations

import numpy as np

from human3r.geometry.rigid import transform_points
from human3r.results.person_table import PersonTable
from human3r.skeleton import Joint

_MIN_TRACK_S = 0.09
"""False detections in real clips last a single frame; at 10 frames per second and fewer a second one confirms."""
_BRIEF_S = 2.0
"""A person seen for longer may really be on a lower level."""


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
