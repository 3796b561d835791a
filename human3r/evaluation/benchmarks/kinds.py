"""What benchmarks of one kind share: score, columns of the report, alignments, and selection of worst frames."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from human3r.evaluation.bodies.body_kit import BodyKit
from human3r.evaluation.bodies.smpl_people import score_smpl_people
from human3r.evaluation.protocol import Benchmark, FindRecordings, Protocol
from human3r.evaluation.reference import DEPTH_DEFECTS, PEOPLE_DEFECTS
from human3r.evaluation.scoring.camera_pose import score_camera_pose
from human3r.evaluation.scoring.video_depth import score_video_depth

LOCAL_HEADLINE = (
    *("people.pa_mpjpe_mm", "people.mpjpe_mm", "people.pve_mm"),
    *("detection.recall", "detection.precision"),
)
"""Errors are of found people only, so they are shown with the recall."""
WORLD_METRICS = (
    *("wa_mpjpe_mm", "w_mpjpe_mm", "rte_percent"),
    *("scaled_rte_percent", "jitter_10m_s3", "foot_sliding_mm"),
)
_WORLD_HEADLINE = (
    *("world.wa_mpjpe_mm", "world.w_mpjpe_mm", "world.rte_percent"),
    *("world.jitter_10m_s3", "world.foot_sliding_mm", "detection.recall"),
)
_DEPTH_HEADLINE = (
    *("metric.abs_rel", "metric.delta_1", "scale.abs_rel", "scale.delta_1"),
    *("scale_shift.abs_rel", "scale_shift.delta_1", "scale_shift_adam.abs_rel", "scale_shift_adam.delta_1"),
)
_CAMERA_HEADLINE = ("camera.ate_m", "camera.rpe_translation_m", "camera.rpe_rotation_deg")


def depth_benchmark(protocol: Protocol, layout: str, find: FindRecordings) -> Benchmark:
    """Build a benchmark of video depth, with every alignment but Adam's."""
    return Benchmark(
        protocol=replace(protocol, alignments=("metric", "scale", "scale_shift", "median")),
        layout=layout,
        find=find,
        score=score_video_depth,
        headline=_DEPTH_HEADLINE,
        references=DEPTH_DEFECTS,
        worst_by=("scale", "abs_rel"),
    )


def camera_benchmark(protocol: Protocol, layout: str, find: FindRecordings) -> Benchmark:
    """Build a benchmark of camera paths."""
    return Benchmark(
        protocol=protocol,
        layout=layout,
        find=find,
        score=score_camera_pose,
        headline=_CAMERA_HEADLINE,
        worst_by=("camera", "error_m"),
    )


def people_benchmark(kit: BodyKit, protocol: Protocol, layout: str, find: FindRecordings) -> Benchmark:
    """Build a benchmark of people as SMPL surfaces, in the world if the protocol has world metrics."""
    return Benchmark(
        protocol=protocol,
        layout=layout,
        find=find,
        score=partial(score_smpl_people, kit),
        headline=_WORLD_HEADLINE if protocol.world_metrics else LOCAL_HEADLINE,
        references=PEOPLE_DEFECTS,
        worst_by=("world", "error_m") if protocol.world_metrics else ("people", "mpjpe_mm"),
    )
