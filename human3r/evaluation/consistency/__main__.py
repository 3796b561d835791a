"""``python -m human3r.evaluation.consistency PATH...``: how far results agree with the pictures and with themselves."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from human3r.errors import Human3RError
from human3r.evaluation.consistency.run import find_inputs, markdown_of, report_on, without_parts
from human3r.runtime.loading import load_model


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m human3r.evaluation.consistency", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="clips, reconstruction.npz files, or folders of them")
    parser.add_argument("--max-frames", type=int, default=None, help="use at most so many frames of every clip")
    parser.add_argument("--no-refine", action="store_true", help="leave out the fit of bodies to the keypoints")
    parser.add_argument("--no-smoothing", action="store_true", help="leave out the causal filter")
    parser.add_argument("--json", action="store_true", help="one JSON object per clip in place of a table")
    options = parser.parse_args(arguments)
    try:
        paths = find_inputs(options.paths)
        model = None
        if any(path.suffix.lower() != ".npz" for path in paths):
            model = load_model("compact", device="cpu")
            model = without_parts(model, refine=not options.no_refine, smoothing=not options.no_smoothing)
        reports = []
        for path in paths:
            reports.append(report_on(path, model, options.max_frames))
            if options.json:
                sys.stdout.write(json.dumps(reports[-1].to_dict()) + "\n")
    except Human3RError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not options.json:
        sys.stdout.write(markdown_of(reports) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
