"""The benchmarks of public data sets by name."""

from __future__ import annotations

from human3r.evaluation.benchmarks.bedlam import bedlam_benchmark
from human3r.evaluation.benchmarks.bonn import BONN
from human3r.evaluation.benchmarks.emdb import emdb_1_benchmark, emdb_2_benchmark
from human3r.evaluation.benchmarks.kitti import KITTI
from human3r.evaluation.benchmarks.rich import rich_benchmark
from human3r.evaluation.benchmarks.scannet import SCANNET
from human3r.evaluation.benchmarks.sintel import SINTEL_DEPTH, SINTEL_POSE
from human3r.evaluation.benchmarks.threedpw import threedpw_benchmark
from human3r.evaluation.benchmarks.tum import TUM_DEPTH, TUM_POSE
from human3r.evaluation.bodies.body_kit import BodyKit
from human3r.evaluation.protocol import Benchmark

SCENE_BENCHMARKS: dict[str, Benchmark] = {
    benchmark.protocol.name: benchmark
    for benchmark in (SINTEL_DEPTH, BONN, KITTI, TUM_DEPTH, SINTEL_POSE, TUM_POSE, SCANNET)
}
"""Benchmarks whose data need no licensed body model."""


def people_benchmarks(kit: BodyKit) -> dict[str, Benchmark]:
    """Build the benchmarks whose truth are licensed bodies, by name."""
    builders = (threedpw_benchmark, emdb_1_benchmark, emdb_2_benchmark, rich_benchmark, bedlam_benchmark)
    benchmarks = [build(kit) for build in builders]
    return {benchmark.protocol.name: benchmark for benchmark in benchmarks}
