"""The benchmarks by name. ``synthetic`` is added by the command, which joins it with the reader of our own clips."""

from __future__ import annotations

from human3r.evaluation.benchmarks.bonn import BONN
from human3r.evaluation.benchmarks.kitti import KITTI
from human3r.evaluation.benchmarks.scannet import SCANNET
from human3r.evaluation.benchmarks.sintel import SINTEL_DEPTH, SINTEL_POSE
from human3r.evaluation.benchmarks.tum import TUM_DEPTH, TUM_POSE
from human3r.evaluation.protocol import Benchmark

PUBLIC_BENCHMARKS: dict[str, Benchmark] = {
    benchmark.protocol.name: benchmark
    for benchmark in (SINTEL_DEPTH, BONN, KITTI, TUM_DEPTH, SINTEL_POSE, TUM_POSE, SCANNET)
}
"""Benchmarks whose data need no licensed body model."""
