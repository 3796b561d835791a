"""Records of benchmark results, and their text form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds per frame of one kind of run, over several runs."""

    what: str
    """What the measured time includes."""
    runs: int
    frames: int
    """Timed frames of one run."""
    seconds_median: float
    """Over the frames of all runs, as is the percentile."""
    seconds_p95: float
    fps_median: float
    fps_p95: float
    """Frames per second at the 95th percentile of the time."""
    fps_total: float
    """Frames of a run over its total time, median over runs; end to end includes finishing and saving."""
    fps_total_runs: tuple[float, ...]
    """The same of every run."""
    cpu_seconds: float
    """Processor time of this process per frame, all threads, without the decoder process; nearly independent of the
    machine's other load."""


@dataclass(frozen=True)
class RunTimes:
    """Times of one run."""

    seconds: Sequence[float]
    """Seconds of every timed frame."""
    total: float
    """Seconds of the run."""
    cpu_total: float


def summarize(what: str, runs: Sequence[RunTimes]) -> Timing:
    """Return the figures of several runs of the same frames."""
    seconds = np.concatenate([run.seconds for run in runs])
    median, p95 = float(np.median(seconds)), float(np.percentile(seconds, 95))
    totals = tuple(len(run.seconds) / run.total for run in runs)
    cpu = sum(run.cpu_total for run in runs) / len(seconds)
    return Timing(
        what, len(runs), len(runs[0].seconds), median, p95, 1 / median, 1 / p95, float(np.median(totals)), totals, cpu
    )


@dataclass(frozen=True)
class BenchmarkReport:
    """Results with the conditions of their measurement."""

    model: str
    weights: str
    """``loaded``, or ``random`` for a network of the paper without weights."""
    device: str
    device_name: str
    threads: int
    precision: str
    matrix_precision: str
    """Precision of nearly all products: ``compact`` multiplies in bf16 if the processor does so natively."""
    torch_version: str
    source_size: tuple[int, int]
    """(height, width)"""
    network_size: tuple[int, int]
    warmup_frames: int
    """Uncounted frames at the start of every run."""
    people_mean: float
    """People per timed frame."""
    forward: Timing
    end_to_end: Timing
    parts: Mapping[str, float]
    """Processor seconds per frame by part, one frame after the other (on a GPU elapsed seconds of the network)."""
    flops_per_step: int
    """Operations of one frame, encode and step; a multiply-add is two."""
    peak_flops: float
    """Measured operations per second of a large matrix product in ``matrix_precision``, all threads."""
    share_of_peak: float
    """Rate of ``flops_per_step`` in the forward pass (on a CPU by processor time) over the peak."""
    host_waits: int
    """Operators per step for whose result the host waits."""
    peak_memory_mb: float
    """Largest resident size of the process, loading included; on a GPU the largest allocation on it."""
    bytes_kept_per_frame: float
    """Growth of the stored tables per frame, without the scene, which is bounded."""

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return a table for people."""
        lines = [
            f"{self.model} ({self.weights} weights), {self.precision} (matrices {self.matrix_precision}) on "
            f"{self.device_name}, {self.threads} threads, torch {self.torch_version}",
            f"source {self.source_size[1]}x{self.source_size[0]}, network {self.network_size[1]}x"
            f"{self.network_size[0]}, {self.people_mean:.1f} people per frame; {self.forward.runs} runs of "
            f"{self.forward.frames} frames, {self.warmup_frames} warm-up frames of each not counted",
        ]
        for name, timing in (("forward", self.forward), ("end to end", self.end_to_end)):
            runs = ", ".join(f"{value:.2f}" for value in timing.fps_total_runs)
            lines.append(
                f"{name:<11} {timing.seconds_median:8.3f} s/frame median, {timing.seconds_p95:8.3f} p95, "
                f"{timing.fps_median:7.2f} fps median, {timing.fps_total:7.2f} fps in all ({runs}), "
                f"{timing.cpu_seconds:.3f} CPU s/frame   ({timing.what})"
            )
        lines += ["parts, CPU ms/frame, one after the other:"]
        total = sum(self.parts.values())
        lines += [
            f"  {name:<20} {1000 * value:8.2f}  {100 * value / total:5.1f} %" for name, value in self.parts.items()
        ]
        lines += [
            f"  {'sum':<20} {1000 * total:8.2f}",
            f"{self.flops_per_step / 1e9:.1f} GFLOP per step, {100 * self.share_of_peak:.0f} % of a peak of "
            f"{self.peak_flops / 1e9:.0f} GFLOP/s, {self.host_waits} waits for the device per step",
            f"peak memory {self.peak_memory_mb:.0f} MB, {self.bytes_kept_per_frame:.0f} bytes kept per frame",
        ]
        return "\n".join(lines)
