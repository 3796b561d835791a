"""The process that reads pickles of arrays: one request after the other until its parent ends.

Started by ``foreign_arrays``. Writes no file.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

from human3r.assets.conversion.foreign_arrays import encode_arrays
from human3r.assets.conversion.worker import ADDRESS_SPACE_BYTES
from human3r.child_process import restrict_process
from human3r.errors import Human3RError
from human3r.video.framing import read_messages, write_message

_CPU_S_PER_FILE = 120


def _allow_one_file() -> None:
    """Bound the processor time of the next file; Windows has no such limit."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + _CPU_S_PER_FILE, most))


def main() -> int:
    """Read files until the input ends; errors are returned as answers."""
    sys.stdin.buffer.readline()
    restrict_process({"AS": ADDRESS_SPACE_BYTES, "FSIZE": 0})
    output = sys.stdout.buffer
    for request, _ in read_messages(sys.stdin.buffer, 0):
        _allow_one_file()
        try:
            answer, body = {}, encode_arrays(request["kind"], Path(request["source"]))
        except Human3RError as error:
            answer, body = {"error": error.code, "message": error.message, "remedy": error.remedy}, b""
        write_message(output, answer, body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
