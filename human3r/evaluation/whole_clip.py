"""Scores of people after offline processing of the whole clip, computed as those of the stream.

Covers what needs later frames (identities, sizes, motion, floor), and adds identity switches and acceleration errors.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from human3r.bodies import SmplxBody
from human3r.evaluation.bodies.people import PeopleScorer
from human3r.evaluation.metrics.matching import match_people
from human3r.evaluation.protocol import PosedPeople, Protocol, ScoreGroup
from human3r.geometry.rigid import inverse_transform_points, transform_points
from human3r.records import FramePrediction
from human3r.refinement.finishing import FinishOptions, finish
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore
from human3r.skeleton import NUM_BODY_JOINTS

_PREFIX = "clip_"


class WholeClipScorer:
    """Collects the frames of a clip with their truth and scores the finished clip."""

    def __init__(self, protocol: Protocol, body: SmplxBody, finishing: FinishOptions) -> None:
        self._protocol, self._body, self._finishing = protocol, body, finishing
        self._store = ResultStore(with_views=finishing.agreeing_views)
        self._truth: list[PosedPeople] = []

    def add(self, prediction: FramePrediction, truth: PosedPeople) -> None:
        """Add the next frame."""
        self._store.add(prediction)
        self._truth.append(truth)

    def groups(self) -> tuple[ScoreGroup, ...]:
        """Return the groups of ``PeopleScorer`` with ``clip_`` before their names, and ``clip_motion``."""
        time_s = self._store.time_s
        fps = 1 / float(np.median(np.diff(time_s))) if len(time_s) > 1 else 30.0
        result = finish(self._store, fps, {}, self._finishing, self._body)
        self._store.close()
        scorer = PeopleScorer(self._protocol)
        for frame, truth in enumerate(self._truth):
            scorer.add(people_of_frame(result, frame), truth)
        groups = [replace(group, name=_PREFIX + group.name, series={}) for group in scorer.groups()]
        return (*groups, motion_group(result, self._truth))


def people_of_frame(result: Reconstruction, frame: int) -> PosedPeople:
    """Return the skeletons of one frame of a finished clip."""
    rows = np.flatnonzero(result.person_frame == frame)
    T_world_camera = result.T_world_camera[frame].astype(np.float64)
    return PosedPeople(
        joints_camera=inverse_transform_points(
            T_world_camera, result.joints_world[rows, :NUM_BODY_JOINTS].astype(np.float64)
        ),
        joints_px=result.joints_image_px[rows, :NUM_BODY_JOINTS].astype(np.float64),
        T_world_camera=T_world_camera,
        identity=result.person_track[rows],
    )


def motion_group(result: Reconstruction, truth: list[PosedPeople]) -> ScoreGroup:
    """Return identity switches (changes of the track that a person has) and accelerations in world, m/s².

    ``acceleration`` and ``true_acceleration`` are means over joints and all three consecutive frames in which one track
    matches one person; ``acceleration_error`` is the mean length of their difference.
    """
    switches, track_of = 0, {}
    paths: dict[tuple[int, int], dict[int, tuple[np.ndarray, np.ndarray]]] = {}
    for frame, people in enumerate(truth):
        predicted = people_of_frame(result, frame)
        for row, true_row in match_people(predicted.joints_px, people.joints_px).pairs:
            person, track = int(people.identity[true_row]), int(predicted.identity[row])
            switches += track_of.get(person, track) != track
            track_of[person] = track
            both = (_in_world(predicted, row), _in_world(people, true_row))
            paths.setdefault((person, track), {})[frame] = both
    own, true, error = [], [], []
    for path in paths.values():
        for frame in path:
            if frame - 1 in path and frame + 1 in path:
                before, after = (result.time_s[frame] - result.time_s[frame + step] for step in (-1, 1))
                found, wanted = (_second(path, frame, side, before, -after) for side in (0, 1))
                own.append(np.linalg.norm(found, axis=-1).mean())
                true.append(np.linalg.norm(wanted, axis=-1).mean())
                error.append(np.linalg.norm(found - wanted, axis=-1).mean())
    values = {"identity_switches": float(switches)}
    for name, numbers in (("acceleration", own), ("true_acceleration", true), ("acceleration_error", error)):
        values[name] = float(np.mean(numbers)) if numbers else math.nan
    return ScoreGroup(f"{_PREFIX}motion", 1.0, values)


def _in_world(people: PosedPeople, row: int) -> np.ndarray:
    return transform_points(people.T_world_camera, people.joints_camera[row])


def _second(
    path: dict[int, tuple[np.ndarray, np.ndarray]], frame: int, side: int, before_s: float, after_s: float
) -> np.ndarray:
    """Return the second derivative at ``frame`` for steps of unequal length."""
    later = (path[frame + 1][side] - path[frame][side]) / after_s
    earlier = (path[frame][side] - path[frame - 1][side]) / before_s
    return 2 * (later - earlier) / (before_s + after_s)
