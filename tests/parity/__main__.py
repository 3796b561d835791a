"""``python -m tests.parity DIR``: replay a golden folder against our network; exit code 1 over tolerance."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from human3r.errors import Human3RError
from tests.parity.replay import ParityRow, run_parity


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to run (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the rows as one JSON object")
    options = parser.parse_args()
    try:
        rows = run_parity(options.folder, device=options.device)
    except Human3RError as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    is_ok = all(row.is_ok for row in rows)
    print(json.dumps({"ok": is_ok, "rows": [_entry(row) for row in rows]}) if options.json else _table(rows))
    return 0 if is_ok else 1


def _entry(row: ParityRow) -> dict[str, object]:
    return {
        "group": row.group,
        "error": row.error if math.isfinite(row.error) else None,
        "tolerance": row.tolerance,
        "tensors": row.num_tensors,
        "worst": row.worst,
        "ok": row.is_ok,
    }


def _table(rows: list[ParityRow]) -> str:
    width = max((len(row.group) for row in rows), default=0)
    lines = [
        f"{'ok  ' if row.is_ok else 'FAIL'} {row.group:<{width}} {row.error:9.2e} <= {row.tolerance:7.1e} "
        f"{row.num_tensors:5d} tensors, worst {row.worst}"
        for row in rows
    ]
    return "\n".join([*lines, f"{sum(row.is_ok for row in rows)} of {len(rows)} groups within tolerance"])


if __name__ == "__main__":
    sys.exit(main())
