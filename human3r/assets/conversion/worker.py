"""The converter process: a request as JSON on standard input, an answer as JSON on standard output.

Started by ``conversion_child``. Checkpoints pass through one tensor at a time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from human3r.assets.body_file import convert_body_here
from human3r.assets.conversion.convert import convert_here
from human3r.child_process import restrict_process
from human3r.errors import Human3RError

_ADDRESS_SPACE_BYTES = 24 * 2**30
"""Mostly libraries that are mapped and never touched; a CUDA build of torch maps about ten gigabytes."""
_CPU_SECONDS = 3600


def main() -> int:
    """Convert one file; errors travel as the answer."""
    request = json.load(sys.stdin)
    restrict_process({"AS": _ADDRESS_SPACE_BYTES, "CPU": _CPU_SECONDS})
    convert = {"checkpoint": convert_here, "body": convert_body_here}[request["kind"]]
    try:
        answer = {"result": convert(Path(request["source"]), Path(request["target"]))}
    except Human3RError as error:
        answer = {"error": error.code, "message": error.message, "remedy": error.remedy}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
