"""People whom the detector misses for a moment: their poses between those before and after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from human3r.geometry.rigid import transform_points
from human3r.refinement.local_lines import nearest_rotations
from human3r.results.person_table import PersonTable

_MAX_GAP_S = 0.81
"""Between two observations: seven frames in ten a second may be missing."""
_MAX_ASIDE_M, _MAX_LOG_DISTANCE = 1.0, 0.5
"""Of the head, across the view and along it: a longer way is an error of the tracker. Distances of people who are far
away or half hidden are uncertain."""
_BLENDED = (
    "left_hand_pose",
    "right_hand_pose",
    "jaw_pose",
    "leye_pose",
    "reye_pose",
    "betas",
    "expression",
    "unfiltered_betas",
)
"""Columns that are blended as they are."""


def with_short_gaps_filled(people: PersonTable, time_s: np.ndarray, T_world_camera: np.ndarray) -> PersonTable:
    """Add the frames that an identity lacks between two observations shortly after each other, with scores of 0.

    Only the columns that ``smooth_tracks`` reads are blended; it writes the others.

    Args:
        people: N rows.
        time_s: ``T`` of the processed frames, seconds.
        T_world_camera: ``T 4 4``.
    """
    before, after, frame = _missing(people, time_s)
    if len(frame) == 0:
        return people
    first, last = people.select(before), people.select(after)
    start_s, end_s = time_s[first.person_frame], time_s[last.person_frame]
    share = ((time_s[frame] - start_s) / (end_s - start_s)).astype(np.float32)

    def blend(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return one + share.reshape(-1, *[1] * (one.ndim - 1)) * (other - one)

    poses = [T_world_camera[part.person_frame].astype(np.float64) for part in (first, last)]
    heads = [_moved(T, part.unfiltered_head) for T, part in zip(poses, (first, last), strict=True)]
    rotations = [_turned(T, part.unfiltered_rotations) for T, part in zip(poses, (first, last), strict=True)]
    T_camera_world = np.linalg.inv(T_world_camera[frame].astype(np.float64))
    keypoints = blend(first.keypoints, last.keypoints)
    keypoints[..., 2] = 0
    added = replace(
        first,
        person_frame=frame,
        person_score=np.zeros_like(first.person_score),
        unfiltered_head=_moved(T_camera_world, blend(*heads)).astype(np.float32),
        unfiltered_rotations=_turned(T_camera_world, nearest_rotations(blend(*rotations))).astype(np.float32),
        **{name: blend(getattr(first, name), getattr(last, name)) for name in _BLENDED},
        keypoints=keypoints,
    ).select(_is_near(heads[0], heads[1], poses[0][:, :3, 3]))
    joined = PersonTable.concatenate([people, added])
    return joined.select(np.argsort(joined.person_frame, kind="stable"))


def distances_between(
    before: np.ndarray, after: np.ndarray, eye: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare points ``n 3`` of two times as seen from ``n 3``.

    Returns:
        ``n`` meters across the view, ``n`` distances before, and ``n`` growth of the distance, at least .001.
    """
    first, last = before - eye, after - eye
    distance = np.maximum(np.linalg.norm(first, axis=-1), 1e-3)
    # Along the ray through the first point.
    growth = (last * first).sum(axis=-1) / distance**2
    aside = np.linalg.norm(last - growth[..., None] * first, axis=-1)
    return aside, distance, np.maximum(growth, 1e-3)


def _missing(people: PersonTable, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each missing frame, the rows before and after, and the frame."""
    order = np.lexsort((people.person_frame, people.person_track))
    track, frame = people.person_track[order], people.person_frame[order]
    step = np.diff(frame)
    is_gap = (np.diff(track) == 0) & (step > 1) & (np.diff(time_s[frame]) <= _MAX_GAP_S)
    gaps = np.flatnonzero(is_gap)
    index = np.repeat(gaps, step[gaps] - 1)
    missing = [
        np.arange(start + 1, end) for start, end in zip(frame[gaps].tolist(), frame[gaps + 1].tolist(), strict=True)
    ]
    return order[index], order[index + 1], np.concatenate([frame[:0], *missing])


def _is_near(before: np.ndarray, after: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Return ``n`` bool: points ``n 3`` before and after a gap may be one person, as seen from ``n 3``."""
    aside, _, growth = distances_between(before, after, eye)
    return (aside <= _MAX_ASIDE_M) & (np.abs(np.log(growth)) <= _MAX_LOG_DISTANCE)


def _moved(T_target_source: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return ``n 3`` points, each with its own transform."""
    return transform_points(T_target_source, points[:, None])[:, 0]


def _turned(T_target_source: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Return ``n 22 3 3`` local rotations whose root is relative to another frame."""
    turned = rotations.astype(np.float64)
    turned[:, 0] = T_target_source[:, :3, :3] @ turned[:, 0]
    return turned
