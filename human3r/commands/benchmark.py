"""``benchmark``: speed and memory."""

from __future__ import annotations

import argparse
import json

from human3r.errors import InputError


def benchmark(options: argparse.Namespace) -> int:
    """Run the command."""
    from human3r.benchmarking.benchmark import BenchmarkOptions, run_benchmark

    if options.table:
        from human3r.benchmarking.table import read_reports, speed_tables

        print(speed_tables(read_reports(options.table)), end="")
        return 0
    if options.flops:
        return _print_flops()
    if options.against:
        return _compare(options)
    width, height = parse_size(options.size)
    report = run_benchmark(
        BenchmarkOptions(
            model=options.model,
            num_frames=options.frames,
            warmup_frames=options.warmup,
            frame_size=(height, width),
            num_people=options.people,
            device=options.device,
            precision=options.precision,
            clip=options.clip,
        )
    )
    print(json.dumps(report.to_dict()) if options.json else report.to_text())
    return 0


def _print_flops() -> int:
    import torch

    from human3r.benchmarking.benchmark import device_name
    from human3r.benchmarking.flops import flop_page
    from human3r.benchmarking.measuring import measured_peak

    cpu = torch.device("cpu")
    peaks = {"fp32": measured_peak(cpu, "fp32"), "bf16": measured_peak(cpu, "bf16")}
    print(flop_page(f"{device_name(cpu)}, {torch.get_num_threads()} threads", peaks), end="")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from human3r.benchmarking.comparison import compare
    from human3r.bodies import load_body
    from human3r.inference.loading.precision import choose_policy
    from human3r.inference.loading.profile import profile_of
    from human3r.models.config import PRESETS

    config = PRESETS.get(options.model)
    if config is None:
        raise InputError(f"{options.model!r} is not a network of the paper.", f"Choose {', '.join(PRESETS)}.")
    precision = choose_policy("cpu", options.precision, profile_of(config)).precision
    report = compare(config, precision, options.against, load_body(None), num_frames=options.frames)
    print(json.dumps(report.to_dict()) if options.json else report.to_text())
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """Read ``WxH`` into (width, height).

    Raises:
        InputError: Another form, or not positive.
    """
    width, separator, height = text.lower().partition("x")
    if not separator or not width.isdigit() or not height.isdigit() or not 0 < int(width) * int(height) <= 8_300_000:
        raise InputError(f"The size {text!r} is not of the form 640x360.")
    return int(width), int(height)
