"""People over a sequence: who was found, how well they are posed in the camera, and how well they move in the world.

Errors are those of matched pairs only, so they mean nothing without the recall beside them. Joints are the 22 body
joints of SMPL-X. Source of the protocol: Human3R (arXiv 2510.06219), with WHAM's (arXiv 2312.07531) world metrics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from human3r.evaluation.matching import detection_scores, match_people
from human3r.evaluation.metrics import mpjpe, mrpe, pa_mpjpe, w_mpjpe, wa_mpjpe
from human3r.evaluation.protocol import Protocol, ScoreGroup
from human3r.records import FramePrediction

NUM_SCORED_JOINTS = 22
"""Pelvis and 21 body joints; hands and face are not scored."""
_MIN_DEPTH_M = 0.01
"""Joints nearer than this, or behind the camera, are projected as if they were here."""


@dataclass(frozen=True)
class TruePeople:
    """Everyone who is in one frame; the order is that of identities, the same in every frame."""

    joints_world: np.ndarray
    """``P 55 3`` metres, world of the first camera."""
    joints_px: np.ndarray
    """``P 55 2`` pixels; not a number behind the camera."""
    visible_fraction: np.ndarray
    """``P`` visible share of each person; 0 is not in the picture."""
    T_world_camera: np.ndarray
    """``4 4`` true camera."""


@dataclass(frozen=True)
class _Pair:
    person: int
    joints_camera: np.ndarray
    joints_world: np.ndarray
    true_camera: np.ndarray
    true_world: np.ndarray


class PeopleScorer:
    """Takes frames in temporal order and scores them in the end.

    Args:
        protocol: Says how people are matched and who must be found.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._pairs: list[_Pair] = []
        self._num_true = self._num_misses = self._num_false = 0

    def add(self, prediction: FramePrediction, truth: TruePeople) -> None:
        """Match the people of one frame.

        Someone who shows less than the protocol asks for may be found or not: neither is counted.
        """
        candidates = np.flatnonzero(
            (truth.visible_fraction > 0) & np.isfinite(truth.joints_px[:, :NUM_SCORED_JOINTS]).all(-1).any(-1)
        )
        is_required = truth.visible_fraction[candidates] >= max(self._protocol.min_visible_fraction, 1e-9)
        world = prediction.joints_world[:, :NUM_SCORED_JOINTS].double().numpy()
        camera = _in_camera(world, prediction.camera.T_world_camera.double().numpy())
        true_px = _without_gaps(truth.joints_px[candidates, :NUM_SCORED_JOINTS])
        predicted_px = _project(camera, prediction.camera.K.double().numpy())
        matches = match_people(predicted_px, true_px, self._protocol.matching_cost)
        self._num_true += int(is_required.sum())
        self._num_misses += int(is_required[matches.misses].sum())
        self._num_false += len(matches.false_positives)
        true_world = truth.joints_world[candidates, :NUM_SCORED_JOINTS].astype(np.float64)
        true_camera = _in_camera(true_world, truth.T_world_camera)
        for row, true_row in matches.pairs:
            if is_required[true_row]:
                person = int(candidates[true_row])
                pair = _Pair(person, camera[row], world[row], true_camera[true_row], true_world[true_row])
                self._pairs.append(pair)

    def groups(self) -> tuple[ScoreGroup, ...]:
        """Return ``detection`` (per cent and counts), and where anyone was matched ``people`` and ``world`` (mm)."""
        scores = detection_scores(self._num_true, self._num_misses, self._num_false)
        num_found = self._num_true - self._num_misses
        detection = {
            "precision": scores.precision if num_found + self._num_false else math.nan,
            "recall": scores.recall if self._num_true else math.nan,
            "f1": scores.f1 if self._num_true + self._num_false else math.nan,
        }
        groups = [ScoreGroup("detection", float(self._num_true + self._num_false), detection)]
        counts = {"true": self._num_true, "missed": self._num_misses, "false": self._num_false}
        groups.append(ScoreGroup("observations", 1.0, {name: float(value) for name, value in counts.items()}))
        if not self._pairs:
            return tuple(groups)
        joints, truth = (np.stack(values) for values in zip(*_camera_pairs(self._pairs), strict=True))
        local = {
            "mpjpe_mm": mpjpe(joints, truth),
            "pa_mpjpe_mm": pa_mpjpe(joints, truth),
            "root_error_mm": mrpe(joints, truth),
        }
        weight = float(len(self._pairs))
        return (*groups, ScoreGroup("people", weight, local), ScoreGroup("world", weight, self._world()))

    def _world(self) -> dict[str, float]:
        """Average the world errors of the persons, each with the number of frames in which they were matched."""
        totals = {"w_mpjpe_mm": 0.0, "wa_mpjpe_mm": 0.0, "unaligned_mpjpe_mm": 0.0}
        for person in {pair.person for pair in self._pairs}:
            own = [pair for pair in self._pairs if pair.person == person]
            joints, truth = np.stack([pair.joints_world for pair in own]), np.stack([pair.true_world for pair in own])
            totals["w_mpjpe_mm"] += len(own) * w_mpjpe(joints, truth)
            totals["wa_mpjpe_mm"] += len(own) * wa_mpjpe(joints, truth)
            totals["unaligned_mpjpe_mm"] += len(own) * mpjpe(joints, truth, pelvis_joints=None)
        return {name: total / len(self._pairs) for name, total in totals.items()}


def _camera_pairs(pairs: list[_Pair]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(pair.joints_camera, pair.true_camera) for pair in pairs]


def _in_camera(points_world: np.ndarray, T_world_camera: np.ndarray) -> np.ndarray:
    """Take ``... 3`` points from world to camera."""
    return (points_world - T_world_camera[:3, 3]) @ T_world_camera[:3, :3]


def _project(points_camera: np.ndarray, K: np.ndarray) -> np.ndarray:
    depth = np.maximum(points_camera[..., 2:], _MIN_DEPTH_M)
    return points_camera[..., :2] / depth * K[[0, 1], [0, 1]] + K[:2, 2]


def _without_gaps(points_px: np.ndarray) -> np.ndarray:
    """Put joints without a projection at the mean of the person's others, so that boxes and costs stay finite."""
    is_known = np.isfinite(points_px).all(-1, keepdims=True)
    known = np.where(is_known, points_px, 0.0)
    mean = known.sum(1, keepdims=True) / np.maximum(is_known.sum(1, keepdims=True), 1)
    return np.where(is_known, points_px, mean)
