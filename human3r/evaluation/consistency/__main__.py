"""``python -m human3r.evaluation.consistency PATH...``: fit of results to their images, and consistency over time."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from human3r.errors import run_main
from human3r.evaluation.consistency.run import find_inputs, report_on, table_of, without_parts
from human3r.inference.loading.model import load_model
from human3r.inference.loading.profile import COMPACT_PROFILE
from human3r.refinement.world.fit import WITNESSES


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m human3r.evaluation.consistency", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="clips, reconstruction.npz files, or folders of them")
    parser.add_argument("--max-frames", type=int, default=None, help="maximum number of frames per clip")
    parser.add_argument("--no-refine", action="store_true", help="skip fitting the bodies to the keypoints")
    parser.add_argument("--no-smoothing", action="store_true", help="skip the causal filter")
    parser.add_argument("--no-offline-smoothing", action="store_true", help="skip offline smoothing")
    parser.add_argument(
        "--without",
        nargs="*",
        default=[],
        choices=WITNESSES,
        help="evidence to ignore in the estimate of scale, floor and sizes",
    )
    parser.add_argument("--no-one-world", action="store_true", help="skip that estimate")
    parser.add_argument("--no-foot-lock", action="store_true", help="skip foot locking")
    parser.add_argument("--json", action="store_true", help="one JSON object per clip instead of a table")
    options = parser.parse_args(arguments)
    paths = find_inputs(options.paths)
    model = None
    if any(path.suffix.lower() != ".npz" for path in paths):
        model = load_model("compact", device="cpu")
        model = without_parts(model, refine=not options.no_refine, smoothing=not options.no_smoothing)
    shipped = COMPACT_PROFILE.finishing if model is None else model.profile.finishing
    finishing = replace(
        shipped,
        offline_smoothing=None if options.no_offline_smoothing else shipped.offline_smoothing,
        keypoint_body=None if options.no_refine else shipped.keypoint_body,
        one_world=() if options.no_one_world else tuple(one for one in WITNESSES if one not in options.without),
        lock_feet=not options.no_foot_lock,
    )
    reports = []
    for path in paths:
        reports.append(report_on(path, model, options.max_frames, finishing))
        if options.json:
            clip, figures = reports[-1]
            sys.stdout.write(json.dumps({"clip": clip} | figures) + "\n")
    if not options.json:
        sys.stdout.write(table_of("clip", reports) + "\n")
    return 0


if __name__ == "__main__":
    run_main(main)
