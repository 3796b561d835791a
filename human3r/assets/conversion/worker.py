"""The converter process: a request as JSON on standard input, an answer as JSON on standard output.

Started by ``child``. Checkpoints pass through one tensor at a time. The modules are imported under its limits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from human3r.assets.conversion.child import Kind
from human3r.child_process import restrict_process
from human3r.errors import Human3RError

ADDRESS_SPACE_BYTES = 24 * 2**30
"""Mostly libraries that are mapped but not used; a CUDA build of torch maps about ten gigabytes."""
_FILE_BYTES = 32 * 2**30
_CPU_S = 900


def main() -> int:
    """Convert one file; errors are returned as the answer."""
    request = json.load(sys.stdin)
    restrict_process({"AS": ADDRESS_SPACE_BYTES, "CPU": _CPU_S, "FSIZE": _FILE_BYTES})
    try:
        answer = {"result": _convert(request["kind"], Path(request["source"]), Path(request["target"]))}
    except Human3RError as error:
        answer = {"error": error.code, "message": error.message, "remedy": error.remedy}
    print(json.dumps(answer))
    return 0


def _convert(kind: Kind, source: Path, target: Path) -> str:
    from human3r.assets.conversion.convert import convert_here, extract_tensors
    from human3r.assets.conversion.convert_tensors import multi_hmr_tensors, stored_tensors

    if kind == "checkpoint":
        return convert_here(source, target)
    return extract_tensors(source, target, stored_tensors if kind == "cut3r" else multi_hmr_tensors)


if __name__ == "__main__":
    sys.exit(main())
