"""Scores of people over a sequence: detection, pose in the camera, motion in the world.

Errors are of matched pairs only, so they are meaningful only with the recall. Source of the protocol:
Human3R (arXiv 2510.06219), with WHAM's (arXiv 2312.07531) world metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from human3r.evaluation import metrics
from human3r.evaluation.metrics.matching import MatchingCost, detection_scores, match_people
from human3r.evaluation.protocol import PATH_SERIES, PELVIS_JOINTS, PosedPeople, Protocol, ScoreGroup
from human3r.evaluation.reference import ROUNDED_MEANS, SPECTRAL_MATCHING
from human3r.geometry.alignment import fit_similarity
from human3r.geometry.camera import project
from human3r.geometry.rigid import transform_points

_MIN_DEPTH_M = 0.01
"""Smallest depth of projected joints; nearer ones and those behind the camera are moved to it."""
_ROUNDED_DECIMALS = 1


@dataclass(frozen=True)
class _Pair:
    frame: int
    identity: int
    errors: dict[str, float]
    joints_world: np.ndarray
    true_joints_world: np.ndarray
    feet_world: np.ndarray | None
    true_feet_world: np.ndarray | None


class PeopleScorer:
    """Collects frames in temporal order and scores them at the end.

    Args:
        is_reference: Reproduce the defects that the protocol names; the groups then end in ``_reference``.
    """

    def __init__(self, protocol: Protocol, *, is_reference: bool = False) -> None:
        self._protocol = protocol
        self._suffix = "_reference" if is_reference else ""
        defects = protocol.references if is_reference else ()
        self._cost: MatchingCost = "spectral" if SPECTRAL_MATCHING in defects else protocol.matching_cost
        self._is_rounded = ROUNDED_MEANS in defects
        self._pairs: list[_Pair] = []
        self._missed: list[int] = []
        self._num_frames = self._num_true = self._num_misses = self._num_false = 0

    def add(self, predicted: PosedPeople, truth: PosedPeople) -> None:
        """Match the people of the next frame; people who are not required do not count."""
        matches = match_people(predicted.joints_px, truth.joints_px, self._cost)
        required = np.ones(len(truth.identity), bool) if truth.is_required is None else truth.is_required
        self._num_true += int(required.sum())
        self._missed.append(int(required[matches.misses].sum()))
        self._num_misses += self._missed[-1]
        self._num_false += len(matches.false_positives)
        for row, true_row in matches.pairs:
            if required[true_row]:
                self._pairs.append(self._pair(predicted, truth, row, true_row))
        self._num_frames += 1

    def _pair(self, predicted: PosedPeople, truth: PosedPeople, row: int, true_row: int) -> _Pair:
        pelvis = PELVIS_JOINTS[self._protocol.joint_set]
        joints, true_joints = predicted.joints_camera[row], truth.joints_camera[true_row]
        errors = {
            "mpjpe_mm": metrics.mpjpe(joints, true_joints, pelvis),
            "pa_mpjpe_mm": metrics.pa_mpjpe(joints, true_joints),
            "root_error_mm": metrics.mrpe(joints, true_joints, pelvis),
        }
        feet = true_feet = None
        if predicted.vertices_camera is not None and truth.vertices_camera is not None:
            vertices, true_vertices = predicted.vertices_camera[row], truth.vertices_camera[true_row]
            errors["pve_mm"] = metrics.pve(vertices, true_vertices, joints, true_joints, pelvis)
            errors["pa_pve_mm"] = metrics.pa_mpjpe(vertices, true_vertices)
            errors["metric_mpjpe_mm"] = metrics.mpjpe(joints, true_joints, None)
            errors["metric_pve_mm"] = metrics.pve(vertices, true_vertices)
            indices = list(metrics.FOOT_VERTICES)
            feet = transform_points(predicted.T_world_camera, vertices[indices])
            true_feet = transform_points(truth.T_world_camera, true_vertices[indices])
        return _Pair(
            frame=self._num_frames,
            identity=int(truth.identity[true_row]),
            errors=errors,
            joints_world=transform_points(predicted.T_world_camera, joints),
            true_joints_world=transform_points(truth.T_world_camera, true_joints),
            feet_world=feet,
            true_feet_world=true_feet,
        )

    def groups(self) -> tuple[ScoreGroup, ...]:
        """Return ``detection`` (percent), ``observations`` (counts), and with matches ``people`` (mm).

        ``world`` follows if the protocol has world metrics.
        """
        weight = float(len(self._pairs))
        groups = [self._detection(), self._observations()]
        if self._pairs:
            values = {
                name: float(np.mean([pair.errors[name] for pair in self._pairs])) for name in self._pairs[0].errors
            }
            groups.append(self._group("people", weight, self._rounded(values), self._local_series()))
        if self._pairs and self._protocol.world_metrics:
            groups.append(self._group("world", weight, self._rounded(self._world()), self._world_series()))
        return tuple(groups)

    def _group(
        self, name: str, weight: float, values: dict[str, float], series: dict[str, tuple[float, ...]] | None = None
    ) -> ScoreGroup:
        return ScoreGroup(name + self._suffix, weight, values, {} if self._suffix else series or {})

    def _rounded(self, values: dict[str, float]) -> dict[str, float]:
        return {name: round(value, _ROUNDED_DECIMALS) if self._is_rounded else value for name, value in values.items()}

    def _detection(self) -> ScoreGroup:
        num_found = self._num_true - self._num_misses
        scores = detection_scores(self._num_true, self._num_misses, self._num_false)
        values = {
            "precision": scores.precision if num_found + self._num_false else math.nan,
            "recall": scores.recall if self._num_true else math.nan,
            "f1": scores.f1 if self._num_true + self._num_false else math.nan,
        }
        # The reference weights by matched people, which drops sequences without any match.
        weight = num_found if self._suffix else self._num_true + self._num_false
        missed: dict[str, tuple[float, ...]] = {}
        if any(self._missed):
            missed = {"frame": tuple(range(self._num_frames)), "missed": tuple(self._missed)}
        return self._group("detection", float(weight), values, missed)

    def _observations(self) -> ScoreGroup:
        counts = {"true": self._num_true, "missed": self._num_misses, "false": self._num_false}
        return self._group("observations", 1.0, {name: float(value) for name, value in counts.items()})

    def _of_identity(self) -> list[list[_Pair]]:
        """Return the pairs of each person, longest track first."""
        persons: dict[int, list[_Pair]] = {}
        for pair in self._pairs:
            persons.setdefault(pair.identity, []).append(pair)
        return sorted(persons.values(), key=len, reverse=True)

    def _world(self) -> dict[str, float]:
        """Average the world errors over people, weighted by matched frames."""
        sums = {name: [0.0, 0.0] for name in self._protocol.world_metrics}
        for own in self._of_identity():
            for name, total in sums.items():
                value = WORLD_METRICS[name](own)
                if math.isfinite(value):
                    total[0] += len(own) * value
                    total[1] += len(own)
        return {name: total / weight if weight else math.nan for name, (total, weight) in sums.items()}

    def _local_series(self) -> dict[str, tuple[float, ...]]:
        """Return the image row and mean joint error of each frame with a match."""
        errors: dict[int, list[float]] = {}
        for pair in self._pairs:
            errors.setdefault(pair.frame, []).append(pair.errors["mpjpe_mm"])
        return {"frame": tuple(errors), "mpjpe_mm": tuple(round(float(np.mean(own)), 3) for own in errors.values())}

    def _world_series(self) -> dict[str, tuple[float, ...]]:
        """Return the rigidly aligned path of the longest track in the plane of its two widest axes."""
        own = self._of_identity()[0]
        roots, true_roots = _roots(own)
        aligned = fit_similarity(roots, true_roots, with_scale=False).apply(roots)
        u, v = sorted(np.argsort(np.ptp(true_roots, axis=0))[1:])
        columns = (true_roots[:, u], true_roots[:, v], aligned[:, u], aligned[:, v])
        series = {name: tuple(np.round(column, 4).tolist()) for name, column in zip(PATH_SERIES, columns, strict=True)}
        error = np.linalg.norm(aligned - true_roots, axis=-1)
        return {"frame": tuple(pair.frame for pair in own), "error_m": tuple(np.round(error, 4).tolist())} | series


def _joints(own: list[_Pair]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([pair.joints_world for pair in own]), np.stack([pair.true_joints_world for pair in own])


def _roots(own: list[_Pair]) -> tuple[np.ndarray, np.ndarray]:
    joints, true_joints = _joints(own)
    return joints[:, 0], true_joints[:, 0]


def _foot_sliding(own: list[_Pair]) -> float:
    feet = [pair.feet_world for pair in own if pair.feet_world is not None]
    true_feet = [pair.true_feet_world for pair in own if pair.true_feet_world is not None]
    if len(own) < 2 or len(feet) < len(own):
        return math.nan
    return metrics.foot_sliding(np.stack(feet), np.stack(true_feet))


WORLD_METRICS: dict[str, Callable[[list[_Pair]], float]] = {
    "w_mpjpe_mm": lambda own: metrics.w_mpjpe(*_joints(own)),
    "wa_mpjpe_mm": lambda own: metrics.wa_mpjpe(*_joints(own)),
    "unaligned_mpjpe_mm": lambda own: metrics.mpjpe(*_joints(own), pelvis_joints=None),
    "rte_percent": lambda own: metrics.rte(*_roots(own)),
    "scaled_rte_percent": lambda own: metrics.rte(*_roots(own), with_scale=True),
    "jitter_10m_s3": lambda own: metrics.jitter(_joints(own)[0]),
    "foot_sliding_mm": _foot_sliding,
}
"""Errors over one person's matched frames, concatenated without gaps."""


def project_people(points_camera: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Project ``... M 3`` points of the camera frame to ``... M 2`` pixels; points behind count as just in front."""
    points = np.array(points_camera, np.float64)
    points[..., 2] = np.maximum(points[..., 2], _MIN_DEPTH_M)
    return project(points, K)
