"""The converter process: two paths as JSON on standard input, one JSON object on standard output.

Started by ``conversion.convert_checkpoint``. One tensor is in memory at a time, so the bound can be narrow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from human3r.child_process import restrict_process
from human3r.errors import Human3RError
from human3r.runtime.conversion import convert_here

_ADDRESS_SPACE_BYTES = 24 * 2**30
"""Mostly libraries that are mapped and never touched; a CUDA build of torch maps about ten gigabytes."""
_CPU_SECONDS = 3600


def main() -> int:
    """Convert one file; errors travel as the answer."""
    source, target = map(Path, json.load(sys.stdin))
    restrict_process({"AS": _ADDRESS_SPACE_BYTES, "CPU": _CPU_SECONDS})
    try:
        answer = {"config": convert_here(source, target).to_json()}
    except Human3RError as error:
        answer = {"error": error.code, "message": error.message, "remedy": error.remedy}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
