"""``python -m tests.gpu``: what a GPU does with every model, in one table, in under ten minutes and without a network.

Parity on the recorded miniature; then per model, with seeded weights where the released ones are not here: the forward
pass, the same as one CUDA graph, clip to result, the largest allocation, and waits for the device.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from human3r.benchmarking.benchmark import BenchmarkOptions, device_name, load_or_seed, run_benchmark
from human3r.benchmarking.table import markdown_table
from human3r.errors import Human3RError
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.models.config import PRESETS
from human3r.records import TensorRecord
from tests.parity.replay import run_parity

GOLDEN = Path(__file__).parent / "parity" / "golden"
TIME_LIMIT_S = 540.0
PEOPLE_CAPACITY = 8
"""Padding of the person axis in a graph, whose shapes are fixed."""
HEAD = (
    "model",
    "arithmetic",
    "input",
    "people",
    "forward, ms",
    "graph, ms",
    "clip to result, fps",
    "memory, MB",
    "waits",
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, mps or cpu (%(default)s)")
    parser.add_argument("--precision", default="auto", help="as of 'benchmark' (%(default)s)")
    parser.add_argument(
        "--models", default=",".join(("tiny", "compact", *PRESETS)), help="comma-separated (%(default)s)"
    )
    parser.add_argument("--frames", type=int, default=20, help="timed frames of a model (%(default)s)")
    parser.add_argument("--warmup", type=int, default=3, help="untimed frames before (%(default)s)")
    parser.add_argument("--size", default="640x360", help="of the source frames (%(default)s)")
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="recordings for the parity (%(default)s)")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    device = torch.device(options.device)
    print(f"{device_name(device)}, torch {torch.__version__}")
    rows = run_parity(options.golden, device=options.device)
    within = sum(row.is_ok for row in rows)
    print(f"parity: {within} of {len(rows)} groups within tolerance", flush=True)
    table = []
    for name in dict.fromkeys(options.models.split(",")):
        if time.monotonic() - started > TIME_LIMIT_S:
            print(f"{name}: left out, {TIME_LIMIT_S:.0f} s are over")
            continue
        try:
            table.append(row_of(name, options))
        except Human3RError as error:
            print(f"{name}: {error}")
    print("\n".join(markdown_table(HEAD, table)))
    return 0 if within == len(rows) and table else 1


def row_of(name: str, options: argparse.Namespace) -> list[str]:
    """Measure one model."""
    width, height = map(int, options.size.split("x"))
    wanted = BenchmarkOptions(
        model=name,
        num_frames=options.frames,
        warmup_frames=options.warmup,
        frame_size=(height, width),
        device=options.device,
        precision=options.precision,
        num_runs=1,
    )
    if options.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(torch.device(options.device))
    report = run_benchmark(wanted)
    graph = "-"
    if options.device.startswith("cuda"):
        graph = graph_milliseconds(load_or_seed(wanted)[0], report.network_size, options.frames)
        torch.cuda.empty_cache()
    return [
        name + ("" if report.weights == "loaded" else ", random"),
        report.precision,
        f"{report.network_size[1]}x{report.network_size[0]}",
        f"{report.people_mean:.0f}",
        f"{1000 * report.forward.seconds_median:.1f}",
        graph,
        f"{report.end_to_end.fps_total:.1f}",
        f"{report.peak_memory_mb:.0f}",
        str(report.host_waits),
    ]


def graph_milliseconds(model: LoadedModel, size: tuple[int, int], num_frames: int) -> str:
    """Return the time of a later frame, encoding included, captured once and replayed; or why it cannot be captured."""
    network, image = model.network, torch.zeros(1, 3, *size, device=model.device)
    with torch.inference_mode(), model.policy.autocast():
        _, state = network.step(network.encode(image), network.initial_state().to(model.device))
        side = torch.cuda.Stream(model.device)
        try:
            with torch.cuda.stream(side):
                # Of libraries that allocate on first use; not on the stream of the capture.
                network.step(network.encode(image), state, people_capacity=PEOPLE_CAPACITY)
            torch.cuda.synchronize(model.device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                _, after = network.step(network.encode(image), state, people_capacity=PEOPLE_CAPACITY)
                for target, source in zip(_tensors(state), _tensors(after), strict=True):
                    target.copy_(source)
        # What waits for the host has no error class of its own.
        except Exception as error:
            return f"none ({type(error).__name__})"
        torch.cuda.synchronize(model.device)
        started = time.perf_counter()
        for _ in range(num_frames):
            graph.replay()
        torch.cuda.synchronize(model.device)
    return f"{1000 * (time.perf_counter() - started) / num_frames:.1f}"


def _tensors(record: TensorRecord) -> list[Tensor]:
    found: list[Tensor] = []
    record.map(lambda tensor: found.append(tensor) or tensor)
    return found


if __name__ == "__main__":
    sys.exit(main())
