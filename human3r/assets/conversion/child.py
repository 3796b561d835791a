"""Runs a conversion in a child process and returns its answer or raises its error."""

from __future__ import annotations

import glob
import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

from human3r.child_process import PACKAGE_ROOT, child_environment
from human3r.errors import CheckpointError, error_from

Kind = Literal["checkpoint", "cut3r", "multi_hmr"]
_TIMEOUT_S = 3600


def convert_in_child(kind: Kind, source: Path, target: Path) -> str:
    """Convert a file of weights of unknown origin, atomically, and return the worker's answer.

    Raises:
        Human3RError: The worker's error, of its class.
        CheckpointError: The worker crashed or took an hour.
    """
    request = {"kind": kind, "source": str(source.absolute()), "target": str(target.absolute())}
    process = None
    try:
        process = subprocess.run(
            [sys.executable, "-m", "human3r.assets.conversion.worker"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            env=child_environment(),
            cwd=PACKAGE_ROOT,
            timeout=_TIMEOUT_S,
            check=False,
        )
        answer = json.loads(process.stdout)
    except (json.JSONDecodeError, subprocess.TimeoutExpired):
        # A killed process leaves its temporary files.
        for leftover in target.absolute().parent.glob(f".{glob.escape(target.stem)}.*{target.suffix}"):
            leftover.unlink(missing_ok=True)
        how = f"took more than {_TIMEOUT_S} s" if process is None else f"ended with {process.returncode}"
        message = f"The process that reads {source.name} {how}."
        raise CheckpointError(message, "The file may be damaged: get it again.") from None
    if "error" in answer:
        raise error_from(answer["error"], answer["message"], answer["remedy"])
    return answer["result"]
